"""The ledger's SQL: adding events once, sums by any dimension, comparing the two."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from services.gateway.ledger.events import Outcome, Payer, UsageEvent
from services.gateway.ledger.tables import (
    AMOUNT_COLUMNS,
    COST_COLUMNS,
    SUM_COLUMNS,
    USAGE_COLUMNS,
    events,
    sums,
)
from services.gateway.usage import COST_VALUES, USAGE_VALUES, CostParts, Usage
from services.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy import Connection, Insert, Row

MAX_ROWS = 10_000
_PURGED_AT_ONCE = 5_000
_IDS_AT_ONCE = 400
_KEY = ("tenant", "day", "operation", "collection", "user_id", "key_id")


@dataclass(frozen=True, slots=True)
class UsageSum:
    """What was used, by the dimensions that were asked for; "" for the others."""

    request_count: int
    failed_count: int
    """Of them that ended with an error, by the caller's leaving or with their gateway."""
    document_count: int
    byte_count: int
    vector_count: int
    usage: Usage
    cost: CostParts
    day: str = ""
    operation: str = ""
    user: str = ""
    collection: str = ""
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class UsageFilter:
    """Which usage; "" does not restrict."""

    from_day: str
    to_day: str
    """Included."""
    tenant: str = ""
    user: str = ""
    key_id: str = ""
    collection: str = ""
    operation: str = ""


_DIMENSIONS = {
    "day": sums.c.day,
    "operation": sums.c.operation,
    "user": sums.c.user_id,
    "collection": sums.c.collection,
    "tenant": sums.c.tenant,
}
DIMENSIONS = tuple(_DIMENSIONS)
"""What usage can be grouped by."""


def add_events(
    connection: Connection, batch: Sequence[UsageEvent], *, is_repeated: bool
) -> tuple[UsageEvent, ...]:
    """Adds events and their sums in the running transaction; returns those that were new.

    Args:
        connection: With a transaction.
        batch: Events, each once.
        is_repeated: Whether some may have been added before.
    """
    known = _known(connection, batch) if is_repeated else frozenset[str]()
    fresh = tuple(each for each in batch if each.event_id not in known)
    if not fresh:
        return ()
    bulk.insert(connection, events, [_event_row(each) for each in fresh])
    connection.execute(_addition(connection.dialect.name), _sum_rows(fresh))
    return fresh


@functools.cache
def _addition(dialect: str) -> Insert:
    """Returns what adds to sums; making it takes longer than running it."""
    insert = (postgresql if dialect == "postgresql" else sqlite).insert(sums)
    added = {name: sums.c[name] + insert.excluded[name] for name in SUM_COLUMNS}
    return insert.on_conflict_do_update(index_elements=list(_KEY), set_=added)


def _known(connection: Connection, batch: Sequence[UsageEvent]) -> frozenset[str]:
    found: set[str] = set()
    for start in range(0, len(batch), _IDS_AT_ONCE):
        ids = [each.event_id for each in batch[start : start + _IDS_AT_ONCE]]
        found.update(
            connection.scalars(select(events.c.event_id).where(events.c.event_id.in_(ids)))
        )
    return frozenset(found)


def _event_row(event: UsageEvent) -> tuple[Any, ...]:
    """Returns an event's values in the order of the table."""
    payer = event.payer
    return (
        event.event_id,
        payer.tenant,
        payer.user,
        payer.key_id,
        event.day,
        event.collection,
        event.operation,
        event.outcome.value,
        event.model[:256],
        event.trace_id,
        event.is_estimated,
        *(getattr(event, name) for name in AMOUNT_COLUMNS),
        *USAGE_VALUES(event.usage),
        *COST_VALUES(event.cost),
    )


def _sum_rows(batch: Iterable[UsageEvent]) -> list[dict[str, Any]]:
    """Returns one row per key, in the order of keys: replicas that add at once never deadlock."""
    totals: dict[tuple[str, ...], dict[str, int]] = {}
    for event in batch:
        payer = event.payer
        key = (
            payer.tenant,
            event.day,
            event.operation,
            event.collection,
            payer.user,
            payer.key_id,
        )
        total = totals.setdefault(key, dict.fromkeys(SUM_COLUMNS, 0))
        total["request_count"] += 1
        total["failed_count"] += event.outcome is not Outcome.OK
        for name in AMOUNT_COLUMNS:
            total[name] += getattr(event, name)
        for name, count in zip(USAGE_COLUMNS, USAGE_VALUES(event.usage), strict=True):
            total[name] += count
        for name, count in zip(COST_COLUMNS, COST_VALUES(event.cost), strict=True):
            total[name] += count
    return [{**dict(zip(_KEY, key, strict=True)), **totals[key]} for key in sorted(totals)]


def read_sums(
    connection: Connection, which: UsageFilter, group_by: Sequence[str]
) -> tuple[UsageSum, ...]:
    """Returns sums in the order of the dimensions."""
    dimensions = [_DIMENSIONS[name] for name in group_by]
    query = select(*dimensions, *(func.sum(sums.c[name]).label(name) for name in SUM_COLUMNS))
    for column, value in (
        (sums.c.tenant, which.tenant),
        (sums.c.user_id, which.user),
        (sums.c.key_id, which.key_id),
        (sums.c.collection, which.collection),
        (sums.c.operation, which.operation),
    ):
        if value:
            query = query.where(column == value)
    query = query.where(sums.c.day >= which.from_day, sums.c.day <= which.to_day)
    if dimensions:
        query = query.group_by(*dimensions).order_by(*dimensions)
    rows = connection.execute(query.limit(MAX_ROWS)).all()
    return tuple(_sum(row, group_by) for row in rows)


def _sum(row: Row[Any], group_by: Sequence[str]) -> UsageSum:
    # PostgreSQL answers sums as decimals, and nothing at all as null.
    counts = {name: int(getattr(row, name) or 0) for name in SUM_COLUMNS}
    return UsageSum(
        request_count=counts["request_count"],
        failed_count=counts["failed_count"],
        document_count=counts["document_count"],
        byte_count=counts["byte_count"],
        vector_count=counts["vector_count"],
        usage=Usage(*(counts[name] for name in USAGE_COLUMNS)),
        cost=CostParts(*(counts[name] for name in COST_COLUMNS)),
        **{name: str(row[index]) for index, name in enumerate(group_by)},
    )


def read_events(
    connection: Connection, which: UsageFilter, first_id: str, before_id: str, count: int
) -> tuple[UsageEvent, ...]:
    """Returns events from the latest on.

    Args:
        connection: With a transaction.
        which: Restricts.
        first_id: No event below it.
        before_id: Only events below it.
        count: Events at most.
    """
    query = select(events).where(events.c.event_id >= first_id, events.c.event_id < before_id)
    for column, value in (
        (events.c.tenant, which.tenant),
        (events.c.user_id, which.user),
        (events.c.key_id, which.key_id),
        (events.c.collection, which.collection),
        (events.c.operation, which.operation),
    ):
        if value:
            query = query.where(column == value)
    rows = connection.execute(query.order_by(events.c.event_id.desc()).limit(count)).all()
    return tuple(_event(row) for row in rows)


def _event(row: Row[Any]) -> UsageEvent:
    return UsageEvent(
        event_id=row.event_id,
        payer=Payer(row.tenant, row.user_id, row.key_id),
        collection=row.collection,
        operation=row.operation,
        outcome=Outcome(row.outcome),
        model=row.model,
        trace_id=row.trace_id,
        usage=Usage(*(getattr(row, name) for name in USAGE_COLUMNS)),
        document_count=row.document_count,
        byte_count=row.byte_count,
        vector_count=row.vector_count,
        is_estimated=bool(row.is_estimated),
        cost=CostParts(*(getattr(row, name) for name in COST_COLUMNS)),
    )


def differing_days(connection: Connection, tenant: str, from_day: str) -> tuple[str, ...]:
    """Returns the days from one on whose sums are not those of their events."""
    names = ("request_count", *AMOUNT_COLUMNS, *USAGE_COLUMNS, *COST_COLUMNS)
    by_sums = connection.execute(
        select(sums.c.day, *(func.sum(sums.c[name]) for name in names))
        .where(sums.c.tenant == tenant, sums.c.day >= from_day)
        .group_by(sums.c.day)
    )
    by_events = connection.execute(
        select(events.c.day, func.count(), *(func.sum(events.c[name]) for name in names[1:]))
        .where(events.c.tenant == tenant, events.c.day >= from_day)
        .group_by(events.c.day)
    )
    one, two = (
        {row[0]: tuple(int(count or 0) for count in row[1:]) for row in rows}
        for rows in (by_sums, by_events)
    )
    return tuple(sorted(day for day in one.keys() | two.keys() if one.get(day) != two.get(day)))


def first_kept_day(connection: Connection, tenant: str) -> str | None:
    """Returns the day of the oldest event that is kept."""
    return connection.scalar(
        select(events.c.day).where(events.c.tenant == tenant).order_by(events.c.event_id).limit(1)
    )


def purge_events(connection: Connection, before_id: str) -> int:
    """Deletes some of the events below an identifier; returns how many."""
    old = (
        select(events.c.event_id)
        .where(events.c.event_id < before_id)
        .order_by(events.c.event_id)
        .limit(_PURGED_AT_ONCE)
    )
    return connection.execute(delete(events).where(events.c.event_id.in_(old))).rowcount
