"""One window for all of an engine's streams: what was written within it leaves together.

Sending a message costs several times what a token does, and waking many tasks at many moments more
than waking them at one. So tokens after a text's first leave when the engine has made a step and
the last leaving is a window ago; where no such step comes, a window after they were written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Waiting(Protocol):
    """A stream that may hold tokens back."""

    def offer(self) -> None:
        """Shows what was written until now to whoever reads."""
        ...


class StreamWindow:
    """See the module's text. Of one event loop.

    Args:
        seconds: Its length.
        clock: Monotonic seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._streams: dict[Waiting, None] = {}
        self._opens_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self, stream: Waiting) -> None:
        """Tells the stream from now on."""
        self._streams[stream] = None

    def leave(self, stream: Waiting) -> None:
        """Tells it no longer."""
        self._streams.pop(stream, None)
        if not self._streams and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def stepped(self) -> None:
        """Notes that the engine has written something, to whichever streams."""
        if not self._streams:
            return
        if self._clock() >= self._opens_at:
            self._open()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds, self._open)

    def _open(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._opens_at = self._clock() + self._seconds
        for stream in self._streams:
            stream.offer()
