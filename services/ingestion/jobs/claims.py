"""What workers do to jobs.

Every write proves by its fencing token that the worker still has the job.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, exists, select, update

from services.ingestion.failures import Failure, FailureReason, LeaseLostError, Stage
from services.ingestion.jobs.cleanup import drop_artifacts, drop_content_of
from services.ingestion.jobs.model import JobState, Lease
from services.ingestion.jobs.rows import lease_from_row
from services.ingestion.jobs.tables import artifacts, documents, jobs, turns

MAX_ATTEMPTS = 5
"""Attempts on one stage; the last failure ends the job."""

_TENANTS_PER_CLAIM = 8
_EXPIRED_PER_CLAIM = 64
_TOKENS_PER_JOB = 65536


@dataclass(frozen=True, slots=True)
class IndexWindow:
    """Permission to write one document to retrieval, held by one worker for a limited time."""

    token: int
    until_us: int
    known_version: int
    """Version retrieval is known to hold; 0: none."""


@dataclass(frozen=True, slots=True)
class WindowBusy:
    """Another worker may be writing the document; look again later."""

    until_us: int


@dataclass(frozen=True, slots=True)
class Progress:
    """What a completed stage changes in its job."""

    stage: Stage
    stage_seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    title: str
    content_type: str
    chunk_count: int = 0
    reused_chunk_count: int = 0


def claim(connection: Connection, owner: str, now_us: int, lease_us: int) -> Lease | None:
    """Takes the next job: from the tenant that waited longest, its most urgent, oldest one."""
    connection.execute(
        update(jobs)
        .where(jobs.c.state == JobState.WAITING, jobs.c.next_attempt_us <= now_us)
        .values(state=JobState.QUEUED)
    )
    _recover_expired(connection, now_us)
    has_work = exists().where(jobs.c.state == JobState.QUEUED, jobs.c.tenant == turns.c.tenant)
    tenants = connection.scalars(
        select(turns.c.tenant).where(has_work).order_by(turns.c.served_us).limit(_TENANTS_PER_CLAIM)
    ).all()
    for tenant in tenants:
        number = connection.scalar(
            select(jobs.c.number)
            .where(jobs.c.state == JobState.QUEUED, jobs.c.tenant == tenant)
            .order_by(jobs.c.rank, jobs.c.number)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if number is None:
            continue
        row = connection.execute(
            update(jobs)
            .where(jobs.c.number == number)
            .values(
                state=JobState.RUNNING,
                lease_owner=owner,
                lease_token=jobs.c.lease_token + 1,
                lease_until_us=now_us + lease_us,
                attempt_count=jobs.c.attempt_count + 1,
                next_attempt_us=0,
                updated_us=now_us,
                revision=jobs.c.revision + 1,
            )
            .returning(*jobs.c)
        ).one()
        connection.execute(update(turns).where(turns.c.tenant == tenant).values(served_us=now_us))
        indexed_version = connection.scalar(
            select(documents.c.indexed_version).where(documents.c.document_key == row.document_key)
        )
        return lease_from_row(row, indexed_version or 0)
    return None


def _recover_expired(connection: Connection, now_us: int) -> None:
    """Puts jobs of vanished workers back into the queue; ends those that outlive their attempts."""
    expired = connection.execute(
        select(jobs.c.number, jobs.c.attempt_count, jobs.c.stage)
        .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_until_us < now_us)
        .limit(_EXPIRED_PER_CLAIM)
        .with_for_update(skip_locked=True)
    ).all()
    for row in expired:
        values: dict[str, Any] = {"state": JobState.QUEUED}
        if row.attempt_count >= MAX_ATTEMPTS:
            failed = _stage_after(row.stage)
            values = {
                "state": JobState.DEAD_LETTER,
                "failure_reason": FailureReason.WORKER_LOST,
                "failure_message": f"{MAX_ATTEMPTS} workers were lost while they worked on this "
                "document; the log of the last one tells more",
                "failure_stage": failed,
                "failure_is_retryable": False,
            }
        connection.execute(
            update(jobs)
            .where(jobs.c.number == row.number)
            .values(updated_us=now_us, revision=jobs.c.revision + 1, **values)
        )


def _stage_after(stage: int) -> Stage:
    return Stage(min(stage + 1, Stage.INDEXED))


def extend(
    connection: Connection, tokens: Mapping[str, int], now_us: int, lease_us: int
) -> set[str]:
    """Extends leases; returns the ids of the jobs that are still held."""
    held = set()
    for job_id in sorted(tokens):
        result = connection.execute(
            update(jobs)
            .where(*_held(job_id, tokens[job_id]))
            .values(lease_until_us=now_us + lease_us)
        )
        if result.rowcount:
            held.add(job_id)
    return held


def _held(job_id: str, token: int) -> tuple[Any, ...]:
    return (
        jobs.c.job_id == job_id,
        jobs.c.lease_token == token,
        jobs.c.state == JobState.RUNNING,
    )


def _write(connection: Connection, lease: Lease, now_us: int, **values: Any) -> None:
    """Changes a job that is held.

    Raises:
        LeaseLostError: it is not held any more.
    """
    result = connection.execute(
        update(jobs)
        .where(*_held(lease.job.job_id, lease.token))
        .values(updated_us=now_us, revision=jobs.c.revision + 1, **values)
    )
    if result.rowcount == 0:
        raise LeaseLostError


def save_artifact(
    connection: Connection, lease: Lease, kind: str, part: int, data: bytes, now_us: int
) -> None:
    """Stores an intermediate result, or replaces it.

    Raises:
        LeaseLostError: the job is not held any more.
    """
    _write(connection, lease, now_us)
    where = (
        artifacts.c.job_id == lease.job.job_id,
        artifacts.c.kind == kind,
        artifacts.c.part == part,
    )
    replaced = connection.execute(update(artifacts).where(*where).values(data=data))
    if replaced.rowcount == 0:
        connection.execute(
            artifacts.insert().values(job_id=lease.job.job_id, kind=kind, part=part, data=data)
        )


def complete_stage(
    connection: Connection, lease: Lease, progress: Progress, now_us: int, lease_us: int
) -> None:
    """Sets the checkpoint behind a stage and begins the next.

    Raises:
        LeaseLostError: the job is not held any more.
    """
    _write(
        connection,
        lease,
        now_us,
        attempt_count=1,
        postponed_count=0,
        lease_until_us=now_us + lease_us,
        stage=progress.stage,
        failure_reason="",
        failure_message="",
        **_progress_values(progress),
    )


def _progress_values(progress: Progress) -> dict[str, Any]:
    return {
        "stage_seconds_json": json.dumps(dict(progress.stage_seconds)),
        "warnings_json": json.dumps(list(progress.warnings)),
        "title": progress.title,
        "content_type": progress.content_type,
        "chunk_count": progress.chunk_count,
        "reused_chunk_count": progress.reused_chunk_count,
    }


def postpone(
    connection: Connection, lease: Lease, failure: Failure, next_attempt_us: int, now_us: int
) -> None:
    """Puts a job back because something it needs is down: the attempt does not count.

    Raises:
        LeaseLostError: the job is not held any more.
    """
    _write(
        connection,
        lease,
        now_us,
        state=JobState.WAITING,
        next_attempt_us=next_attempt_us,
        attempt_count=jobs.c.attempt_count - 1,
        postponed_count=jobs.c.postponed_count + 1,
        **_failure_values(failure),
    )


def give_back(connection: Connection, lease: Lease, now_us: int) -> None:
    """Puts a job back because the worker stops: the attempt does not count.

    Raises:
        LeaseLostError: the job is not held any more.
    """
    _write(
        connection,
        lease,
        now_us,
        state=JobState.QUEUED,
        attempt_count=jobs.c.attempt_count - 1,
    )


def fail(
    connection: Connection,
    lease: Lease,
    failure: Failure,
    *,
    next_attempt_us: int,
    restart_from: Stage | None,
    now_us: int,
) -> JobState:
    """Records a failed attempt: the job waits for its next one, or ends as a dead letter.

    Raises:
        LeaseLostError: the job is not held any more.
    """
    row = connection.execute(
        select(jobs.c.attempt_count).where(*_held(lease.job.job_id, lease.token))
    ).first()
    if row is None:
        raise LeaseLostError
    again = failure.is_retryable and row.attempt_count < MAX_ATTEMPTS
    values = _failure_values(failure)
    if again:
        values["next_attempt_us"] = next_attempt_us
        if restart_from is not None:
            values["stage"] = restart_from
    state = JobState.WAITING if again else JobState.DEAD_LETTER
    _write(connection, lease, now_us, state=state, **values)
    return state


def _failure_values(failure: Failure) -> dict[str, Any]:
    return {
        "failure_reason": failure.reason,
        "failure_message": failure.message,
        "failure_stage": failure.stage,
        "failure_is_retryable": failure.is_retryable,
    }


def begin_indexing(
    connection: Connection, lease: Lease, now_us: int, until_us: int
) -> IndexWindow | WindowBusy:
    """Asks to write the document to retrieval.

    Raises:
        LeaseLostError: the job is not held any more, or the document was deleted or replaced.
    """
    document = _lock_document_of(connection, lease)
    if document is None or document.is_deleted or document.generation != lease.generation:
        raise LeaseLostError
    _write(connection, lease, now_us)
    token = _window_token(lease)
    # A former attempt of the same job writes the same, so there is no need to wait for it.
    is_other = document.indexing_token // _TOKENS_PER_JOB != lease.job.number
    if document.indexing_until_us > now_us and is_other:
        return WindowBusy(document.indexing_until_us)
    connection.execute(
        update(documents)
        .where(documents.c.document_key == document.document_key)
        .values(indexing_token=token, indexing_until_us=until_us)
    )
    return IndexWindow(token, until_us, document.indexed_version)


def abandon_indexing(connection: Connection, lease: Lease, window: IndexWindow) -> None:
    """Closes a window in which certainly nothing was written."""
    connection.execute(
        update(documents)
        .where(
            documents.c.tenant == lease.job.key.tenant,
            documents.c.collection == lease.job.key.collection,
            documents.c.document_id == lease.job.key.document_id,
            documents.c.indexing_token == window.token,
        )
        .values(indexing_token=0, indexing_until_us=0)
    )


def finish_indexing(
    connection: Connection,
    lease: Lease,
    progress: Progress,
    version: int,
    now_us: int,
) -> bool:
    """Records what retrieval acknowledged and ends the job as ready.

    Returns:
        Whether the job was still held. If not, the version is recorded all the same, because
        retrieval does hold it.
    """
    document = _lock_document_of(connection, lease)
    if document is None:
        return False
    values: dict[str, Any] = {}
    if document.indexing_token == _window_token(lease):
        values |= {"indexing_token": 0, "indexing_until_us": 0}
    if not document.is_deleted and lease.generation > document.indexed_generation:
        values |= {
            "indexed_generation": lease.generation,
            "indexed_version": version,
            "indexed_job_id": lease.job.job_id,
            "indexed_fingerprint": lease.fingerprint,
        }
    if values:
        connection.execute(
            update(documents)
            .where(documents.c.document_key == document.document_key)
            .values(**values)
        )
    try:
        _write(
            connection,
            lease,
            now_us,
            state=JobState.READY,
            stage=Stage.INDEXED,
            failure_reason="",
            failure_message="",
            document_version=version,
            **_progress_values(progress),
        )
    except LeaseLostError:
        return False
    drop_artifacts(connection, lease.job.job_id, keep=("parsed",))
    _drop_replaced(connection, document, lease)
    return True


def _drop_replaced(connection: Connection, document: Row[Any], lease: Lease) -> None:
    """Removes the bytes of the version that was indexed before."""
    if document.indexed_job_id in {"", lease.job.job_id}:
        return
    former = connection.execute(
        select(jobs).where(jobs.c.job_id == document.indexed_job_id)
    ).first()
    if former is not None:
        drop_content_of(connection, former, keep=lease.job.job_id)


def _window_token(lease: Lease) -> int:
    """Returns a number that no other claim of any job has."""
    return lease.job.number * _TOKENS_PER_JOB + lease.token % _TOKENS_PER_JOB


def _lock_document_of(connection: Connection, lease: Lease) -> Row[Any] | None:
    key = lease.job.key
    return connection.execute(
        select(documents)
        .where(
            documents.c.tenant == key.tenant,
            documents.c.collection == key.collection,
            documents.c.document_id == key.document_id,
        )
        .with_for_update()
    ).first()
