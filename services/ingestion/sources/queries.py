"""What people ask of sources: create, list, synchronise, delete."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, or_, select, update

from services.ingestion.jobs.model import UNENDED, JobState
from services.ingestion.jobs.tables import jobs
from services.ingestion.sources.model import (
    Problem,
    Source,
    SourceStatus,
    StoredItem,
    SyncRequest,
    SyncState,
)
from services.ingestion.sources.rows import (
    item_from_row,
    report_from_json,
    source_from_json,
    source_to_json,
)
from services.ingestion.sources.tables import enrichment, items, requests, sources
from services.rpc.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)

_MAX_REQUESTS = 1000
"""Requests of a source that may wait; beyond them everything is looked at."""


def put(
    connection: Connection, tenant: str, tenant_class: int, source: Source, most: int, now_us: int
) -> tuple[SourceStatus, bool]:
    """Creates a source or replaces its settings; a synchronisation under way begins anew.

    Returns:
        Its state, and whether it is new.

    Raises:
        ResourceExhaustedError: the tenant has as many sources as it may.
    """
    row = _row(connection, tenant, source.name, is_locked=True)
    values = {
        "settings_json": source_to_json(source),
        "tenant_class": tenant_class,
        "updated_us": now_us,
        "due_us": 0 if source.is_paused else now_us,
    }
    if row is None:
        count = connection.scalar(
            select(func.count()).select_from(sources).where(sources.c.tenant == tenant)
        )
        if (count or 0) >= most:
            raise ResourceExhaustedError(
                Reason.QUOTA_EXCEEDED,
                f"the tenant has {most} sources, the most there may be; delete one",
                metadata={"limit": str(most)},
            )
        values |= {
            "tenant": tenant,
            "name": source.name,
            "created_us": now_us,
            "sync_number": 0,
            "requested_number": 0 if source.is_paused else 1,
            "report_json": "",
            "last_success_us": 0,
            "lease_owner": "",
            "lease_token": 0,
            "lease_until_us": 0,
        }
        connection.execute(insert(sources).values(**values))
    else:
        if not source.is_paused:
            values["requested_number"] = row.sync_number + 1
        connection.execute(
            update(sources)
            .where(sources.c.source_key == row.source_key)
            .values(**values, lease_token=sources.c.lease_token + 1, lease_until_us=0)
        )
    stored = _existing(connection, tenant, source.name)
    return _status(connection, stored, now_us), row is None


def get(connection: Connection, tenant: str, name: str, now_us: int) -> tuple[Source, SourceStatus]:
    """Returns a source with its state.

    Raises:
        NotFoundError: the tenant has none of this name.
    """
    row = _existing(connection, tenant, name)
    return source_from_json(row.settings_json), _status(connection, row, now_us)


def list_page(
    connection: Connection, tenant: str, size: int, token: str, now_us: int
) -> tuple[list[tuple[Source, SourceStatus]], str]:
    """Returns a page of sources by name, and the token of the next one."""
    query = select(sources).where(sources.c.tenant == tenant).order_by(sources.c.name)
    if token:
        query = query.where(sources.c.name > _decoded(token, 1)[0])
    rows = connection.execute(query.limit(size + 1)).all()
    page = [
        (source_from_json(row.settings_json), _status(connection, row, now_us))
        for row in rows[:size]
    ]
    return page, encode_token([rows[size - 1].name]) if len(rows) > size else ""


def list_items(
    connection: Connection, tenant: str, name: str, *, failed_only: bool, size: int, token: str
) -> tuple[list[StoredItem], str]:
    """Returns a page of items by path, and the token of the next one."""
    source_key = _existing(connection, tenant, name).source_key
    query = (
        select(
            items,
            jobs.c.state.label("job_state"),
            jobs.c.failure_reason.label("job_reason"),
            jobs.c.failure_message.label("job_message"),
        )
        .outerjoin(jobs, jobs.c.job_id == items.c.job_id)
        .where(items.c.source_key == source_key)
        .order_by(items.c.path)
    )
    if failed_only:
        query = query.where(_has_failed())
    if token:
        query = query.where(items.c.path > _decoded(token, 1)[0])
    rows = connection.execute(query.limit(size + 1)).all()
    page = [_item(row) for row in rows[:size]]
    return page, encode_token([rows[size - 1].path]) if len(rows) > size else ""


def request_sync(
    connection: Connection, tenant: str, name: str, request: SyncRequest, now_us: int
) -> tuple[int, SourceStatus]:
    """Records a request and makes the source due.

    Returns:
        The number that the synchronisation will have, and the state.

    Raises:
        NotFoundError: the tenant has no such source.
    """
    row = _existing(connection, tenant, name, is_locked=True)
    waiting = connection.scalar(
        select(func.count()).select_from(requests).where(requests.c.source_key == row.source_key)
    )
    paths = request.paths if (waiting or 0) < _MAX_REQUESTS else ()
    connection.execute(
        insert(requests).values(
            source_key=row.source_key,
            paths_json=json.dumps(paths),
            is_full=request.is_full,
            allow_empty=request.allow_empty,
        )
    )
    number = row.sync_number + 1
    connection.execute(
        update(sources)
        .where(sources.c.source_key == row.source_key)
        .values(due_us=now_us, requested_number=number)
    )
    return number, _status(connection, _existing(connection, tenant, name), now_us)


def pause(connection: Connection, tenant: str, name: str) -> None:
    """Takes a source out of the schedule and away from the worker that has it.

    Raises:
        NotFoundError: the tenant has no such source.
    """
    row = _existing(connection, tenant, name, is_locked=True)
    connection.execute(
        update(sources)
        .where(sources.c.source_key == row.source_key)
        .values(due_us=0, lease_token=sources.c.lease_token + 1, lease_until_us=0)
    )


def documents_of(connection: Connection, tenant: str, name: str) -> list[tuple[str, str]]:
    """Returns (collection, document id) of a source's items.

    Raises:
        NotFoundError: the tenant has no such source.
    """
    row = _existing(connection, tenant, name)
    return [
        (each.collection, each.document_id)
        for each in connection.execute(
            select(items.c.collection, items.c.document_id).where(
                items.c.source_key == row.source_key, items.c.job_id != ""
            )
        )
    ]


def delete_source(connection: Connection, tenant: str, name: str) -> list[tuple[str, str]]:
    """Deletes a source with its items; returns (collection, document id) of those.

    Raises:
        NotFoundError: the tenant has no such source.
    """
    row = _existing(connection, tenant, name, is_locked=True)
    documents = documents_of(connection, tenant, name)
    for table in (items, requests, sources):
        connection.execute(delete(table).where(table.c.source_key == row.source_key))
    return documents


def get_enrichment(connection: Connection, tenant: str, collection: str) -> str | None:
    """Returns a collection's enrichment settings; None: it has none of its own."""
    return connection.scalar(
        select(enrichment.c.settings_json).where(
            enrichment.c.tenant == tenant, enrichment.c.collection == collection
        )
    )


def put_enrichment(connection: Connection, tenant: str, collection: str, text: str | None) -> None:
    """Stores a collection's enrichment settings; None removes them."""
    connection.execute(
        delete(enrichment).where(
            enrichment.c.tenant == tenant, enrichment.c.collection == collection
        )
    )
    if text is not None:
        connection.execute(
            insert(enrichment).values(tenant=tenant, collection=collection, settings_json=text)
        )


def _row(
    connection: Connection, tenant: str, name: str, *, is_locked: bool = False
) -> Row[Any] | None:
    query = select(sources).where(sources.c.tenant == tenant, sources.c.name == name)
    return connection.execute(query.with_for_update() if is_locked else query).first()


def _existing(
    connection: Connection, tenant: str, name: str, *, is_locked: bool = False
) -> Row[Any]:
    row = _row(connection, tenant, name, is_locked=is_locked)
    if row is None:
        raise NotFoundError(
            Reason.SOURCE_NOT_FOUND, f"no source {name!r}", metadata={"source": name}
        )
    return row


def _has_failed() -> Any:
    return or_(items.c.failure_reason != "", jobs.c.state == JobState.DEAD_LETTER)


def _status(connection: Connection, row: Row[Any], now_us: int) -> SourceStatus:
    joined = items.outerjoin(jobs, jobs.c.job_id == items.c.job_id)

    def count(*conditions: Any) -> int:
        query = select(func.count()).select_from(joined)
        return (
            connection.scalar(query.where(items.c.source_key == row.source_key, *conditions)) or 0
        )

    state = SyncState.IDLE
    if row.lease_until_us > now_us:
        state = SyncState.RUNNING
    elif 0 < row.due_us <= now_us:
        state = SyncState.QUEUED
    return SourceStatus(
        state=state,
        report=report_from_json(row.report_json),
        next_sync_us=row.due_us,
        item_count=count(),
        failed_count=count(_has_failed()),
        pending_count=count(jobs.c.state.in_(UNENDED)),
        last_success_us=row.last_success_us,
        requested_sync_number=row.requested_number,
        created_us=row.created_us,
        updated_us=row.updated_us,
    )


def _item(row: Row[Any]) -> StoredItem:
    item = item_from_row(row)
    if item.problem is None and row.job_state == JobState.DEAD_LETTER:
        return dataclasses.replace(item, problem=Problem(row.job_reason, row.job_message))
    return item


def encode_token(values: Sequence[Any]) -> str:
    """Returns the token of the page after the one that ends with these values."""
    return base64.urlsafe_b64encode(json.dumps(list(values)).encode()).decode()


def _decoded(token: str, count: int) -> list[str]:
    values: Any = None
    with contextlib.suppress(ValueError, UnicodeError):
        values = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    is_whole = isinstance(values, list) and len(values) == count
    if not is_whole or not all(map(_is_text, values)):
        raise InvalidArgumentError.for_field(
            "page_token", "is not one that a page ended with", Reason.INVALID_PAGE_TOKEN
        )
    return values


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\x00" not in value and value.isprintable()
