"""How much the gateway works on at once, and who is sent away first when it is too much.

The limit is found by trying (see `services.rpc.adaptive_limit`): it falls while requests are late
or run into full services, and rises while it is in use and all is well. What is over it is refused
at once, with a time to come back, instead of waiting until it is worthless. The last part of the
room is kept for tenants of better classes: free ones are sent away first.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
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

    @contextlib.asynccontextmanager
    async def admit(self, tenant_class: TenantClass, *, is_timed: bool) -> AsyncIterator[None]:
        """Runs the block as one request.

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
        allowed = self._seconds if left is None else min(self._seconds, left)
        began = time.monotonic()
        self._count(1)
        self._limit.began(self._running)
        error: BaseException | None = None
        found_at: list[float] = []
        token = _found_at.set(found_at)
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            _found_at.reset(token)
            self._count(-1)
            now = time.monotonic()
            took = (found_at[0] if found_at else now) - began
            self._mean_seconds += _SMOOTHING * (now - began - self._mean_seconds)
            # Who leaves or errs says nothing of the load.
            if is_timed and (error is None or isinstance(error, ServiceError)):
                is_late = took > _LATE_SHARE * allowed or isinstance(
                    error, DeadlineExceededError | ResourceExhaustedError
                )
                self._limit.ended(is_late=is_late)
                _LIMIT.set(self._limit.limit)

    def _count(self, change: int) -> None:
        self._running += change
        _RUNNING.set(self._running)
