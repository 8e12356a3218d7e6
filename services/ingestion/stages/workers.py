"""Claims jobs, keeps their leases alive, and records how they end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from services.ingestion import metrics
from services.ingestion.failures import (
    DependencyDownError,
    Failure,
    FailureReason,
    LeaseLostError,
    Stage,
    StageFailedError,
)
from services.ingestion.jobs.claims import SUSPECT_ATTEMPTS, TENANTS_PER_CLAIM, Wanted
from services.ingestion.jobs.model import JobState
from services.ingestion.stages.backoff import attempt_delay_seconds, outage_delay_seconds
from services.ingestion.tracing import continue_trace
from services.rpc.errors import ServiceError
from services.rpc.logs import exception_fields, get_logger
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from services.ingestion.jobs.model import Lease
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.stages.pipeline import Pipeline
    from services.ingestion.wakeup import Wakeup

_HEARTBEATS_PER_LEASE = 5
_STORE_DOWN_SECONDS = 1.0
_GROUPS = 8
"""Jobs are claimed when so large a part of the places is free: a claim of each place by itself,
as it gets free, takes as long as one of all."""
_LEAST_PAUSE_SECONDS = 0.01
"""Between two looks at the queue that found nothing, however often we are woken."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How much a process works on at once."""

    jobs: int = 128
    """More share requests and commits; each holds its document in memory."""
    express_jobs: int = 4
    """Further ones, of tenants that have nothing else in work here: they do not wait until others'
    end."""
    most_bytes: int = 64 << 20
    """Size of the documents together; one that is larger is worked on all the same."""


@dataclass(slots=True)
class _Running:
    """A job under way in this process."""

    lease: Lease
    task: asyncio.Task[None]
    stage: Stage
    is_express: bool
    is_lost: bool = False


@dataclass(slots=True)
class _State:
    running: dict[str, _Running] = field(default_factory=dict)
    is_stopping: bool = False
    is_proven: bool = False
    """Whether a job was brought to its end here."""
    lease_ends: float = 0.0
    """`time.monotonic()` until which the leases certainly last."""
    may_be_more: bool = True
    """Whether jobs may be left that the last look at the queue did not take for want of room."""


class Workers:
    """Works on jobs until it is closed.

    Args:
        store: The queue.
        pipeline: What is done with a job.
        wakeup: Tells when to look for jobs.
        owner: Name of this process in the leases.
        capacity: How much at once.
        poll_seconds: How often to look for jobs when nothing wakes us.
    """

    def __init__(
        self,
        store: JobStore,
        pipeline: Pipeline,
        wakeup: Wakeup,
        *,
        owner: str,
        capacity: Capacity,
        poll_seconds: float,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._wakeup = wakeup
        self._owner = owner
        self._capacity = capacity
        self._poll_seconds = poll_seconds
        self._state = _State()
        self._least = max(1, capacity.jobs // _GROUPS)
        self._loops: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._loops = [asyncio.create_task(self._claim()), asyncio.create_task(self._heartbeat())]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops claiming; jobs under way are given back, to go on behind their checkpoints."""
        self._state.is_stopping = True
        running = [each.task for each in self._state.running.values()]
        for task in (self._loops[0], *running):
            task.cancel()
        await asyncio.gather(self._loops[0], *running, return_exceptions=True)
        self._loops[1].cancel()
        await asyncio.gather(self._loops[1], return_exceptions=True)

    async def _claim(self) -> None:
        while True:
            wanted = self._wanted()
            started = time.monotonic()
            leases: list[Lease] = []
            try:
                leases = await self._store.claim_some(self._owner, wanted)
            except ServiceError as error:
                get_logger().warning("no jobs can be claimed", reason=error.reason.value)
                await asyncio.sleep(_STORE_DOWN_SECONDS)
            except Exception as error:  # noqa: BLE001 - the loop must outlive whatever happens
                get_logger().error("no jobs can be claimed", **exception_fields(error))
                await asyncio.sleep(_STORE_DOWN_SECONDS)
            if leases and not self._state.running:
                self._state.lease_ends = started + self._store.lease_seconds
            for lease in leases:
                self._start(lease)
            # An empty queue is not looked at again until there is a hint: each look is a
            # transaction, and what is just being taken in waits for it.
            self._state.may_be_more = not _took_all(wanted, leases)
            if not leases or not self._state.may_be_more:
                await self._wakeup.wait(self._poll_seconds)
                await asyncio.sleep(_LEAST_PAUSE_SECONDS)

    def _wanted(self) -> Wanted:
        """Returns what there is room for, be it nothing."""
        running = self._state.running.values()
        if any(each.lease.job.attempt_count > SUSPECT_ATTEMPTS for each in running):
            # It may end this process: nothing else is to go down with it.
            return Wanted(most=0)
        free = self._capacity.jobs - len(running)
        size_bytes = sum(each.lease.job.size_bytes for each in running)
        left_bytes = self._capacity.most_bytes - size_bytes
        if free >= self._least and (left_bytes > 0 or not running):
            proven = self._state.is_proven
            return Wanted(free, left_bytes, is_alone=not running, is_proven=proven)
        # Full, perhaps of one tenant's documents: others' go past them.
        free = min(
            self._capacity.express_jobs - sum(each.is_express for each in running),
            self._capacity.jobs + self._capacity.express_jobs - len(running),
        )
        if free <= 0:
            return Wanted(most=0)
        tenants = frozenset(each.lease.job.key.tenant for each in running)
        proven = self._state.is_proven
        return Wanted(free, self._capacity.most_bytes, tenants, is_alone=False, is_proven=proven)

    def _start(self, lease: Lease) -> None:
        is_express = self._is_express(lease)
        task = asyncio.create_task(self._work(lease, is_express=is_express))
        self._state.running[lease.job.job_id] = _Running(lease, task, lease.job.stage, is_express)
        task.add_done_callback(lambda _: self._ended(lease))

    def _is_express(self, lease: Lease) -> bool:
        """Whether the job goes before the bulk: its tenant has no other in work here."""
        running = self._state.running.values()
        if sum(each.is_express for each in running) >= self._capacity.express_jobs:
            return False
        return all(each.lease.job.key.tenant != lease.job.key.tenant for each in running)

    def _ended(self, lease: Lease) -> None:
        ended = self._state.running.pop(lease.job.job_id, None)
        has_room = self._capacity.jobs - len(self._state.running) >= self._least
        if self._state.may_be_more and (has_room or (ended is not None and ended.is_express)):
            self._wakeup.wake()

    async def _heartbeat(self) -> None:
        interval = self._store.lease_seconds / _HEARTBEATS_PER_LEASE
        while True:
            await asyncio.sleep(interval)
            running = dict(self._state.running)
            if not running:
                continue
            started = time.monotonic()
            try:
                held = await self._store.extend(
                    {job_id: each.lease.token for job_id, each in running.items()}
                )
            except Exception as error:  # noqa: BLE001 - whatever it is, leases are not extended
                get_logger().warning("leases cannot be extended", error_type=type(error).__name__)
                held = running.keys() if started + interval < self._state.lease_ends else set()
            else:
                self._state.lease_ends = started + self._store.lease_seconds
            for job_id, each in running.items():
                if job_id not in held and self._state.running.get(job_id) is each:
                    each.is_lost = True
                    each.task.cancel()

    async def _work(self, lease: Lease, *, is_express: bool) -> None:
        """Runs one job; whatever happens to it ends here."""
        with continue_trace(lease.traceparent):
            try:
                with span("ingestion.job", attributes=_attributes(lease)):
                    await self._pipeline.run(
                        lease,
                        lambda stage: self._reached(lease, stage),
                        is_express=is_express,
                    )
                self._state.is_proven = True
                metrics.JOBS.labels("ready", "").inc()
                metrics.FRESHNESS_SECONDS.observe(
                    max(0.0, time.time() - lease.job.created_us / 1e6)
                )
                get_logger().info("document ready", **_log_fields(lease))
            except LeaseLostError:
                metrics.JOBS.labels("lost", "").inc()
            except asyncio.CancelledError:
                await self._give_back(lease)
                raise
            except Exception as error:  # noqa: BLE001 - recorded with the job
                with contextlib.suppress(LeaseLostError):
                    await self._record(lease, error)

    def _reached(self, lease: Lease, stage: Stage) -> None:
        if running := self._state.running.get(lease.job.job_id):
            running.stage = stage

    def _failed_stage(self, lease: Lease) -> Stage:
        running = self._state.running.get(lease.job.job_id)
        done = running.stage if running is not None else lease.job.stage
        return Stage(min(done + 1, Stage.INDEXED))

    async def _give_back(self, lease: Lease) -> None:
        running = self._state.running.get(lease.job.job_id)
        if running is not None and running.is_lost:
            return
        # Without this the job would wait for its lease to run out.
        with contextlib.suppress(LeaseLostError, ServiceError):
            await self._store.give_back(lease)

    async def _record(self, lease: Lease, error: Exception) -> None:
        try:
            if isinstance(error, DependencyDownError):
                await self._postpone(lease, error)
            elif isinstance(error, StageFailedError):
                await self._fail(lease, error)
            elif isinstance(error, ServiceError):
                # Our own store: the lease runs out, and the job goes on when it answers again.
                get_logger().warning(
                    "the queue does not answer", reason=error.reason.value, **_log_fields(lease)
                )
            else:
                get_logger().error(
                    "a stage failed", **_log_fields(lease), **exception_fields(error)
                )
                fault = StageFailedError(
                    FailureReason.INTERNAL,
                    "a fault of the ingestion service; its log has the details",
                    is_retryable=True,
                )
                await self._fail(lease, fault)
        except ServiceError as store_error:
            get_logger().warning(
                "the queue does not answer", reason=store_error.reason.value, **_log_fields(lease)
            )

    async def _postpone(self, lease: Lease, error: DependencyDownError) -> None:
        failure = Failure(
            FailureReason.DEPENDENCY_UNAVAILABLE,
            error.message,
            self._failed_stage(lease),
            is_retryable=True,
        )
        delay = outage_delay_seconds(lease.postponed_count, error.retry_after_seconds)
        await self._store.postpone(lease, failure, delay)
        metrics.JOBS.labels("postponed", error.dependency).inc()
        get_logger().warning(
            "a document waits for another service",
            service_name=error.dependency,
            retry_after_seconds=round(delay, 2),
            **_log_fields(lease),
        )

    async def _fail(self, lease: Lease, error: StageFailedError) -> None:
        failure = Failure(
            error.reason,
            error.message,
            self._failed_stage(lease),
            is_retryable=error.is_retryable,
        )
        delay = attempt_delay_seconds(lease.job.attempt_count)
        state = await self._store.fail(lease, failure, delay, error.restart_from)
        self._state.is_proven = True
        outcome = "dead_letter" if state is JobState.DEAD_LETTER else "retried"
        metrics.JOBS.labels(outcome, error.reason.value).inc()
        get_logger().warning(
            "a document failed",
            state=outcome,
            reason=error.reason.value,
            stage=failure.stage.name,
            **_log_fields(lease),
        )


def _took_all(wanted: Wanted, leases: Sequence[Lease]) -> bool:
    """Whether the queue had no more than was taken: so few that no tenant's share was used up.

    Suspects that were passed over are found by polling.
    """
    if wanted.except_tenants or len(leases) >= wanted.most // TENANTS_PER_CLAIM:
        return False
    if len({lease.job.key.tenant for lease in leases}) >= TENANTS_PER_CLAIM:
        return False
    return sum(lease.job.size_bytes for lease in leases) < wanted.most_bytes // 2


def _attributes(lease: Lease) -> dict[str, str | int]:
    return {
        "cairn.job_id": lease.job.job_id,
        "cairn.collection": lease.job.key.collection,
        "cairn.attempt": lease.job.attempt_count,
    }


def _log_fields(lease: Lease) -> dict[str, str | int]:
    return {
        "tenant": lease.job.key.tenant,
        "collection": lease.job.key.collection,
        "job_id": lease.job.job_id,
        "attempt": lease.job.attempt_count,
    }
