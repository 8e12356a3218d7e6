"""What workers do to jobs besides checkpoints: claim them, keep them, give them back, fail them.

Every write proves by its fencing token that the worker still has the job.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, select, update

from services.ingestion.failures import Failure, FailureReason, LeaseLostError, Stage
from services.ingestion.jobs.model import JobState, Lease
from services.ingestion.jobs.rows import lease_from_row
from services.ingestion.jobs.tables import documents, jobs, turns

MAX_ATTEMPTS = 5
"""Attempts on one stage; the last failure ends the job."""

SUSPECT_ATTEMPTS = 2
"""Attempts on one stage after which a job is a suspect: what it ran with may have died of it. It
runs with few others, then alone, so that only the one to blame uses its attempts up."""
_SUSPECTS_AT_ONCE = {2: 8, 3: 2}
TENANTS_PER_CLAIM = 8
"""Tenants whose jobs one claim takes: each gets its share of them at least."""
_EXPIRED_PER_CLAIM = 64

# Statements are made once: to make one takes longer than SQLite takes to run it.
_NUMBERS = bindparam("numbers", expanding=True)
_NOW_US = bindparam("now_us")
_SET_DUE = (
    update(jobs)
    .where(jobs.c.state == JobState.WAITING, jobs.c.next_attempt_us <= _NOW_US)
    .values(state=JobState.QUEUED)
)
_FIND_EXPIRED = (
    select(jobs.c.number, jobs.c.attempt_count, jobs.c.stage)
    .where(jobs.c.state == JobState.RUNNING, jobs.c.lease_until_us < _NOW_US)
    .limit(_EXPIRED_PER_CLAIM)
    .with_for_update(skip_locked=True)
)
_TAKE = (
    update(jobs)
    .where(jobs.c.number.in_(_NUMBERS))
    .values(
        state=JobState.RUNNING,
        lease_owner=bindparam("owner"),
        lease_token=jobs.c.lease_token + 1,
        lease_until_us=bindparam("until_us"),
        attempt_count=jobs.c.attempt_count + 1,
        next_attempt_us=0,
        updated_us=_NOW_US,
        revision=jobs.c.revision + 1,
    )
    .returning(*jobs.c)
)
_SET_SERVED = (
    update(turns)
    .where(turns.c.tenant.in_(bindparam("tenants", expanding=True)))
    .values(served_us=_NOW_US)
)
_FIND_VERSIONS = select(documents.c.document_key, documents.c.indexed_version).where(
    documents.c.document_key.in_(bindparam("keys", expanding=True))
)
_FIND_LEASES = (
    select(jobs.c.number, jobs.c.job_id, jobs.c.lease_token)
    .where(
        jobs.c.job_id.in_(bindparam("job_ids", expanding=True)), jobs.c.state == JobState.RUNNING
    )
    .order_by(jobs.c.number)
    .with_for_update()
)
_EXTEND = (
    update(jobs).where(jobs.c.number.in_(_NUMBERS)).values(lease_until_us=bindparam("until_us"))
)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Statements that look among some of the jobs."""

    tenants: Select[str]
    """Whose jobs there are, who waited longest first."""
    other_tenants: Select[str]
    """The same, without those in `:except_tenants`."""
    jobs: Select[int, int, int]
    """The first `:share` jobs of `:tenant`."""


def _choice(*is_taken: ColumnElement[bool]) -> _Choice:
    has_work = exists().where(*is_taken, jobs.c.tenant == turns.c.tenant)
    tenants = (
        select(turns.c.tenant)
        .where(has_work)
        .order_by(turns.c.served_us, turns.c.tenant)
        .limit(TENANTS_PER_CLAIM)
    )
    return _Choice(
        tenants,
        tenants.where(turns.c.tenant.not_in(bindparam("except_tenants", expanding=True))),
        select(jobs.c.number, jobs.c.size_bytes, jobs.c.attempt_count)
        .where(*is_taken, jobs.c.tenant == bindparam("tenant"))
        .order_by(jobs.c.rank, jobs.c.number)
        .limit(bindparam("share"))
        .with_for_update(skip_locked=True),
    )


_QUEUED = _choice(jobs.c.state == JobState.QUEUED)
_QUEUED_UNSUSPECTED = _choice(
    jobs.c.state == JobState.QUEUED, jobs.c.attempt_count < SUSPECT_ATTEMPTS
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a worker has room for."""

    most: int = 1
    """Jobs; 0: none, but what vanished workers had in work goes back into the queue."""
    most_bytes: int = 1 << 40
    """Size of their documents together; the first is taken whatever its size."""
    except_tenants: Collection[str] = ()
    """Tenants whose jobs are not taken: the room left is for the others."""
    is_alone: bool = True
    """Whether the worker has nothing else in work: suspects are taken on this condition only."""
    is_proven: bool = True
    """Whether the worker has brought a job to its end since it began. One that has not takes
    suspects only when there is nothing else: it may die of something that is no job's fault, over
    and over, and those that were lost before would be the first it gets."""


def claim(
    connection: Connection, owner: str, now_us: int, lease_us: int, wanted: Wanted
) -> list[Lease]:
    """Takes the next jobs.

    They come in equal shares from the tenants that waited longest, of each the most urgent first,
    then the oldest.
    """
    connection.execute(_SET_DUE, {"now_us": now_us})
    _recover_expired(connection, now_us)
    if wanted.most <= 0:
        return []
    numbers, tenants = _choose(connection, wanted)
    if not numbers:
        return []
    taking = {"owner": owner, "now_us": now_us, "until_us": now_us + lease_us}
    rows = connection.execute(_TAKE, {"numbers": numbers, **taking}).all()
    connection.execute(_SET_SERVED, {"tenants": tenants, "now_us": now_us})
    versions = connection.execute(_FIND_VERSIONS, {"keys": [row.document_key for row in rows]})
    known = {row.document_key: row.indexed_version for row in versions}
    order = {number: place for place, number in enumerate(numbers)}
    return [
        lease_from_row(row, known.get(row.document_key, 0))
        for row in sorted(rows, key=lambda row: order[row.number])
    ]


def _choose(connection: Connection, wanted: Wanted) -> tuple[list[int], list[str]]:
    """Returns the numbers of the jobs to take, locked, and whose they are."""
    if not wanted.is_proven:
        chosen = _choose_among(connection, wanted, _QUEUED_UNSUSPECTED)
        if chosen[0]:
            return chosen
    return _choose_among(connection, wanted, _QUEUED)


def _choose_among(
    connection: Connection, wanted: Wanted, among: _Choice
) -> tuple[list[int], list[str]]:
    if wanted.except_tenants:
        others = {"except_tenants": sorted(wanted.except_tenants)}
        waiting = connection.scalars(among.other_tenants, others).all()
    else:
        waiting = connection.scalars(among.tenants).all()
    numbers: list[int] = []
    tenants: list[str] = []
    size_bytes = 0
    for place, tenant in enumerate(waiting):
        share = -(-(wanted.most - len(numbers)) // (len(waiting) - place))
        found = connection.execute(among.jobs, {"tenant": tenant, "share": share}).all()
        if found and found[0].attempt_count >= SUSPECT_ATTEMPTS and not numbers:
            # Not taken now, nothing is: the worker comes back when what it has is done.
            return (_suspects(found), [tenant]) if wanted.is_alone else ([], [])
        for row in found:
            if row.attempt_count >= SUSPECT_ATTEMPTS:
                break
            size_bytes += row.size_bytes
            if numbers and size_bytes > wanted.most_bytes:
                return numbers, tenants
            numbers.append(row.number)
            if tenant not in tenants:
                tenants.append(tenant)
        if len(numbers) >= wanted.most:
            break
    return numbers, tenants


def _suspects(found: Sequence[Row[int, int, int]]) -> list[int]:
    most = _SUSPECTS_AT_ONCE.get(found[0].attempt_count, 1)
    alike = [row.number for row in found if row.attempt_count == found[0].attempt_count]
    return alike[:most]


def _recover_expired(connection: Connection, now_us: int) -> None:
    """Puts jobs of vanished workers back into the queue; ends those that outlive their attempts."""
    expired = connection.execute(_FIND_EXPIRED, {"now_us": now_us}).all()
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
    rows = connection.execute(_FIND_LEASES, {"job_ids": sorted(tokens)}).all()
    held = [row for row in rows if row.lease_token == tokens[row.job_id]]
    if held:
        extended = {"numbers": [row.number for row in held], "until_us": now_us + lease_us}
        connection.execute(_EXTEND, extended)
    return {row.job_id for row in held}


def _held(lease: Lease) -> tuple[Any, ...]:
    return (
        jobs.c.job_id == lease.job.job_id,
        jobs.c.lease_token == lease.token,
        jobs.c.state == JobState.RUNNING,
    )


def _write(connection: Connection, lease: Lease, now_us: int, **values: Any) -> None:
    """Changes a job that is held.

    Raises:
        LeaseLostError: it is not held any more.
    """
    result = connection.execute(
        update(jobs)
        .where(*_held(lease))
        .values(updated_us=now_us, revision=jobs.c.revision + 1, **values)
    )
    if result.rowcount == 0:
        raise LeaseLostError


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
    row = connection.execute(select(jobs.c.attempt_count).where(*_held(lease))).first()
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
