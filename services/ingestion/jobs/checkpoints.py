"""Checkpoints: what a stage made is stored with the job's new stage, for many jobs at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, update

from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.holding import held_numbers
from services.ingestion.jobs.tables import artifacts, jobs
from services.sql import bulk

if TYPE_CHECKING:
    from services.ingestion.jobs.model import Lease


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


@dataclass(frozen=True, slots=True)
class Artifact:
    """An intermediate result, or a part of one."""

    kind: str
    data: bytes
    part: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is recorded of one job."""

    lease: Lease
    artifacts: Sequence[Artifact] = ()
    progress: Progress | None = None
    """Set when a stage is complete; None: only a part of its result is stored."""


_ALSO_ADVANCE = (
    "updated_us = :now_us, revision = revision + 1, attempt_count = 1, postponed_count = 0, "
    "lease_until_us = :until_us, failure_reason = '', failure_message = ''"
)


def record(
    connection: Connection, checkpoints: Sequence[Checkpoint], now_us: int, lease_us: int
) -> list[LeaseLostError | None]:
    """Stores checkpoints of different jobs; those whose lease is lost change nothing.

    Returns:
        For each checkpoint, None, or why it was refused.
    """
    held = held_numbers(connection, [each.lease for each in checkpoints])
    kept = [each for each in checkpoints if each.lease.job.number in held]
    write_held(connection, kept, now_us, lease_us)
    return [None if each.lease.job.number in held else LeaseLostError() for each in checkpoints]


def write_held(
    connection: Connection, kept: Sequence[Checkpoint], now_us: int, lease_us: int
) -> None:
    """Stores checkpoints of jobs that are known to be held, and locked."""
    _store(connection, kept)
    touched = [each.lease.job.number for each in kept if each.progress is None]
    if touched:
        connection.execute(
            update(jobs)
            .where(jobs.c.number.in_(touched))
            .values(updated_us=now_us, revision=jobs.c.revision + 1)
        )
    advanced = [
        {
            "number": each.lease.job.number,
            "stage": each.progress.stage,
            **progress_values(each.progress),
        }
        for each in kept
        if each.progress is not None
    ]
    bulk.update_each(
        connection, jobs, advanced, _ALSO_ADVANCE, now_us=now_us, until_us=now_us + lease_us
    )


def progress_values(progress: Progress) -> dict[str, Any]:
    """Returns the columns that a stage's completion changes, besides the stage."""
    return {
        "stage_seconds_json": json.dumps(dict(progress.stage_seconds)),
        "warnings_json": json.dumps(list(progress.warnings)),
        "title": progress.title,
        "content_type": progress.content_type,
        "chunk_count": progress.chunk_count,
        "reused_chunk_count": progress.reused_chunk_count,
    }


def _store(connection: Connection, checkpoints: Iterable[Checkpoint]) -> None:
    rows = [
        {
            "job_id": each.lease.job.job_id,
            "kind": artifact.kind,
            "part": artifact.part,
            "data": artifact.data,
        }
        for each in checkpoints
        for artifact in each.artifacts
    ]
    bulk.put(connection, artifacts, rows)
