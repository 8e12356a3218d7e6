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
    room = bounds.max_jobs
    for query, of, limit, whose in (
        (_DEPTH_OF_TENANT, {"tenant": tenant}, bounds.max_jobs_per_tenant, "of the tenant"),
        (_DEPTH, {}, bounds.max_jobs, "in all"),
    ):
        depth = connection.scalar(query, {"limit": limit, **of})
        room = min(room, limit - (depth or 0))
        if room < count:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"the ingestion queue is full: {depth} documents {whose} are waiting, {limit} may; "
                "submit again later, or fewer at once",
                metadata={"limit": str(limit), "scope": whose},
                retry_after_seconds=bounds.retry_after_seconds,
            )
    return room


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
