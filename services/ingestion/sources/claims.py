"""What the worker that has a source may write. Everything carries its lease's token."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, exists, func, insert, select, update

from services.ingestion.failures import LeaseLostError
from services.ingestion.sources.model import StoredItem, SyncLease, SyncReport, SyncRequest
from services.ingestion.sources.rows import item_from_row, report_to_json, source_from_json
from services.ingestion.sources.tables import items, requests, sources


def claim(connection: Connection, owner: str, now_us: int, until_us: int) -> SyncLease | None:
    """Takes the source that has been due longest, or returns None when none is."""
    row = connection.execute(
        select(sources)
        .where(sources.c.due_us > 0, sources.c.due_us <= now_us, sources.c.lease_until_us <= now_us)
        .order_by(sources.c.due_us)
        .limit(1)
        .with_for_update(skip_locked=True)
    ).first()
    if row is None:
        return None
    asked = connection.execute(
        select(requests).where(requests.c.source_key == row.source_key).order_by(requests.c.number)
    ).all()
    report = SyncReport(sync_number=row.sync_number + 1, started_us=now_us)
    connection.execute(
        update(sources)
        .where(sources.c.source_key == row.source_key)
        .values(
            sync_number=report.sync_number,
            requested_number=max(row.requested_number, report.sync_number),
            report_json=report_to_json(report),
            lease_owner=owner,
            lease_token=row.lease_token + 1,
            lease_until_us=until_us,
        )
    )
    return SyncLease(
        source_key=row.source_key,
        tenant=row.tenant,
        tenant_class=row.tenant_class,
        source=source_from_json(row.settings_json),
        token=row.lease_token + 1,
        report=report,
        requests=tuple(
            SyncRequest(
                tuple(json.loads(each.paths_json)),
                is_full=bool(each.is_full),
                allow_empty=bool(each.allow_empty),
            )
            for each in asked
        ),
        last_request=asked[-1].number if asked else 0,
    )


def extend(connection: Connection, lease: SyncLease, until_us: int) -> None:
    """Extends a lease and stores the figures so far.

    Raises:
        LeaseLostError: someone else has the source now, or it was changed or deleted.
    """
    _write(connection, lease, lease_until_us=until_us, report_json=report_to_json(lease.report))


def finish(
    connection: Connection, lease: SyncLease, report: SyncReport, due_us: int, now_us: int
) -> None:
    """Ends a synchronisation and sets when the next one is due.

    Raises:
        LeaseLostError: someone else has the source now.
    """
    report = dataclasses.replace(report, ended_us=now_us)
    values: dict[str, Any] = {"report_json": report_to_json(report), "lease_until_us": 0}
    if report.problem is None:
        values["last_success_us"] = now_us
    connection.execute(
        delete(requests).where(
            requests.c.source_key == lease.source_key, requests.c.number <= lease.last_request
        )
    )
    # Asked for meanwhile: at once.
    is_asked = connection.scalar(select(exists().where(requests.c.source_key == lease.source_key)))
    _write(connection, lease, due_us=now_us if is_asked else due_us, **values)


def known(connection: Connection, source_key: int, paths: Sequence[str]) -> dict[str, StoredItem]:
    """Returns what is remembered of items, by path."""
    rows = connection.execute(
        select(items).where(items.c.source_key == source_key, items.c.path.in_(paths))
    )
    return {row.path: item_from_row(row) for row in rows}


def remember(
    connection: Connection,
    lease: SyncLease,
    items_now: Sequence[StoredItem],
    unchanged: Mapping[str, str],
    number: int,
) -> None:
    """Stores items, and notes that others were seen.

    Args:
        connection: In a transaction.
        lease: Whose items.
        items_now: What is known of them now.
        unchanged: Paths of those that are as they were, with the versions they have now.
        number: The synchronisation of everything that saw them; 0: it was one of some items.

    Raises:
        LeaseLostError: someone else has the source now.
    """
    _check(connection, lease)
    for path, version in unchanged.items():
        values: dict[str, Any] = {"version": version}
        connection.execute(
            update(items)
            .where(items.c.source_key == lease.source_key, items.c.path == path)
            .values(**values, **({"seen_number": number} if number else {}))
        )
    paths = [each.path for each in items_now]
    if paths:
        connection.execute(
            delete(items).where(items.c.source_key == lease.source_key, items.c.path.in_(paths))
        )
        connection.execute(insert(items), [_values(lease, each, number) for each in items_now])


def _values(lease: SyncLease, item: StoredItem, number: int) -> dict[str, Any]:
    problem = item.problem
    return {
        "source_key": lease.source_key,
        "path": item.path,
        "collection": item.collection,
        "document_id": item.document_id,
        "job_id": item.job_id,
        "version": item.version,
        "digest": item.digest,
        "placement": item.placement,
        "size_bytes": item.size_bytes,
        "modified_us": item.modified_us,
        "submitted_us": item.submitted_us,
        "seen_number": number or lease.report.sync_number,
        "failure_reason": problem.reason if problem else "",
        "failure_message": problem.message if problem else "",
        "failure_is_retryable": problem.is_retryable if problem else False,
    }


def unseen(connection: Connection, source_key: int, number: int, limit: int) -> list[StoredItem]:
    """Returns items that the synchronisation of that number did not see."""
    rows = connection.execute(
        select(items)
        .where(items.c.source_key == source_key, items.c.seen_number < number)
        .order_by(items.c.seen_number, items.c.item_key)
        .limit(limit)
    )
    return [item_from_row(row) for row in rows]


def count_items(connection: Connection, source_key: int) -> int:
    """Returns how many items of a source are known."""
    return (
        connection.scalar(
            select(func.count()).select_from(items).where(items.c.source_key == source_key)
        )
        or 0
    )


def forget(connection: Connection, lease: SyncLease, paths: Sequence[str]) -> None:
    """Forgets items that are gone.

    Raises:
        LeaseLostError: someone else has the source now.
    """
    _check(connection, lease)
    connection.execute(
        delete(items).where(items.c.source_key == lease.source_key, items.c.path.in_(paths))
    )


def _check(connection: Connection, lease: SyncLease) -> None:
    token = connection.scalar(
        select(sources.c.lease_token)
        .where(sources.c.source_key == lease.source_key)
        .with_for_update()
    )
    if token != lease.token:
        raise LeaseLostError


def _write(connection: Connection, lease: SyncLease, **values: Any) -> None:
    done = connection.execute(
        update(sources)
        .where(sources.c.source_key == lease.source_key, sources.c.lease_token == lease.token)
        .values(**values)
    )
    if done.rowcount != 1:
        raise LeaseLostError
