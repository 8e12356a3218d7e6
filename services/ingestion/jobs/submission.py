"""Accepting documents: the one transaction after which a document can no longer be lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from services.ingestion.document import Content, DocumentKey, Priority
from services.ingestion.failures import Stage
from services.ingestion.jobs.cleanup import drop_content_of
from services.ingestion.jobs.model import UNENDED, Accepted, JobState, NewJob
from services.ingestion.jobs.rows import insert_or_ignore, job_from_row, new_id
from services.ingestion.jobs.tables import contents, documents, jobs, turns
from services.rpc.errors import AlreadyExistsError, Reason, ResourceExhaustedError

_RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


@dataclass(frozen=True, slots=True)
class QueueBounds:
    """How much may wait."""

    max_jobs_per_tenant: int
    max_jobs: int
    retry_after_seconds: float


class IdempotencyRaceError(Exception):
    """Another process used the same key at the same moment: look again."""


def check_room(connection: Connection, tenant: str, bounds: QueueBounds) -> None:
    """Refuses work past the bounds.

    Raises:
        ResourceExhaustedError: too many jobs wait.
    """
    waiting = select(jobs.c.number).where(jobs.c.state.in_(UNENDED))
    for query, limit, whose in (
        (waiting.where(jobs.c.tenant == tenant), bounds.max_jobs_per_tenant, "of the tenant"),
        (waiting, bounds.max_jobs, "in all"),
    ):
        depth = connection.scalar(select(func.count()).select_from(query.limit(limit).subquery()))
        if (depth or 0) >= limit:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                f"the ingestion queue is full: {limit} documents {whose} are waiting; "
                "submit again later",
                metadata={"limit": str(limit), "scope": whose},
                retry_after_seconds=bounds.retry_after_seconds,
            )


def accept(
    connection: Connection,
    new: NewJob,
    content: Content,
    verified_job_id: str,
    now_us: int,
) -> Accepted:
    """Stores a document and its job, or finds that it is there already.

    Args:
        connection: In a transaction.
        new: The document.
        content: Its bytes.
        verified_job_id: Job whose result retrieval is known to hold; its document, when it is the
            same one, is not taken in again. Empty: none.
        now_us: The time.

    Raises:
        AlreadyExistsError: the idempotency key was used with other content.
        IdempotencyRaceError: the key came up in another process; call again.
    """
    if new.idempotency_key:
        former = connection.execute(
            select(jobs).where(
                jobs.c.tenant == new.key.tenant, jobs.c.idempotency_key == new.idempotency_key
            )
        ).first()
        if former is not None:
            return _repeated(former, new)
    document = lock_document(connection, new.key)
    latest = None if document.is_deleted else latest_job(connection, document)
    if latest is not None and latest.fingerprint == new.fingerprint:
        if latest.state in UNENDED:
            return Accepted(job_from_row(latest), is_duplicate=True)
        if latest.state == JobState.READY and latest.job_id == verified_job_id:
            return Accepted(job_from_row(latest), is_unchanged=True)
    return Accepted(job_from_row(_insert(connection, document, new, content, now_us)))


def lock_document(connection: Connection, key: DocumentKey) -> Row[Any]:
    """Returns the document's row, made when it is missing, held until the transaction ends."""
    insert_or_ignore(
        connection,
        documents,
        {
            "tenant": key.tenant,
            "collection": key.collection,
            "document_id": key.document_id,
            "generation": 0,
            "is_deleted": False,
            "indexed_generation": 0,
            "indexed_version": 0,
            "indexed_job_id": "",
            "indexed_fingerprint": "",
            "indexing_token": 0,
            "indexing_until_us": 0,
            "purge_at_us": 0,
        },
    )
    return connection.execute(
        select(documents)
        .where(
            documents.c.tenant == key.tenant,
            documents.c.collection == key.collection,
            documents.c.document_id == key.document_id,
        )
        .with_for_update()
    ).one()


def latest_job(connection: Connection, document: Row[Any]) -> Row[Any] | None:
    """Returns the job of the document's newest generation."""
    return connection.execute(
        select(jobs).where(
            jobs.c.document_key == document.document_key, jobs.c.generation == document.generation
        )
    ).first()


def supersede_older(connection: Connection, document: Row[Any], now_us: int) -> None:
    """Takes the document's unended jobs out of the queue: a newer one comes.

    A job that may be writing to retrieval at this moment is left to finish; the newer one waits
    for it.
    """
    older = connection.execute(
        select(jobs).where(jobs.c.document_key == document.document_key, jobs.c.is_latest)
    ).all()
    unended = connection.execute(
        select(jobs).where(
            jobs.c.document_key == document.document_key,
            jobs.c.state.in_(UNENDED),
            jobs.c.is_latest.is_(False),
        )
    ).all()
    is_indexing = document.indexing_until_us > now_us
    for row in [*older, *unended]:
        values: dict[str, Any] = {"is_latest": False}
        is_writing = row.state == JobState.RUNNING and is_indexing
        if row.state in UNENDED and not is_writing:
            values |= {
                "state": JobState.SUPERSEDED,
                "lease_token": jobs.c.lease_token + 1,
                "updated_us": now_us,
                "revision": jobs.c.revision + 1,
            }
        connection.execute(update(jobs).where(jobs.c.number == row.number).values(**values))
        if row.state != JobState.READY and not is_writing:
            drop_content_of(connection, row, keep=document.indexed_job_id)


def _repeated(former: Row[Any], new: NewJob) -> Accepted:
    if former.fingerprint != new.fingerprint:
        raise AlreadyExistsError(
            Reason.IDEMPOTENCY_CONFLICT,
            "the idempotency key was used before with another document or other content; "
            "use a new key for new content",
            metadata={"job_id": former.job_id},
        )
    return Accepted(job_from_row(former), is_duplicate=True)


def _insert(
    connection: Connection, document: Row[Any], new: NewJob, content: Content, now_us: int
) -> Row[Any]:
    supersede_older(connection, document, now_us)
    generation = document.generation + 1
    connection.execute(
        update(documents)
        .where(documents.c.document_key == document.document_key)
        .values(generation=generation, is_deleted=False, purge_at_us=0)
    )
    job_id = new_id("job", now_us)
    values = new_row(new.key, document.document_key, generation, job_id, now_us) | {
        "tenant_class": new.tenant_class,
        "actor": new.actor,
        "uri": new.uri,
        "title": new.title,
        "file_name": new.file_name,
        "declared_type": new.declared_type,
        "content_type": new.content_type,
        "metadata_json": new.metadata_json,
        "acl_json": new.acl_json,
        "idempotency_key": new.idempotency_key or None,
        "fingerprint": new.fingerprint,
        "content_id": job_id,
        "content_digest": new.content_digest,
        "size_bytes": new.size_bytes,
        "rank": _RANK[new.priority],
        "traceparent": new.traceparent,
    }
    insert_or_ignore(connection, jobs, values)
    row = connection.execute(select(jobs).where(jobs.c.job_id == job_id)).first()
    if row is None:
        raise IdempotencyRaceError
    if content.pieces:
        connection.execute(
            contents.insert(),
            [
                {"content_id": job_id, "piece": number, "data": piece}
                for number, piece in enumerate(content.pieces)
            ],
        )
    insert_or_ignore(connection, turns, {"tenant": new.key.tenant, "served_us": 0})
    return row


def new_row(
    key: DocumentKey, document_key: int, generation: int, job_id: str, now_us: int
) -> dict[str, Any]:
    """Returns the columns in which all new jobs are alike."""
    return {
        "job_id": job_id,
        "tenant": key.tenant,
        "collection": key.collection,
        "document_id": key.document_id,
        "document_key": document_key,
        "generation": generation,
        "is_latest": True,
        "state": JobState.QUEUED,
        "stage": Stage.RECEIVED,
        "attempt_count": 0,
        "postponed_count": 0,
        "next_attempt_us": 0,
        "failure_reason": "",
        "failure_message": "",
        "failure_stage": Stage.RECEIVED,
        "failure_is_retryable": False,
        "lease_owner": "",
        "lease_token": 0,
        "lease_until_us": 0,
        "created_us": now_us,
        "updated_us": now_us,
        "revision": 1,
        "chunk_count": 0,
        "reused_chunk_count": 0,
        "document_version": 0,
        "warnings_json": "[]",
        "stage_seconds_json": "{}",
    }
