"""How much may be in work at once, found by trying: more while all is well, less when it is late.

Additive-increase/multiplicative-decrease (Chiu and Jain 1989), the rule of TCP: with a signal that
means "too much", it finds the most that a peer can do without knowing its speed. The signal here
is lateness and refusals, not latency as such: engines that batch get slower with load and do more.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_LATE_SHARE = 0.1
"""Share of late calls in a window that makes the limit smaller."""


class AdaptiveLimit:
    """The limit, and how it moves.

    Args:
        least: Never below it.
        most: Never above it.
        start: At the beginning.
        shrink: Factor after a window with too many late calls.
        grow: Factor after a window without, if the limit was in use; at least one is added.
        window_seconds: The limit moves at most once in it.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        *,
        least: int = 8,
        most: int = 1024,
        start: int = 128,
        shrink: float = 0.8,
        grow: float = 1.1,
        window_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < least <= start <= most:
            raise ValueError("least, start and most must rise")
        self._least = least
        self._most = most
        self._shrink = shrink
        self._grow = grow
        self._window_seconds = window_seconds
        self._clock = clock
        self._limit = float(start)
        self._window_ends = clock() + window_seconds
        self._ended = 0
        self._late = 0
        self._highest = 0

    @property
    def limit(self) -> int:
        """How much may be in work at once."""
        return int(self._limit)

    def began(self, in_flight: int) -> None:
        """Notes that something began; `in_flight` counts it."""
        self._highest = max(self._highest, in_flight)

    def ended(self, *, is_late: bool) -> None:
        """Notes that something ended, and whether too late or refused for want of room."""
        self._ended += 1
        self._late += is_late
        now = self._clock()
        if now < self._window_ends:
            return
        if self._late > _LATE_SHARE * self._ended:
            self._limit = max(self._least, self._limit * self._shrink)
        elif self._highest >= self._limit / 2:
            # A limit that nobody came near is no finding.
            self._limit = min(self._most, max(self._limit * self._grow, self._limit + 1))
        self._ended = self._late = self._highest = 0
        self._window_ends = now + self._window_seconds
