"""Waits for an engine's events under one timer for the whole answer, not one for each event.

An `asyncio.timeout` around each event costs more than the event; one around the whole generator
would strike while the reader is busy elsewhere, between two events.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


class Patience:
    """A time limit on waiting. Use from one task at a time."""

    __slots__ = ("_has_struck", "_is_over", "_timer", "_waiting")

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[object] | None = None
        self._is_over = False
        self._has_struck = False

    def limit(self, seconds: float | None) -> None:
        """Sets the time from now; None: for ever. Replaces what was set before."""
        self.close()
        if seconds is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._strike)

    def close(self) -> None:
        """Ends the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._is_over = False

    async def next(self, source: AsyncGenerator[T, None]) -> T:
        """Returns the next event.

        Raises:
            TimeoutError: the time is over.
            StopAsyncIteration: there is none.
        """
        if self._is_over:
            raise TimeoutError
        task = asyncio.current_task()
        assert task is not None  # coroutines run in tasks
        cancelling = task.cancelling()
        self._waiting = task
        try:
            return await anext(source)
        except asyncio.CancelledError:
            if self._has_struck and task.uncancel() <= cancelling:
                raise TimeoutError from None
            raise
        finally:
            self._waiting = None
            self._has_struck = False

    def _strike(self) -> None:
        self._timer = None
        self._is_over = True
        if self._waiting is not None:
            self._has_struck = True
            self._waiting.cancel()
