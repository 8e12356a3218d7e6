"""Which requests are recorded with their stages, where there are too many to do so with each.

To record a stage costs a few microseconds and some memory that nothing else has touched lately;
a busy process would spend several percent of its time on spans that are thrown away. Beyond a
bound, the gateway records a request in outline: that it was served, whom it called, and the stages
with a goal of their own. Other services record nothing of it unless it ends badly. Failures and
slowness are seen in any case, so the same traces are kept.

The choice is by the trace's id: processes that are about as busy choose the same traces.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_MASK = 0xFFFF_FFFF
_SPREAD = 0x9E37_79B1
"""Odd, so that the product is a permutation: ids that somebody counts up are spread, too."""
_WINDOW_SECONDS = 1.0


class Detail:
    """Chooses so many requests a second. A window's share follows from the window before it.

    Args:
        per_second: Requests that are recorded with all stages; about that many.
        clock: Monotonic seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._count = 0
        self._began = clock()
        self._bound = _MASK + 1

    def includes(self, trace_id: int) -> bool:
        """Whether a request that begins now is recorded with its stages."""
        now = self._clock()
        passed = now - self._began
        if passed >= _WINDOW_SECONDS:
            # Threads may come here at once; the worst of it is a window that is too short.
            wanted = self._per_second * passed
            share = min(1.0, wanted / self._count) if self._count else 1.0
            self._bound = round(share * (_MASK + 1))
            self._count, self._began = 0, now
        self._count += 1
        return ((trace_id & _MASK) * _SPREAD & _MASK) < self._bound
