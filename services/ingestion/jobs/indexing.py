"""The window in which one worker may write a document to retrieval, and what is recorded then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.checkpoints import (
    Checkpoint,
    Progress,
    progress_values,
    write_held,
)
from services.ingestion.jobs.cleanup import drop_content_of
from services.ingestion.jobs.holding import held_numbers, lock_documents
from services.ingestion.jobs.model import JobState
from services.ingestion.jobs.tables import artifacts, documents, jobs
from services.sql import bulk

if TYPE_CHECKING:
    from services.ingestion.jobs.model import Lease

_TOKENS_PER_JOB = 65536
# Made once: to make a statement takes longer than SQLite takes to run it.
_DROP_STEPS = delete(artifacts).where(
    artifacts.c.job_id.in_(bindparam("job_ids", expanding=True)), artifacts.c.kind != "parsed"
)


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
class Indexed:
    """A document that retrieval acknowledged."""

    lease: Lease
    progress: Progress
    version: int


_ALSO_READY = (
    "state = :ready, stage = :indexed, updated_us = :now_us, revision = revision + 1, "
    "failure_reason = '', failure_message = ''"
)


def begin_indexing(
    connection: Connection,
    asked: Sequence[Checkpoint],
    now_us: int,
    *,
    until_us: int,
    lease_us: int,
) -> list[IndexWindow | WindowBusy | LeaseLostError]:
    """Stores what was made of documents, and asks to write them to retrieval.

    Args:
        connection: In a transaction.
        asked: Checkpoints before the write; those without content only ask.
        now_us: The time.
        until_us: End of the windows.
        lease_us: How long a claim lasts without a sign of life.

    Returns:
        For each a window; or that another worker has one; or that the job is not held any
        more, or its document was deleted or replaced.
    """
    leases = [each.lease for each in asked]
    rows = lock_documents(connection, leases)
    held = held_numbers(connection, leases)
    made = [each for each in asked if each.progress and each.lease.job.number in held]
    write_held(connection, made, now_us, lease_us)
    # Two jobs of one document may ask in one call: the second sees what the first was given.
    windows = {key: (row.indexing_token, row.indexing_until_us) for key, row in rows.items()}
    answers: list[IndexWindow | WindowBusy | LeaseLostError] = []
    opened: list[dict[str, int]] = []
    for lease in leases:
        document = rows.get(lease.document_key)
        if (
            document is None
            or lease.job.number not in held
            or document.is_deleted
            or document.generation != lease.generation
        ):
            answers.append(LeaseLostError())
            continue
        token, busy_until_us = windows[lease.document_key]
        # A former attempt of the same job writes the same, so there is no need to wait for it.
        if busy_until_us > now_us and token // _TOKENS_PER_JOB != lease.job.number:
            answers.append(WindowBusy(busy_until_us))
            continue
        windows[lease.document_key] = (_window_token(lease), until_us)
        opened.append(_window(lease, _window_token(lease), until_us))
        answers.append(IndexWindow(_window_token(lease), until_us, document.indexed_version))
    bulk.update_each(connection, documents, opened)
    return answers


def _window(lease: Lease, token: int, until_us: int) -> dict[str, int]:
    return {
        "document_key": lease.document_key,
        "indexing_token": token,
        "indexing_until_us": until_us,
    }


def abandon_indexing(connection: Connection, lease: Lease, window: IndexWindow) -> None:
    """Closes a window in which certainly nothing was written."""
    connection.execute(
        update(documents)
        .where(
            documents.c.document_key == lease.document_key,
            documents.c.indexing_token == window.token,
        )
        .values(indexing_token=0, indexing_until_us=0)
    )


def finish_indexing(connection: Connection, indexed: Sequence[Indexed], now_us: int) -> list[bool]:
    """Records what retrieval acknowledged and ends the jobs as ready.

    Returns:
        For each, whether the job was still held. If not, the version is recorded all the same,
        because retrieval does hold it.
    """
    rows = lock_documents(connection, [each.lease for each in indexed])
    held = held_numbers(connection, [each.lease for each in indexed])
    _record_documents(connection, indexed, rows, _still_known(connection, indexed, held))
    done = [
        each
        for each in indexed
        if each.lease.job.number in held and each.lease.document_key in rows
    ]
    if done:
        bulk.update_each(
            connection,
            jobs,
            [
                {
                    "number": each.lease.job.number,
                    "document_version": each.version,
                    **progress_values(each.progress),
                }
                for each in done
            ],
            _ALSO_READY,
            ready=JobState.READY,
            indexed=Stage.INDEXED,
            now_us=now_us,
        )
        job_ids = [each.lease.job.job_id for each in done]
        connection.execute(_DROP_STEPS, {"job_ids": job_ids})
        for each in done:
            _drop_replaced(connection, rows[each.lease.document_key], each.lease)
    numbers = {each.lease.job.number for each in done}
    return [each.lease.job.number in numbers for each in indexed]


def _still_known(connection: Connection, indexed: Sequence[Indexed], held: set[int]) -> set[str]:
    """Returns the ids of jobs that exist: the others' documents were deleted, and may be new."""
    known = {each.lease.job.job_id for each in indexed if each.lease.job.number in held}
    lost = [each.lease.job.job_id for each in indexed if each.lease.job.number not in held]
    if lost:
        known |= set(connection.scalars(select(jobs.c.job_id).where(jobs.c.job_id.in_(lost))))
    return known


def _record_documents(
    connection: Connection,
    indexed: Sequence[Indexed],
    rows: dict[int, Row[Any]],
    known: set[str],
) -> None:
    closed, changed = [], {}
    for each in indexed:
        lease = each.lease
        row = rows.get(lease.document_key)
        if row is None:
            continue
        if row.indexing_token == _window_token(lease):
            closed.append(_window(lease, 0, 0))
        newest = changed.get(lease.document_key, {}).get(
            "indexed_generation", row.indexed_generation
        )
        is_current = not row.is_deleted and lease.job.job_id in known
        if is_current and lease.generation > newest:
            changed[lease.document_key] = {
                "document_key": lease.document_key,
                "indexed_generation": lease.generation,
                "indexed_version": each.version,
                "indexed_job_id": lease.job.job_id,
                "indexed_fingerprint": lease.fingerprint,
            }
    bulk.update_each(connection, documents, closed)
    bulk.update_each(connection, documents, list(changed.values()))


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
