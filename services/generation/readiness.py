"""Whether the service is ready is asked of its engines, again and again.

A process whose engine hangs still accepts connections. Balancers leave it when none of the engines
that its default chain names answers, and come back when one does. A pause or a drain changes
nothing here: requests are told of it, and who ordered it must still get through to end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, runtime_checkable

from services.generation.engine import Engine
from services.rpc.logs import get_logger

POLL_SECONDS = 1.0
ANSWER_SECONDS = 20.0
"""Longer than any step of an engine that works."""


@runtime_checkable
class Answering(Protocol):
    """An engine that can be asked whether it works."""

    async def answers(self) -> bool:
        """Asks the engine; False when nothing comes back in time."""
        ...


class Probe:
    """Asks what may hang. One question at a time: those that were not answered do not pile up.

    Args:
        ask: The question; whatever it returns is an answer.
        seconds: Time to answer.
    """

    def __init__(
        self, ask: Callable[[], Awaitable[object]], seconds: float = ANSWER_SECONDS
    ) -> None:
        self._ask = ask
        self._seconds = seconds
        self._asked: asyncio.Future[object] | None = None

    async def answers(self) -> bool:
        """Returns whether an answer came in time."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask())
        asked = self._asked
        await asyncio.wait((asked,), timeout=self._seconds)
        if not asked.done():
            return False
        self._asked = None
        return not asked.cancelled() and asked.exception() is None

    def close(self) -> None:
        """Drops a question that is still open."""
        if self._asked is not None:
            self._asked.cancel()
            self._asked = None


async def keep_ready(
    engines: Sequence[Engine],
    tell: Callable[[bool], None],
    *,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Tells whenever the service becomes ready, or is no longer; until it is cancelled.

    Args:
        engines: Those of the default chain; one that cannot be asked counts as answering.
        tell: Told of changes; at first the service is ready.
        poll_seconds: Between two questions.
    """
    was_ready = True
    while True:
        await asyncio.sleep(poll_seconds)
        answers = await asyncio.gather(*(_answers(each) for each in engines))
        if any(answers) != was_ready:
            was_ready = not was_ready
            get_logger().warning("readiness changed", is_ready=was_ready)
            tell(was_ready)


async def _answers(engine: Engine) -> bool:
    return await engine.answers() if isinstance(engine, Answering) else True
