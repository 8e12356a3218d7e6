"""Checkpoints: what a stage made is stored with the job's new stage, for many jobs at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, update
from sqlalchemy.dialects import postgresql, sqlite

from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.holding import held_numbers
from services.ingestion.jobs.tables import artifacts, jobs

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
    artifact: Artifact | None = None
    progress: Progress | None = None
    """Set when a stage is complete; None: only a part of its result is stored."""


_NUMBER = bindparam("held_number")
_TOUCH = (
    update(jobs)
    .where(jobs.c.number == _NUMBER)
    .values(updated_us=bindparam("now_us"), revision=jobs.c.revision + 1)
)
_ADVANCE = (
    update(jobs)
    .where(jobs.c.number == _NUMBER)
    .values(
        updated_us=bindparam("now_us"),
        revision=jobs.c.revision + 1,
        attempt_count=1,
        postponed_count=0,
        lease_until_us=bindparam("until_us"),
        failure_reason="",
        failure_message="",
        **{
            name: bindparam(f"new_{name}")
            for name in (
                "stage",
                "stage_seconds_json",
                "warnings_json",
                "title",
                "content_type",
                "chunk_count",
                "reused_chunk_count",
            )
        },
    )
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
    _store(connection, kept)
    touched = [each.lease.job.number for each in kept if each.progress is None]
    if touched:
        connection.execute(_TOUCH, [{"held_number": n, "now_us": now_us} for n in touched])
    advanced = [
        {
            "held_number": each.lease.job.number,
            "now_us": now_us,
            "until_us": now_us + lease_us,
            "new_stage": each.progress.stage,
            **{f"new_{name}": value for name, value in progress_values(each.progress).items()},
        }
        for each in kept
        if each.progress is not None
    ]
    if advanced:
        connection.execute(_ADVANCE, advanced)
    return [None if each.lease.job.number in held else LeaseLostError() for each in checkpoints]


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
            "kind": each.artifact.kind,
            "part": each.artifact.part,
            "data": each.artifact.data,
        }
        for each in checkpoints
        if each.artifact is not None
    ]
    if rows:
        make = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        statement = make(artifacts)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[artifacts.c.job_id, artifacts.c.kind, artifacts.c.part],
                set_={"data": statement.excluded.data},
            ),
            rows,
        )
