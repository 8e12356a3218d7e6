"""Counters and histograms whose events are booked together.

A request passes a dozen of them, each somewhere else in memory that is not in the processor's cache
any more: to fetch them takes ten times as long as to add up. So an event is only noted down; the
notes are booked when somebody reads, or when there are many.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable
from threading import RLock
from typing import Any

import prometheus_client
from prometheus_client.samples import Sample

_MOST_NOTES = 512

_notes: deque[tuple[Counter | Histogram, float]] = deque()
"""Of all instruments; any thread adds and takes."""
_booking = RLock()


class Counter(prometheus_client.Counter):
    """As the library's; events are seen by whoever reads it as the library shows it."""

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """Counts events.

        Raises:
            ValueError: `amount` is negative.
        """
        if amount < 0:
            raise ValueError(f"a counter never goes down: {amount}")
        if exemplar:
            super().inc(amount, exemplar)
            return
        _notes.append((self, amount))
        if len(_notes) >= _MOST_NOTES:
            _book()

    def book(self, amounts: list[float]) -> None:
        """Counts at once."""
        super().inc(sum(amounts))

    def _child_samples(self) -> Iterable[Sample]:
        _book()
        return super()._child_samples()


class Histogram(prometheus_client.Histogram):
    """As the library's; observations are seen by whoever reads it as the library shows it."""

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Takes an observation."""
        if exemplar:
            super().observe(amount, exemplar)
            return
        _notes.append((self, amount))
        if len(_notes) >= _MOST_NOTES:
            _book()

    def book(self, amounts: list[float]) -> None:
        """Takes them at once."""
        for amount in amounts:
            super().observe(amount)

    def _child_samples(self) -> Iterable[Sample]:
        _book()
        return super()._child_samples()


class InFlight:
    """How many of something are under way; read by a gauge, changed in one thread.

    Args:
        gauge: Shows it.
    """

    __slots__ = ("now",)

    def __init__(self, gauge: Any) -> None:
        self.now = 0
        gauge.set_function(lambda: self.now)


def _book() -> None:
    noted: defaultdict[Counter | Histogram, list[float]] = defaultdict(list)
    # Whoever reads waits for what another thread has taken and not booked yet.
    with _booking:
        while True:
            try:
                instrument, amount = _notes.popleft()
            except IndexError:
                break
            noted[instrument].append(amount)
        for instrument, amounts in noted.items():
            instrument.book(amounts)
