"""What an operator wants to see of this gateway: health, queue, caches, cost, where time went."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from services.gateway.identity import Operation
from services.gateway.ledger.sums import UsageFilter
from services.gateway.trace_figures import RequestTrace, StageLatency, latencies, request_trace
from services.gateway.usage import PICOS, Cost
from services.rpc.deadline import deadline_in
from services.rpc.errors import ServiceError

if TYPE_CHECKING:
    from services.gateway.identity import Caller
    from services.gateway.ledger.ledger import Ledger
    from services.rpc.scope import Scope
    from services.rpc.spans import RecentTrace

_QUEUE_SECONDS = 2.0
"""The page tells that ingestion does not answer rather than waiting for it."""


@dataclass(frozen=True, slots=True)
class QueueFigures:
    """Jobs of the tenant in ingestion."""

    queued_count: int
    running_count: int
    dead_letter_count: int
    ready_count: int
    oldest_job_age_seconds: float
    """Age of the oldest job that has not ended; 0: there is none."""


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """A cache of this replica, since its start."""

    name: str
    hit_count: int
    miss_count: int
    entry_count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of this gateway as one tenant may see it."""

    health: Mapping[str, Any]
    """As `Readiness.view` tells it."""
    version: str
    uptime_seconds: float
    requests_in_flight: int
    queue: QueueFigures | None
    """None: ingestion does not answer."""
    caches: tuple[CacheFigures, ...]
    cost_today: Cost
    request_count_today: int
    latencies: tuple[StageLatency, ...]


class Queue(Protocol):
    """Knows how many jobs wait."""

    async def queue_figures(self, scope: Scope) -> QueueFigures:
        """Returns the figures of the scope's tenant."""
        ...


class LedgerToday:
    """Adds up what a tenant used today, UTC.

    Args:
        ledger: Where it is noted.
        currency: Of sums of nothing.
    """

    def __init__(self, ledger: Ledger, currency: str) -> None:
        self._ledger = ledger
        self._currency = currency

    async def today(self, tenant: str) -> tuple[int, Cost]:
        """Returns requests and cost."""
        day = datetime.now(UTC).strftime("%Y-%m-%d")
        total = await self._ledger.total(UsageFilter(day, day, tenant))
        return total.request_count, Cost(total.cost.total / PICOS, self._currency)


@dataclass(frozen=True, slots=True)
class Process:
    """What a gateway knows of itself."""

    version: str
    health: Callable[[], Mapping[str, Any]]
    requests_in_flight: Callable[[], int]
    recent_traces: Callable[[], Sequence[RecentTrace]]
    """Newest first, of all tenants."""
    caches: Callable[[], Mapping[str, Mapping[str, int]]]
    """Hits, misses, entries and bytes by cache."""


class OverviewDesk:
    """Tells operators how this gateway is.

    Args:
        process: This gateway.
        queue: Ingestion's queue.
        usage: What was used.
    """

    def __init__(self, process: Process, queue: Queue, usage: LedgerToday) -> None:
        self._process = process
        self._queue = queue
        self._usage = usage
        self._began = time.monotonic()

    async def overview(self, caller: Caller) -> Overview:
        """Returns the state now.

        Raises:
            ServiceError: the caller may not see it.
        """
        caller.require(Operation.READ_OPERATIONS)
        tenant = caller.scope.tenant
        queue, (request_count, cost) = await asyncio.gather(
            self._queue_or_none(caller.scope), self._usage.today(tenant)
        )
        return Overview(
            health=self._process.health(),
            version=self._process.version,
            uptime_seconds=time.monotonic() - self._began,
            requests_in_flight=self._process.requests_in_flight(),
            queue=queue,
            caches=tuple(
                CacheFigures(
                    name=name,
                    hit_count=each.get("hits", 0),
                    miss_count=each.get("misses", 0),
                    entry_count=each.get("entries", 0),
                    size_bytes=each.get("bytes", 0),
                )
                for name, each in self._process.caches().items()
            ),
            cost_today=cost,
            request_count_today=request_count,
            latencies=latencies(self._traces(tenant)),
        )

    def traces(self, caller: Caller, limit: int) -> tuple[RequestTrace, ...]:
        """Returns the tenant's last requests with their steps, newest first.

        Raises:
            ServiceError: the caller may not see them.
        """
        caller.require(Operation.READ_OPERATIONS)
        return self._traces(caller.scope.tenant)[:limit]

    def _traces(self, tenant: str) -> tuple[RequestTrace, ...]:
        found = (request_trace(each, tenant) for each in self._process.recent_traces())
        return tuple(each for each in found if each is not None)

    async def _queue_or_none(self, scope: Scope) -> QueueFigures | None:
        try:
            with deadline_in(_QUEUE_SECONDS):
                return await self._queue.queue_figures(scope)
        except ServiceError:
            return None
