"""What people do to jobs and documents: cancel, run again, delete, index anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, select, update

from services.ingestion.document import DocumentKey
from services.ingestion.failures import Stage
from services.ingestion.jobs.cleanup import erase_document
from services.ingestion.jobs.model import REPEATABLE, UNENDED, Job, JobState
from services.ingestion.jobs.rows import job_from_row, new_id
from services.ingestion.jobs.submission import new_row, supersede_older
from services.ingestion.jobs.tables import artifacts, contents, documents, jobs
from services.rpc.errors import FailedPreconditionError, NotFoundError, Reason

MAX_REDRIVE = 1000
"""Dead letters of a collection that one call runs again."""


_TAKEN_OVER = (
    "tenant_class",
    "actor",
    "uri",
    "title",
    "file_name",
    "declared_type",
    "content_type",
    "metadata_json",
    "acl_json",
    "fingerprint",
    "content_id",
    "content_digest",
    "size_bytes",
    "rank",
    "traceparent",
)


@dataclass(frozen=True, slots=True)
class Deletion:
    """What a committed deletion still has to wait for."""

    known_ids: tuple[str, ...]
    """Those of the documents that ingestion knew."""
    busy_until_us: int
    """Until when a worker may still be writing one of them; 0: none is."""


def cancel(connection: Connection, tenant: str, job_ids: Sequence[str], now_us: int) -> list[Job]:
    """Stops jobs that have not ended; one whose document is being written at this moment goes on.

    Raises:
        NotFoundError: the tenant has no such job.
    """
    cancelled = []
    for row in find_all(connection, tenant, job_ids):
        is_writing = row.state == JobState.RUNNING and _is_indexing(connection, row, now_us)
        if row.state in UNENDED and not is_writing:
            connection.execute(
                update(jobs)
                .where(jobs.c.number == row.number)
                .values(
                    state=JobState.CANCELLED,
                    lease_token=jobs.c.lease_token + 1,
                    next_attempt_us=0,
                    updated_us=now_us,
                    revision=jobs.c.revision + 1,
                )
            )
        cancelled.append(row.number)
    return _read(connection, cancelled)


def retry(connection: Connection, tenant: str, job_ids: Sequence[str], now_us: int) -> list[Job]:
    """Queues dead letters and cancelled jobs again, from the stage that failed.

    Raises:
        NotFoundError: the tenant has no such job.
        FailedPreconditionError: one of them is ready or was replaced by a newer one.
    """
    rows = find_all(connection, tenant, job_ids)
    for row in rows:
        if row.state in REPEATABLE and row.is_latest:
            continue
        if row.state not in UNENDED:
            raise FailedPreconditionError(
                Reason.STATE_CONFLICT,
                f"job {row.job_id} cannot be run again: it is {JobState(row.state).name}"
                + ("" if row.is_latest else " and a newer job of its document exists"),
                metadata={"job_id": row.job_id, "state": JobState(row.state).name},
            )
    numbers = [row.number for row in rows]
    _requeue(connection, [row.number for row in rows if row.state in REPEATABLE], now_us)
    return _read(connection, numbers)


def retry_dead_letters(
    connection: Connection, tenant: str, collection: str, now_us: int
) -> list[Job]:
    """Queues the dead letters of a collection again, the oldest first."""
    numbers = list(
        connection.scalars(
            select(jobs.c.number)
            .where(
                jobs.c.tenant == tenant,
                jobs.c.collection == collection,
                jobs.c.state == JobState.DEAD_LETTER,
                jobs.c.is_latest,
            )
            .order_by(jobs.c.number)
            .limit(MAX_REDRIVE)
        )
    )
    _requeue(connection, numbers, now_us)
    return _read(connection, numbers)


def _requeue(connection: Connection, numbers: Sequence[int], now_us: int) -> None:
    if numbers:
        connection.execute(
            update(jobs)
            .where(jobs.c.number.in_(numbers), jobs.c.state.in_(REPEATABLE))
            .values(
                state=JobState.QUEUED,
                attempt_count=0,
                postponed_count=0,
                next_attempt_us=0,
                updated_us=now_us,
                revision=jobs.c.revision + 1,
            )
        )


def delete_documents(
    connection: Connection,
    tenant: str,
    collection: str,
    document_ids: Sequence[str],
    now_us: int,
    purge_at_us: int,
) -> Deletion:
    """Marks documents deleted and removes their jobs and bytes; retrieval comes next.

    From here on no worker can begin to write them. `purge_at_us` is when the deletion in retrieval
    is repeated in case it is not confirmed before, or a late write slips in.
    """
    known, busy_until_us = [], 0
    # In order, so that two deletions never wait for each other in a circle.
    for document_id in sorted(set(document_ids)):
        document = connection.execute(
            select(documents)
            .where(
                documents.c.tenant == tenant,
                documents.c.collection == collection,
                documents.c.document_id == document_id,
            )
            .with_for_update()
        ).first()
        if document is None:
            continue
        known.append(document_id)
        busy_until_us = max(busy_until_us, document.indexing_until_us)
        erase_document(connection, document.document_key)
        connection.execute(
            update(documents)
            .where(documents.c.document_key == document.document_key)
            .values(
                generation=documents.c.generation + 1,
                is_deleted=True,
                indexed_generation=0,
                indexed_version=0,
                indexed_job_id="",
                indexed_fingerprint="",
                purge_at_us=purge_at_us,
            )
        )
    return Deletion(tuple(known), busy_until_us if busy_until_us > now_us else 0)


def busy_until(
    connection: Connection, tenant: str, collection: str, document_ids: Sequence[str], now_us: int
) -> int:
    """Returns until when a worker may be writing one of the documents; 0: none is."""
    latest = connection.scalars(
        select(documents.c.indexing_until_us).where(
            documents.c.tenant == tenant,
            documents.c.collection == collection,
            documents.c.document_id.in_(document_ids),
            documents.c.indexing_until_us > now_us,
        )
    ).all()
    return max(latest, default=0)


def due_purges(connection: Connection, now_us: int, limit: int) -> list[DocumentKey]:
    """Returns deleted documents whose deletion in retrieval is to be repeated."""
    rows = connection.execute(
        select(documents.c.tenant, documents.c.collection, documents.c.document_id)
        .where(
            documents.c.purge_at_us > 0,
            documents.c.purge_at_us <= now_us,
            documents.c.is_deleted,
        )
        .order_by(documents.c.purge_at_us)
        .limit(limit)
    ).all()
    return [DocumentKey(row.tenant, row.collection, row.document_id) for row in rows]


def finish_purges(connection: Connection, keys: Sequence[DocumentKey], now_us: int) -> None:
    """Forgets deleted documents whose deletion is confirmed and that nobody can be writing."""
    for key in keys:
        connection.execute(
            delete(documents).where(
                documents.c.tenant == key.tenant,
                documents.c.collection == key.collection,
                documents.c.document_id == key.document_id,
                documents.c.is_deleted,
                documents.c.indexing_until_us <= now_us,
                ~exists().where(jobs.c.document_key == documents.c.document_key),
            )
        )


def reindex(
    connection: Connection,
    tenant: str,
    collection: str,
    after_key: int,
    limit: int,
    *,
    reparse: bool,
    now_us: int,
) -> tuple[int, int]:
    """Queues a new job for each document that is ready, a page at a time.

    Returns:
        Jobs queued, and the key to go on after; 0 when this was the last page.
    """
    page = connection.execute(
        select(documents)
        .where(
            documents.c.tenant == tenant,
            documents.c.collection == collection,
            documents.c.document_key > after_key,
            documents.c.is_deleted.is_(False),
            documents.c.indexed_job_id != "",
        )
        .order_by(documents.c.document_key)
        .limit(limit)
        .with_for_update()
    ).all()
    queued = 0
    for document in page:
        former = connection.execute(
            select(jobs).where(
                jobs.c.job_id == document.indexed_job_id,
                jobs.c.is_latest,
                jobs.c.state == JobState.READY,
            )
        ).first()
        # Without its bytes, or with a newer job under way, there is nothing to run again.
        if former is not None and _has_content(connection, former):
            _queue_again(connection, document, former, reparse=reparse, now_us=now_us)
            queued += 1
    return queued, page[-1].document_key if len(page) == limit else 0


def _has_content(connection: Connection, row: Row[Any]) -> bool:
    found = select(contents.c.piece).where(contents.c.content_id == row.content_id).limit(1)
    return connection.execute(found).first() is not None


def _queue_again(
    connection: Connection, document: Row[Any], former: Row[Any], *, reparse: bool, now_us: int
) -> None:
    supersede_older(connection, document, now_us)
    generation = document.generation + 1
    connection.execute(
        update(documents)
        .where(documents.c.document_key == document.document_key)
        .values(generation=generation)
    )
    key = DocumentKey(document.tenant, document.collection, document.document_id)
    job_id = new_id("job", now_us)
    values = new_row(key, document.document_key, generation, job_id, now_us)
    values |= {name: getattr(former, name) for name in _TAKEN_OVER}
    parts = [] if reparse else _parsed_parts(connection, former.job_id)
    if parts:
        values["stage"] = Stage.PARSED
        values["warnings_json"] = former.warnings_json
    connection.execute(jobs.insert().values(idempotency_key=None, **values))
    for part in parts:
        connection.execute(
            artifacts.insert().values(job_id=job_id, kind="parsed", part=part.part, data=part.data)
        )


def _parsed_parts(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    return connection.execute(
        select(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.kind == "parsed")
    ).all()


def find_all(connection: Connection, tenant: str, job_ids: Sequence[str]) -> list[Row[Any]]:
    """Returns the rows of jobs in the order of their ids, locked until the transaction ends.

    Raises:
        NotFoundError: the tenant has no such job.
    """
    rows = connection.execute(
        select(jobs)
        .where(jobs.c.tenant == tenant, jobs.c.job_id.in_(job_ids))
        .order_by(jobs.c.number)
        .with_for_update()
    ).all()
    by_id = {row.job_id: row for row in rows}
    for job_id in job_ids:
        if job_id not in by_id:
            raise job_not_found(job_id)
    return [by_id[job_id] for job_id in dict.fromkeys(job_ids)]


def job_not_found(job_id: str) -> NotFoundError:
    """Returns the error for a job that the tenant does not have."""
    return NotFoundError(
        Reason.JOB_NOT_FOUND,
        "no such ingestion job; jobs of deleted documents are gone with them",
        metadata={"job_id": job_id},
    )


def _is_indexing(connection: Connection, row: Row[Any], now_us: int) -> bool:
    until_us = connection.scalar(
        select(documents.c.indexing_until_us).where(documents.c.document_key == row.document_key)
    )
    return (until_us or 0) > now_us


def _read(connection: Connection, numbers: Sequence[int]) -> list[Job]:
    rows = connection.execute(select(jobs).where(jobs.c.number.in_(numbers))).all()
    by_number = {row.number: row for row in rows}
    return [job_from_row(by_number[number]) for number in numbers]
