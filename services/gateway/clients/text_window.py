"""Gathers the pieces of an answer: the first comes at once, then one in some milliseconds at most.

What is done for a piece does not depend on its length: a line in the journal, an event, a packet,
waking whoever reads it. Engines that send a message for each token would have it done 100 times a
second for each stream, and nobody sees the difference.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable

from services.gateway.pipeline.ports import Finished, Started, Wrote

WINDOW_SECONDS = 0.04
"""25 pieces a second look like a flow of text; two windows of the generation service make one."""

_EARLY = 0.25
"""Of a window: text that comes so little before its time is shown at once. An engine with a window
of its own sends a message when ours is nearly over, and each would wake us twice."""

_MAX_CHARACTERS = 65_536
"""Gathered at once; a client that does not read holds its engine back from there on."""

Event = Started | Wrote | Finished


class Gathering:
    """What has come and was not handed on yet."""

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        """Set when there is something to hand on now."""
        self.taken = asyncio.Event()
        self.is_paused = False
        """Whether text that comes now waits for more."""
        self.messages = 0
        """That brought text since the last were taken: with several in a window it pays to sleep
        through it."""
        self._events: list[Event] = []
        self._texts: list[str] = []
        self._characters = 0
        self._tokens = 0
        self._is_counted = True

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to hand on."""
        return not self._events and not self._texts

    @property
    def is_full(self) -> bool:
        """Whether so much has gathered that its engine is held back."""
        return self._characters > _MAX_CHARACTERS

    def wrote(self, text: str, completion_tokens: int) -> Awaitable[object] | None:
        """Takes text in; whoever brings more waits for what it returns.

        Args:
            text: The next of the answer.
            completion_tokens: Its tokens; 0: its engine does not say.
        """
        self.messages += 1
        self._texts.append(text)
        self._characters += len(text)
        self._tokens += completion_tokens
        if not completion_tokens:
            self._is_counted = False
        if not self.is_paused:
            self.moved.set()
        if not self.is_full:
            return None
        self.moved.set()
        self.taken.clear()
        return self.taken.wait()

    def add(self, event: Started | Finished) -> None:
        """Takes anything else in."""
        self._join()
        self._events.append(event)
        if not self.is_paused:
            self.moved.set()

    def take(self) -> list[Event]:
        """Returns what has come, its texts joined."""
        self._join()
        events, self._events = self._events, []
        self.messages = 0
        self.taken.set()
        return events

    def _join(self) -> None:
        if self._texts:
            # One piece that its engine did not count makes the whole one that is estimated.
            tokens = self._tokens if self._is_counted else 0
            self._events.append(Wrote("".join(self._texts), tokens))
            self._texts.clear()
            self._characters, self._tokens, self._is_counted = 0, 0, True


async def gathered(
    read: Callable[[Gathering], Awaitable[None]], window_seconds: float = WINDOW_SECONDS
) -> AsyncGenerator[Event]:
    """Yields what is read, with pieces of text that come soon after each other joined.

    Args:
        read: Brings all that comes into what it is given, in a task of its own; cancelled when
            this generator is closed.
        window_seconds: Between two pieces.

    Raises:
        ServiceError: as `read`, after all that came before.
    """
    loop = asyncio.get_running_loop()
    found = Gathering()
    shown_at = -math.inf
    reading = asyncio.ensure_future(read(found))
    reading.add_done_callback(lambda _: found.moved.set())
    try:
        while not (reading.done() and found.is_empty):
            if found.is_empty:
                found.moved.clear()
                await found.moved.wait()
                continue
            left = shown_at + window_seconds - loop.time()
            if left > _EARLY * window_seconds and not (reading.done() or found.is_full):
                await _pause(found, left)
            is_dense = found.messages > 1
            for event in found.take():
                yield event
            shown_at = loop.time()
            if is_dense and not reading.done():
                await _pause(found, window_seconds)
        await reading
    finally:
        reading.cancel()
        await asyncio.wait((reading,))
        if not reading.cancelled():
            reading.exception()  # seen, or of no interest any more


async def _pause(found: Gathering, seconds: float) -> None:
    """Lets text gather for a while, or until there is too much, or no more to come."""
    found.moved.clear()
    found.is_paused = True
    timer = asyncio.get_running_loop().call_later(seconds, found.moved.set)
    try:
        await found.moved.wait()
    finally:
        timer.cancel()
        found.is_paused = False
