"""Backpressure: how much may wait, and for how long."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from services.ingestion.jobs.model import UNENDED, JobState
from services.ingestion.jobs.rows import MICROSECONDS
from services.ingestion.jobs.tables import jobs
from services.rpc.errors import Reason, ResourceExhaustedError

_KNOWN_SECONDS = 0.25
"""What is known of the queue's depth is good for so long; our own submissions are counted."""
_MAX_KNOWN = 10_000
_GREED = 2
"""A tenant with jobs waiting may have this many times what the queue has left: six that submit all
they can leave a thirteenth of it to those who come after them."""

# Made once: to make a statement takes longer than SQLite takes to run it.
_WAITING = select(jobs.c.number).where(jobs.c.state.in_(UNENDED))
_LIMIT = bindparam("limit")
_DEPTH = select(func.count()).select_from(_WAITING.limit(_LIMIT).subquery())
_DEPTH_OF_TENANT = select(func.count()).select_from(
    _WAITING.where(jobs.c.tenant == bindparam("tenant")).limit(_LIMIT).subquery()
)
_OLDEST_UNBEGUN = (
    select(jobs.c.updated_us)
    .where(
        jobs.c.tenant == bindparam("tenant"),
        jobs.c.state == JobState.QUEUED,
        jobs.c.attempt_count == 0,
        jobs.c.postponed_count == 0,
    )
    .order_by(jobs.c.number)
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """How much may wait."""

    max_jobs_per_tenant: int
    max_jobs: int
    retry_after_seconds: float
    max_age_seconds: float = 3600.0
    """Age of a tenant's oldest job that no worker has begun, past which it may submit no more."""


def measure_room(
    connection: Connection, tenant: str, bounds: QueueBounds, count: int, now_us: int
) -> int:
    """Returns how many jobs the tenant may submit now.

    Raises:
        ResourceExhaustedError: fewer than `count`.
    """
    _check_age(connection, tenant, bounds, now_us)
    of_tenant = {"tenant": tenant, "limit": bounds.max_jobs_per_tenant}
    own = connection.scalar(_DEPTH_OF_TENANT, of_tenant) or 0
    depth = connection.scalar(_DEPTH, {"limit": bounds.max_jobs}) or 0
    left = bounds.max_jobs - depth
    rooms = [
        _Room(own, "of the tenant", bounds.max_jobs_per_tenant, bounds.max_jobs_per_tenant - own),
        _Room(depth, "in all", bounds.max_jobs, left),
    ]
    if own:
        # Whoever waits for nothing gets in while there is room.
        share = _GREED * left
        rooms.append(_Room(own, "of the tenant", share, share - own, ": the rest is for others"))
    for room in rooms:
        if room.left < count:
            raise room.refusal(bounds.retry_after_seconds)
    return min(room.left for room in rooms)


@dataclass(frozen=True, slots=True)
class _Room:
    """How many jobs wait, and how many more may."""

    depth: int
    whose: str
    limit: int
    left: int
    why: str = ""

    def refusal(self, retry_after_seconds: float) -> ResourceExhaustedError:
        return ResourceExhaustedError(
            Reason.OVERLOADED,
            f"the ingestion queue is full: {self.depth} documents {self.whose} are waiting, "
            f"{self.limit} may{self.why}; submit again later, or fewer at once",
            metadata={"limit": str(self.limit), "scope": self.whose},
            retry_after_seconds=retry_after_seconds,
        )


def _check_age(connection: Connection, tenant: str, bounds: QueueBounds, now_us: int) -> None:
    # Since it was queued or queued again: what failed and waits for its next attempt is not behind.
    queued_us = connection.scalar(_OLDEST_UNBEGUN, {"tenant": tenant})
    age_seconds = 0.0 if queued_us is None else (now_us - queued_us) / MICROSECONDS
    if age_seconds > bounds.max_age_seconds:
        raise ResourceExhaustedError(
            Reason.OVERLOADED,
            f"the oldest document of the tenant has waited for {age_seconds:.0f} s, "
            f"{bounds.max_age_seconds:g} s are the most: the workers are behind or stand still; "
            "submit again later",
            metadata={"limit": f"{bounds.max_age_seconds:g}", "scope": "queue age"},
            retry_after_seconds=bounds.retry_after_seconds,
        )


class KnownRoom:
    """What was measured a moment ago, less what was submitted since."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[int, float]] = {}

    def has(self, tenant: str, count: int) -> bool:
        """Whether so many are known to fit."""
        left, until = self._left.get(tenant, (0, 0.0))
        return left >= count and time.monotonic() < until

    def set(self, tenant: str, left: int) -> None:
        """Remembers a measurement."""
        if len(self._left) >= _MAX_KNOWN:
            self._left.clear()
        self._left[tenant] = (left, time.monotonic() + _KNOWN_SECONDS)

    def take(self, tenant: str, count: int) -> None:
        """Counts what was submitted."""
        if tenant in self._left:
            left, until = self._left[tenant]
            self._left[tenant] = (left - count, until)
