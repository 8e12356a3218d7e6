"""A breaker per engine: one that fails is left alone for a while, then tried once."""

from __future__ import annotations

import enum
import time
from collections import deque
from collections.abc import Callable


class BreakerState(enum.IntEnum):
    """State of a breaker; the number is the metric's value."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """Opens on failures in a row or on a high failure rate; half-opens after a pause that doubles.

    Args:
        failures_in_row: Opens after this many failures without a success.
        failure_rate: Opens when this share of the last `window` requests failed (at least 10 of
            them).
        window: Requests that are remembered.
        pause_seconds: First time it stays open.
        max_pause_seconds: Longest time it stays open.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        failures_in_row: int = 3,
        failure_rate: float = 0.5,
        window: int = 20,
        pause_seconds: float = 2.0,
        max_pause_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures_in_row = failures_in_row
        self._failure_rate = failure_rate
        self._outcomes: deque[bool] = deque(maxlen=window)
        self._first_pause_seconds = pause_seconds
        self._max_pause_seconds = max_pause_seconds
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._in_row = 0
        self._opened_at: float | None = None
        self._is_probing = False

    @property
    def state(self) -> BreakerState:
        """What the breaker does with the next request."""
        if self._opened_at is None:
            return BreakerState.CLOSED
        if self._clock() - self._opened_at >= self._pause_seconds:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    def allow(self) -> bool:
        """Whether a request may go to the engine; one at a time while half open.

        Each allowed request must end in `succeeded`, `failed` or `ignored`.
        """
        state = self.state
        if state is BreakerState.HALF_OPEN and not self._is_probing:
            self._is_probing = True
            return True
        return state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """The engine answered."""
        self._outcomes.append(True)
        self._in_row = 0
        if self._opened_at is not None:
            self._outcomes.clear()
            self._opened_at = None
            self._pause_seconds = self._first_pause_seconds
        self._is_probing = False

    def failed(self) -> None:
        """The engine failed, or was too slow."""
        self._outcomes.append(False)
        self._in_row += 1
        if self._opened_at is not None:
            self._pause_seconds = min(2 * self._pause_seconds, self._max_pause_seconds)
            self._opened_at = self._clock()
        elif self._in_row >= self._failures_in_row or self._rate_is_high():
            self._opened_at = self._clock()
        self._is_probing = False

    def ignored(self) -> None:
        """The request ended in a way that says nothing of the engine: the caller left, or erred."""
        self._is_probing = False

    def _rate_is_high(self) -> bool:
        failures = self._outcomes.count(False)
        return len(self._outcomes) >= 10 and failures >= self._failure_rate * len(self._outcomes)
