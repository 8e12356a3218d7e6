"""Accepting documents: the one transaction after which a document can no longer be lost."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, select, update

from services.ingestion.document import Content, DocumentKey, Priority
from services.ingestion.failures import Stage
from services.ingestion.jobs.cleanup import drop_content_of
from services.ingestion.jobs.model import UNENDED, Accepted, JobState, NewJob
from services.ingestion.jobs.rows import job_from_row, new_id
from services.ingestion.jobs.tables import contents, documents, jobs, turns
from services.rpc.errors import AlreadyExistsError, Reason, ServiceError
from services.sql import bulk

if TYPE_CHECKING:
    from services.ingestion.jobs.model import Job

_RANK = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}
_NONCE_BITS = 60
_BYTES_AT_ONCE = 4 << 20

# Made once: to make a statement takes longer than SQLite takes to run it.
_FIND_DOCUMENTS = (
    select(documents)
    .where(
        documents.c.tenant == bindparam("tenant"),
        documents.c.collection == bindparam("collection"),
        documents.c.document_id.in_(bindparam("ids", expanding=True)),
    )
    .order_by(documents.c.document_id)
    .with_for_update()
)
_FIND_JOBS = select(jobs).where(jobs.c.job_id.in_(bindparam("ids", expanding=True)))


class IdempotencyRaceError(Exception):
    """Another process used the same key at the same moment: look again."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A document at the door of the queue."""

    new: NewJob
    content: Content
    verified_job_id: str = ""
    """Job whose result retrieval is known to hold; its document, when it is the same one, is not
    taken in again. Empty: none."""


def accept(
    connection: Connection, submissions: Sequence[Submission], now_us: int
) -> list[Accepted | ServiceError]:
    """Stores documents and their jobs, or finds that they are there already.

    Args:
        connection: In a transaction.
        submissions: In the order they were sent; the last of several versions wins.
        now_us: The time.

    Returns:
        For each what became of it, or that its idempotency key was used with other content.

    Raises:
        IdempotencyRaceError: a key came up in another process; nothing is stored, call again.
    """
    results: dict[int, Accepted | ServiceError] = {}
    for part in _rounds(submissions):
        results |= _accept_round(connection, part, now_us)
    return [results[place] for place in range(len(submissions))]


def _rounds(submissions: Sequence[Submission]) -> Iterator[list[tuple[int, Submission]]]:
    """Yields runs in which no document and no idempotency key comes twice."""
    run: list[tuple[int, Submission]] = []
    seen: set[object] = set()
    for place, each in enumerate(submissions):
        names: set[object] = {each.new.key}
        if each.new.idempotency_key:
            names.add((each.new.key.tenant, each.new.idempotency_key))
        if names & seen:
            yield run
            run, seen = [], set()
        run.append((place, each))
        seen |= names
    if run:
        yield run


def _accept_round(
    connection: Connection, part: Sequence[tuple[int, Submission]], now_us: int
) -> dict[int, Accepted | ServiceError]:
    results: dict[int, Accepted | ServiceError] = {}
    former = _with_same_keys(connection, [each.new for _, each in part])
    fresh: list[tuple[int, Submission]] = []
    for place, each in part:
        job = former.get((each.new.key.tenant, each.new.idempotency_key))
        if job is None:
            fresh.append((place, each))
        else:
            results[place] = _repeated(job, each.new)
    rows, nonce = _lock_documents(connection, [each.new.key for _, each in fresh], now_us)
    to_insert: list[tuple[int, Submission, Row[Any]]] = []
    for place, each in fresh:
        document = rows[each.new.key]
        # Most documents are new: nothing is to be looked up or taken out of the queue for them.
        known = None if document.indexing_token == -nonce else _known(connection, document, each)
        if known is not None:
            results[place] = known
            continue
        if document.indexing_token != -nonce:
            supersede_older(connection, document, now_us)
        to_insert.append((place, each, document))
    inserted = _insert(connection, [(each, row) for _, each, row in to_insert], now_us)
    for (place, _, _), job in zip(to_insert, inserted, strict=True):
        results[place] = Accepted(job)
    return results


def _with_same_keys(
    connection: Connection, new: Sequence[NewJob]
) -> Mapping[tuple[str, str], Row[Any]]:
    """Returns the jobs that idempotency keys were used for before."""
    keys = [each.idempotency_key for each in new if each.idempotency_key]
    if not keys:
        return {}
    tenants = sorted({each.key.tenant for each in new})
    rows = connection.execute(
        select(jobs).where(jobs.c.tenant.in_(tenants), jobs.c.idempotency_key.in_(keys))
    )
    return {(row.tenant, row.idempotency_key): row for row in rows}


def _known(connection: Connection, document: Row[Any], each: Submission) -> Accepted | None:
    """Returns the job that makes this submission superfluous, if there is one."""
    latest = None if document.is_deleted else latest_job(connection, document)
    if latest is None or latest.fingerprint != each.new.fingerprint:
        return None
    if latest.state in UNENDED:
        return Accepted(job_from_row(latest), is_duplicate=True)
    if latest.state == JobState.READY and latest.job_id == each.verified_job_id:
        return Accepted(job_from_row(latest), is_unchanged=True)
    return None


def _lock_documents(
    connection: Connection, keys: Sequence[DocumentKey], now_us: int
) -> tuple[dict[DocumentKey, Row[Any]], int]:
    """Returns the documents' rows, made where they are missing, held until the transaction ends.

    Rows that were just made carry the negative of the number returned as their token.
    """
    if not keys:
        return {}, 0
    nonce = secrets.randbits(_NONCE_BITS) + 1
    ordered = sorted(keys, key=lambda key: (key.tenant, key.collection, key.document_id))
    bulk.insert_new(
        connection,
        documents,
        [
            {
                "tenant": key.tenant,
                "collection": key.collection,
                "document_id": key.document_id,
                # Not 0: whoever still works on a document of this name that was deleted and
                # forgotten must not take this one for his.
                "generation": now_us,
                "is_deleted": False,
                "indexed_generation": 0,
                "indexed_version": 0,
                "indexed_job_id": "",
                "indexed_fingerprint": "",
                "indexing_token": -nonce,
                "indexing_until_us": 0,
                "purge_at_us": 0,
            }
            for key in ordered
        ],
    )
    rows: dict[DocumentKey, Row[Any]] = {}
    for tenant, collection in sorted({(key.tenant, key.collection) for key in keys}):
        ids = [
            key.document_id
            for key in ordered
            if (key.tenant, key.collection) == (tenant, collection)
        ]
        wanted = {"tenant": tenant, "collection": collection, "ids": ids}
        found = connection.execute(_FIND_DOCUMENTS, wanted)
        rows |= {DocumentKey(tenant, collection, row.document_id): row for row in found}
    return rows, nonce


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


def _repeated(former: Row[Any], new: NewJob) -> Accepted | ServiceError:
    if former.fingerprint != new.fingerprint:
        return AlreadyExistsError(
            Reason.IDEMPOTENCY_CONFLICT,
            "the idempotency key was used before with another document or other content; "
            "use a new key for new content",
            metadata={"job_id": former.job_id},
        )
    return Accepted(job_from_row(former), is_duplicate=True)


def _insert(
    connection: Connection, new: Sequence[tuple[Submission, Row[Any]]], now_us: int
) -> list[Job]:
    """Queues documents, whose rows are locked, and returns their jobs."""
    if not new:
        return []
    rows = [_row_of(each.new, document, now_us) for each, document in new]
    bulk.update_each(
        connection,
        documents,
        [{"document_key": row["document_key"], "generation": row["generation"]} for row in rows],
        "is_deleted = FALSE, purge_at_us = 0",
    )
    bulk.insert_new(connection, jobs, rows)
    ids = [row["job_id"] for row in rows]
    stored = {row.job_id: row for row in connection.execute(_FIND_JOBS, {"ids": ids})}
    if len(stored) < len(ids):
        raise IdempotencyRaceError
    _store_contents(connection, zip(ids, (each.content for each, _ in new), strict=True))
    tenants = sorted({each.new.key.tenant for each, _ in new})
    bulk.insert_new(connection, turns, [{"tenant": tenant, "served_us": 0} for tenant in tenants])
    return [job_from_row(stored[job_id]) for job_id in ids]


def _store_contents(connection: Connection, stored: Iterable[tuple[str, Content]]) -> None:
    """Stores bytes, a few pieces at a time: a large document is never held whole."""
    rows: list[tuple[str, int, bytes]] = []
    size_bytes = 0
    for content_id, content in stored:
        for number, piece in enumerate(content.pieces):
            rows.append((content_id, number, piece))
            size_bytes += len(piece)
            if size_bytes >= _BYTES_AT_ONCE:
                bulk.insert(connection, contents, rows)
                rows, size_bytes = [], 0
    bulk.insert(connection, contents, rows)


def _row_of(new: NewJob, document: Row[Any], now_us: int) -> dict[str, Any]:
    job_id = new_id("job", now_us)
    generation = document.generation + 1
    return new_row(new.key, document.document_key, generation, job_id, now_us) | {
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
