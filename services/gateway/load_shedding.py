"""How much the gateway works on at once, and who is sent away first when it is too much.

The limit is found by trying (see `services.rpc.adaptive_limit`): it falls while requests are late
or run into full services, and rises while it is in use and all is well. That is seen only when
requests end, seconds after too many were let in; so one that would be late is refused beforehand,
too, by how long the latest took beside how many others. What is refused is refused at once, with a
time to come back, instead of waiting until it is worthless. The last part of the room is kept for
tenants of better classes: free ones are sent away first.
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
_GIVEN_UP_SHARE = 0.7
_KNOWN_SECONDS = 0.01
"""What is found sooner was in a cache: it says nothing of those that are not."""
_ALWAYS_AT_ONCE = 16
"""So few are never too many: how long one takes says little of how long several do."""
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


_running: ContextVar[Admitted | None] = ContextVar("cairn_admitted", default=None)


def passages_found() -> None:
    """Says that the running request has what its answer is made of."""
    request = _running.get()
    if request is not None:
        request.found()


class Pace:
    """How long finding passages takes, by the latest requests that did.

    Requests share the processors of the services: beside n others each takes n times as long. What
    one takes by itself is then its time divided by how many there were (Little's law).
    """

    def __init__(self) -> None:
        self.finding = 0
        """Requests that look for their passages now."""
        self._seconds_each = 0.0

    def expected_seconds(self) -> float:
        """Returns how long one more would take."""
        return (self.finding + 1) * self._seconds_each

    def note(self, seconds: float, at_once: float) -> None:
        """Notes how long one took, and beside how many it was, itself counted."""
        if seconds < _KNOWN_SECONDS:
            return
        each = seconds / max(1.0, at_once)
        self._seconds_each += _SMOOTHING * (each - self._seconds_each)


class Admitted:
    """A request that was let in, while it runs. A class, for a generator costs each 3 µs more."""

    __slots__ = ("_allowed", "_at_once", "_began", "_found_at", "_is_timed", "_shedder", "_token")

    _token: Token[Admitted | None]

    def __init__(self, shedder: LoadShedder, allowed: float, is_timed: bool) -> None:
        self._shedder = shedder
        self._allowed = allowed
        self._is_timed = is_timed
        self._found_at = 0.0
        self._began = 0.0
        self._at_once = 0

    def __enter__(self) -> None:
        self._shedder.begin()
        if self._is_timed:
            self._shedder.pace.finding += 1
            self._at_once = self._shedder.pace.finding
        self._token = _running.set(self)
        self._began = time.monotonic()

    def found(self) -> None:
        """It has what its answer is made of."""
        if self._found_at or not self._is_timed:
            return
        self._found_at = time.monotonic()
        pace = self._shedder.pace
        pace.note(self._found_at - self._began, (self._at_once + pace.finding) / 2)
        pace.finding -= 1

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _running.reset(self._token)
        if exc is None:
            self.found()
        elif self._is_timed and not self._found_at:
            self._shedder.pace.finding -= 1
        now = time.monotonic()
        is_late = None
        # Who leaves or errs says nothing of the load.
        if self._is_timed and (exc is None or isinstance(exc, ServiceError)):
            took = (self._found_at or now) - self._began
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
        self.pace = Pace()
        self._mean_seconds = _LEAST_RETRY_SECONDS
        _LIMIT.set_function(lambda: self._limit.limit)
        _RUNNING.set_function(lambda: self._running)

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
        left = remaining_seconds()
        allowed = self._seconds if left is None else min(self._seconds, left)
        share = SHARES[tenant_class]
        is_full = self._running >= max(1, int(share * self._limit.limit))
        if is_full or (is_timed and self._would_be_late(share, allowed)):
            _SHED.labels(tenant_class.name.lower()).inc()
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "the gateway has enough to do; try again later",
                retry_after_seconds=min(
                    max(self._mean_seconds, _LEAST_RETRY_SECONDS), _MOST_RETRY_SECONDS
                ),
            )
        return Admitted(self, allowed, is_timed)

    def _would_be_late(self, share: float, allowed: float) -> bool:
        if self.pace.finding < _ALWAYS_AT_ONCE:
            return False
        most = min(_LATE_SHARE * self._seconds, _GIVEN_UP_SHARE * allowed)
        return self.pace.expected_seconds() > share * most

    def begin(self) -> None:
        """Counts a request that begins."""
        self._running += 1
        self._limit.began(self._running)

    def end(self, seconds: float, is_late: bool | None) -> None:
        """Counts a request that ended.

        Args:
            seconds: It took.
            is_late: Whether it took too long for its passages, or found a service full; None: it
                says nothing of the load.
        """
        self._running -= 1
        self._mean_seconds += _SMOOTHING * (seconds - self._mean_seconds)
        if is_late is not None:
            self._limit.ended(is_late=is_late)
