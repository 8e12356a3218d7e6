"""Admission by cost: what cannot be served soon is refused at once, with a time to come back.

A queue without bound turns overload into deadlines that all pass. Cost is in whatever the service
runs out of: tokens, vectors, bytes.
"""

from __future__ import annotations

import time

from services.rpc.errors import InvalidArgumentError, Reason, ResourceExhaustedError
from services.rpc.metrics import ADMISSION_COST, ADMISSION_LIMIT, ADMISSION_REFUSED

_MIN_RETRY_SECONDS = 0.05
_MAX_RETRY_SECONDS = 10.0
_SMOOTHING = 0.1
"""Weight of the latest request in the mean time that requests take."""


class Admitted:
    """A block whose cost is in flight. A class, for a generator costs each request 3 µs more."""

    __slots__ = ("_admission", "_began", "_cost")

    def __init__(self, admission: Admission, cost: float) -> None:
        self._admission = admission
        self._cost = cost
        self._began = 0.0

    async def __aenter__(self) -> None:
        self._admission.begin(self._cost)
        self._began = time.monotonic()

    async def __aexit__(self, *_: object) -> None:
        self._admission.end(self._cost, time.monotonic() - self._began)


class Admission:
    """Bounds the cost in flight.

    Args:
        max_cost: Most cost admitted at once.
        name: Label of the metrics, "embedding_tokens".
    """

    def __init__(self, max_cost: float, name: str) -> None:
        if max_cost <= 0:
            raise ValueError(f"max_cost must be positive, not {max_cost}")
        self.max_cost = max_cost
        self.name = name
        self.cost_in_flight = 0.0
        self._requests_in_flight = 0
        self._mean_seconds = _MIN_RETRY_SECONDS
        ADMISSION_COST.labels(name).set_function(lambda: self.cost_in_flight)
        ADMISSION_LIMIT.labels(name).set(max_cost)
        self._refused = ADMISSION_REFUSED.labels(name)

    def admit(self, cost: float) -> Admitted:
        """Returns what runs a block (`async with`) with `cost` counted as in flight.

        Entering it raises:
            ResourceExhaustedError: The cost in flight would exceed the limit.
            InvalidArgumentError: `cost` alone exceeds it.
        """
        if not cost >= 0:
            raise ValueError(f"cost must not be negative: {cost}")
        return Admitted(self, cost)

    def begin(self, cost: float) -> None:
        """Counts a cost as in flight; see `admit`."""
        self._check(cost)
        self._take(cost, 1)

    def end(self, cost: float, seconds: float) -> None:
        """Counts it no more, after so many seconds."""
        self._take(-cost, -1)
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)

    def _take(self, cost: float, requests: int) -> None:
        self._requests_in_flight += requests
        # Exactly zero when idle: sums of fractions must not drift.
        self.cost_in_flight = self.cost_in_flight + cost if self._requests_in_flight else 0.0

    def _check(self, cost: float) -> None:
        if cost > self.max_cost:
            raise InvalidArgumentError(
                Reason.TOO_LARGE,
                f"the request costs {cost:g}, at most {self.max_cost:g} fit at once; split it",
                metadata={"limit": f"{self.max_cost:g}", "size": f"{cost:g}"},
            )
        if self.cost_in_flight + cost > self.max_cost:
            self._refused.inc()
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "the service is at its limit; try again later",
                metadata={"limit": f"{self.max_cost:g}", "in_flight": f"{self.cost_in_flight:g}"},
                retry_after_seconds=min(
                    max(self._mean_seconds, _MIN_RETRY_SECONDS), _MAX_RETRY_SECONDS
                ),
            )
