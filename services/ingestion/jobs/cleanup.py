"""Removing bytes and intermediate results that no job needs any more."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, exists, select

from services.ingestion.jobs.model import ENDED, JobState
from services.ingestion.jobs.tables import artifacts, contents, documents, jobs


def drop_artifacts(connection: Connection, job_id: str, *, keep: tuple[str, ...] = ()) -> None:
    """Removes a job's intermediate results, except the kinds to keep."""
    connection.execute(
        delete(artifacts).where(artifacts.c.job_id == job_id, artifacts.c.kind.not_in(keep))
    )


def drop_content_of(connection: Connection, row: Row[Any], *, keep: str) -> None:
    """Removes what a replaced job stored, unless the indexed job (`keep`) shares its bytes."""
    if row.job_id == keep:
        return
    drop_artifacts(connection, row.job_id)
    shared = select(jobs.c.number).where(
        jobs.c.document_key == row.document_key,
        jobs.c.content_id == row.content_id,
        jobs.c.number != row.number,
        (jobs.c.job_id == keep) | jobs.c.state.not_in(ENDED) | jobs.c.is_latest,
    )
    if connection.execute(shared.limit(1)).first() is None:
        connection.execute(delete(contents).where(contents.c.content_id == row.content_id))


def erase_document(connection: Connection, document_key: int) -> None:
    """Removes all jobs of a document with all they stored; its own row stays."""
    of_document = select(jobs.c.job_id).where(jobs.c.document_key == document_key)
    content_ids = select(jobs.c.content_id).where(jobs.c.document_key == document_key)
    connection.execute(delete(artifacts).where(artifacts.c.job_id.in_(of_document)))
    connection.execute(delete(contents).where(contents.c.content_id.in_(content_ids)))
    connection.execute(delete(jobs).where(jobs.c.document_key == document_key))


def prune_history(connection: Connection, before_us: int, limit: int) -> int:
    """Removes replaced jobs that ended before a time; returns how many."""
    is_indexed = exists().where(documents.c.indexed_job_id == jobs.c.job_id)
    numbers = connection.scalars(
        select(jobs.c.number)
        .where(
            jobs.c.state.in_([JobState.SUPERSEDED, JobState.READY, JobState.CANCELLED]),
            jobs.c.is_latest.is_(False),
            jobs.c.updated_us < before_us,
            ~is_indexed,
        )
        .limit(limit)
    ).all()
    if numbers:
        connection.execute(delete(jobs).where(jobs.c.number.in_(numbers)))
    return len(numbers)
