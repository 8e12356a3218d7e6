"""How much the gateway works on at once, and who is sent away first when it is too much.

The limit is found by trying (see `services.rpc.adaptive_limit`): it falls while requests are late
or run into full services, and rises while it is in use and all is well. What is over it is refused
at once, with a time to come back, instead of waiting until it is worthless. The last part of the
room is kept for tenants of better classes: free ones are sent away first.
"""

from __future__ import annotations

import time
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge

from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.rpc.scope import TenantClass

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

SHARES: Mapping[TenantClass, float] = {
    TenantClass.FREE: 0.7,
    TenantClass.STANDARD: 0.9,
    TenantClass.PREMIUM: 1.0,
}
"""Part of the room that tenants of a class may fill, with everybody before them."""
_LATE_SHARE = 0.3
"""Of its time: a request that had not found its passages by then is late. Embedding, retrieval and
reranking may take .7 together before they are given up; how long writing takes says little."""
_LEAST_RETRY_SECONDS = 0.2
_MOST_RETRY_SECONDS = 5.0
_SMOOTHING = 0.1

_SHED = Counter(
    "cairn_gateway_shed_total",
    "Requests refused because the gateway had enough to do.",
    ["tenant_class"],
)
_LIMIT = Gauge("cairn_gateway_concurrency_limit", "Most requests worked on at once.")
_RUNNING = Gauge("cairn_gateway_concurrency", "Requests worked on.")


_found_at: ContextVar[list[float] | None] = ContextVar("cairn_found_at", default=None)


def passages_found() -> None:
    """Says that the running request has what its answer is made of."""
    found_at = _found_at.get()
    if found_at is not None:
        found_at.append(time.monotonic())


class Admitted:
    """A request that was let in, while it runs. A class, for a generator costs each 3 µs more."""

    __slots__ = ("_allowed", "_began", "_found_at", "_is_timed", "_shedder", "_token")

    _token: Token[list[float] | None]

    def __init__(self, shedder: LoadShedder, allowed: float, is_timed: bool) -> None:
        self._shedder = shedder
        self._allowed = allowed
        self._is_timed = is_timed
        self._found_at: list[float] = []
        self._began = 0.0

    def __enter__(self) -> None:
        self._shedder.begin()
        self._token = _found_at.set(self._found_at)
        self._began = time.monotonic()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _found_at.reset(self._token)
        now = time.monotonic()
        is_late = None
        # Who leaves or errs says nothing of the load.
        if self._is_timed and (exc is None or isinstance(exc, ServiceError)):
            took = (self._found_at[0] if self._found_at else now) - self._began
            is_late = took > _LATE_SHARE * self._allowed or isinstance(
                exc, DeadlineExceededError | ResourceExhaustedError
            )
        self._shedder.end(now - self._began, is_late)


class LoadShedder:
    """See the module's text.

    Args:
        seconds: Deadline of a request that has none or a later one.
        limit: How much is worked on at once.
    """

    def __init__(self, seconds: float, limit: AdaptiveLimit) -> None:
        self._seconds = seconds
        self._limit = limit
        self._running = 0
        self._mean_seconds = _LEAST_RETRY_SECONDS
        _LIMIT.set(limit.limit)

    @property
    def running(self) -> int:
        """Requests worked on."""
        return self._running

    def admit(self, tenant_class: TenantClass, *, is_timed: bool) -> Admitted:
        """Lets a request in; the block that is run with what is returned is the request.

        Args:
            tenant_class: Of the caller's tenant.
            is_timed: Whether it should end well within its deadline; an upload need not.

        Raises:
            ResourceExhaustedError: there is enough to do.
        """
        if self._running >= max(1, int(SHARES[tenant_class] * self._limit.limit)):
            _SHED.labels(tenant_class.name.lower()).inc()
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "the gateway has enough to do; try again later",
                retry_after_seconds=min(
                    max(self._mean_seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS
                ),
            )
        left = remaining_seconds()
        return Admitted(self, self._seconds if left is None else min(self._seconds, left), is_timed)

    def begin(self) -> None:
        """Counts a request that begins."""
        self._count(1)
        self._limit.began(self._running)

    def end(self, seconds: float, is_late: bool | None) -> None:
        """Counts a request that ended.

        Args:
            seconds: It took.
            is_late: Whether it took too long for its passages, or found a service full; None: it
                says nothing of the load.
        """
        self._count(-1)
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        if is_late is not None:
            self._limit.ended(is_late=is_late)
            _LIMIT.set(self._limit.limit)

    def _count(self, change: int) -> None:
        self._running += change
        _RUNNING.set(self._running)
