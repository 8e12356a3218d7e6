"""The queue as its users see it: every method is one transaction off the event loop."""

from __future__ import annotations

import asyncio
import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Self, TypeVar

from services.ingestion.jobs import (
    checkpoints,
    claims,
    cleanup,
    control,
    indexing,
    queries,
    room,
    submission,
)
from services.ingestion.jobs.rows import MICROSECONDS, Clock, system_clock
from services.ingestion.jobs.tables import COMPONENT, SCHEMA_VERSION, metadata
from services.ingestion.sharing import SharedCalls
from services.rpc.errors import DeadlineExceededError, UnavailableError
from services.sql.engine import open_engine
from services.sql.log_mover import MOVED_LOG_PAGES
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, Engine

    from services.ingestion.document import Content, DocumentKey
    from services.ingestion.failures import Failure, LeaseLostError, Stage
    from services.ingestion.jobs.model import (
        Accepted,
        IndexedDocument,
        Job,
        JobState,
        Lease,
        NewJob,
        QueueStats,
    )

T = TypeVar("T")

_REINDEX_PAGE = 100
_SUBMISSIONS_AT_ONCE = 16
_SUBMITTED_BYTES_AT_ONCE = 4 << 20
"""A transaction is short, so that nobody waits long behind it."""
_JOBS_AT_ONCE = 16
_URGENT_FUNCTIONS_AT_ONCE, _FUNCTIONS_AT_ONCE = 4, 1
"""Of those that are not urgent each is work for many documents."""
_LOOK_SECONDS = 2.0
"""Leases in the table end so much earlier: workers look for those that ended once a second."""
_MOST_LOOK_SHARE = 0.25
_SHORT_BYTES = 1 << 20
BULK_LINGER_SECONDS = 0.04
"""Bulk work waits so long for company at each checkpoint: its embedding takes longer."""


class JobStore:
    """The jobs table.

    Args:
        engine: Database.
        bounds: How much may wait.
        lease_seconds: Within this time of its last sign of life a job is with another worker.
        clock: The time; workers on several machines need clocks that agree within seconds.
    """

    def __init__(
        self,
        engine: Engine,
        bounds: room.QueueBounds,
        *,
        lease_seconds: float = 20.0,
        clock: Clock = system_clock,
    ) -> None:
        self._engine = engine
        self._bounds = bounds
        look_seconds = min(_LOOK_SECONDS, lease_seconds * _MOST_LOOK_SHARE)
        self._lease_us = int((lease_seconds - look_seconds) * MICROSECONDS)
        self._clock = clock
        self._writer = GroupWriter(
            engine,
            max_group=_URGENT_FUNCTIONS_AT_ONCE,
            max_patient_group=_FUNCTIONS_AT_ONCE,
            moves_log=True,
        )
        self._reader = Reader(engine, threads=4)
        self._room = room.KnownRoom()
        self._submitting = SharedCalls[bool, submission.Submission, "Accepted"](
            self._accept,
            most=_SUBMITTED_BYTES_AT_ONCE,
            weigh=_weight,
            parts_on=lambda error: not isinstance(error, UnavailableError | DeadlineExceededError),
        )
        self._recording = SharedCalls[bool, checkpoints.Checkpoint, None](
            self._record,
            most=_JOBS_AT_ONCE,
            linger_seconds=BULK_LINGER_SECONDS,
            is_urgent=operator.not_,
        )
        self._saving = SharedCalls[bool, checkpoints.Checkpoint, None](
            self._record, most=_JOBS_AT_ONCE
        )
        # Those whose texts were embedded together come together: they need not wait for company.
        self._beginning = SharedCalls[
            tuple[float, bool],
            checkpoints.Checkpoint,
            "indexing.IndexWindow | indexing.WindowBusy",
        ](self._begin, most=_JOBS_AT_ONCE)
        self._reading = SharedCalls[str, str, list[bytes]](self._read_contents, most=_JOBS_AT_ONCE)
        self._finishing = SharedCalls[bool, indexing.Indexed, bool](
            self._finish,
            most=_JOBS_AT_ONCE,
            linger_seconds=BULK_LINGER_SECONDS,
            is_urgent=operator.not_,
        )

    @classmethod
    async def open(
        cls,
        url: str,
        bounds: room.QueueBounds,
        *,
        lease_seconds: float = 20.0,
        clock: Clock = system_clock,
    ) -> Self:
        """Opens a database and makes its tables.

        Raises:
            ServiceError: it does not answer, or belongs to a newer program.
        """
        engine = open_engine(url, pool_size=6, log_pages=MOVED_LOG_PAGES)
        await asyncio.to_thread(
            ensure_schema, engine, metadata, SCHEMA_VERSION, component=COMPONENT
        )
        return cls(engine, bounds, lease_seconds=lease_seconds, clock=clock)

    @property
    def lease_seconds(self) -> float:
        """How long a claim lasts without a sign of life."""
        return self._lease_us / MICROSECONDS

    def now_us(self) -> int:
        """Returns the queue's time."""
        return self._clock()

    # ── what else is kept in this database ────────────────────────────────────────────────────

    @property
    def engine(self) -> Engine:
        """The database, for making further tables in it."""
        return self._engine

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Runs a function that reads (see `Reader.run`)."""
        return await self._reader.run(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Runs a function that writes, in the group commit of the jobs (see `GroupWriter.run`)."""
        return await self._writer.run(fn)

    async def close(self) -> None:
        """Finishes what is under way and closes the database."""
        await self._writer.close()
        await self._reader.close()
        self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # ── submitters ────────────────────────────────────────────────────────────────────────────

    async def check_room(self, tenant: str, count: int = 1) -> None:
        """Refuses work past the bounds on waiting jobs (see `room.measure_room`)."""
        if self._room.has(tenant, count):
            return
        left = await self._reader.run(
            functools.partial(
                room.measure_room,
                tenant=tenant,
                bounds=self._bounds,
                count=count,
                now_us=self._clock(),
            )
        )
        self._room.set(tenant, left)

    async def submit(
        self, new: NewJob, content: Content, verified_job_id: str = "", *, is_bulk: bool = False
    ) -> Accepted:
        """Stores a document and its job, together with those that come meanwhile.

        Args:
            new: The document.
            content: Its bytes.
            verified_job_id: Job whose result retrieval is known to hold (see `Submission`).
            is_bulk: Whether it comes with many others: those that come alone do not wait for them.

        Raises:
            AlreadyExistsError: the idempotency key was used with other content.
        """
        self._room.take(new.key.tenant, 1)
        each = submission.Submission(new, content, verified_job_id)
        return await self._submitting.ask(is_bulk, each)

    async def _accept(
        self, is_bulk: bool, submissions: Sequence[submission.Submission]
    ) -> Sequence[Accepted | Exception]:
        run = functools.partial(submission.accept, submissions=submissions, now_us=self._clock())
        try:
            return await self._writer.run(run, is_urgent=not is_bulk)
        except submission.IdempotencyRaceError:
            return await self._writer.run(run, is_urgent=not is_bulk)

    async def ready_documents(
        self, fingerprints: Mapping[DocumentKey, str]
    ) -> list[IndexedDocument]:
        """Returns documents whose newest job is ready and has the given fingerprint."""
        return await self._reader.run(functools.partial(queries.ready_documents, keys=fingerprints))

    # ── readers ───────────────────────────────────────────────────────────────────────────────

    async def get(self, tenant: str, job_id: str) -> Job:
        """Returns a job (see `queries.get`)."""
        return await self._reader.run(functools.partial(queries.get, tenant=tenant, job_id=job_id))

    async def get_by_document(self, key: DocumentKey) -> Job:
        """Returns the newest job of a document (see `queries.get_by_document`)."""
        return await self._reader.run(functools.partial(queries.get_by_document, key=key))

    async def get_many(self, tenant: str, job_ids: Sequence[str]) -> dict[str, Job]:
        """Returns those of the jobs that exist."""
        return await self._reader.run(
            functools.partial(queries.get_many, tenant=tenant, job_ids=job_ids)
        )

    async def list_page(
        self, wanted: queries.JobFilter, page_size: int, page_token: str
    ) -> tuple[list[Job], str]:
        """Returns a page of jobs (see `queries.list_page`)."""
        return await self._reader.run(
            functools.partial(
                queries.list_page, wanted=wanted, page_size=page_size, page_token=page_token
            )
        )

    async def changed(self, tenant: str, seen: Mapping[str, int]) -> tuple[list[Job], set[str]]:
        """Returns jobs that changed and the ids of those that are gone."""
        return await self._reader.run(functools.partial(queries.changed, tenant=tenant, seen=seen))

    async def stats(self, tenant: str | None) -> QueueStats:
        """Returns the queue's figures, of a tenant or of all."""
        return await self._reader.run(
            functools.partial(queries.stats, tenant=tenant, now_us=self._clock())
        )

    async def principals_of(self, tenant: str, collection: str) -> set[str]:
        """Returns all principals in the access lists of a collection's documents."""
        return await self._reader.run(
            functools.partial(queries.principals_of, tenant=tenant, collection=collection)
        )

    async def read_content(self, content_id: str, size_bytes: int = 0) -> list[bytes]:
        """Returns the stored bytes of a document, in pieces; short ones are read together."""
        if size_bytes > _SHORT_BYTES:
            return (await self._read_contents("", [content_id]))[0]
        return await self._reading.ask("", content_id)

    async def _read_contents(self, _: str, content_ids: Sequence[str]) -> list[list[bytes]]:
        return await self._reader.run(
            functools.partial(queries.read_contents, content_ids=content_ids)
        )

    async def read_artifact(self, job_id: str, kind: str) -> dict[int, bytes]:
        """Returns the parts of an intermediate result."""
        return await self._reader.run(
            functools.partial(queries.read_artifact, job_id=job_id, kind=kind)
        )

    # ── people ────────────────────────────────────────────────────────────────────────────────

    async def cancel(self, tenant: str, job_ids: Sequence[str]) -> list[Job]:
        """Stops jobs (see `control.cancel`)."""
        return await self._writer.run(
            functools.partial(control.cancel, tenant=tenant, job_ids=job_ids, now_us=self._clock())
        )

    async def retry(self, tenant: str, job_ids: Sequence[str]) -> list[Job]:
        """Queues failed jobs again (see `control.retry`)."""
        return await self._writer.run(
            functools.partial(control.retry, tenant=tenant, job_ids=job_ids, now_us=self._clock())
        )

    async def retry_dead_letters(self, tenant: str, collection: str) -> list[Job]:
        """Queues a collection's dead letters again."""
        return await self._writer.run(
            functools.partial(
                control.retry_dead_letters,
                tenant=tenant,
                collection=collection,
                now_us=self._clock(),
            )
        )

    async def delete_documents(
        self, tenant: str, collection: str, document_ids: Sequence[str], purge_after_seconds: float
    ) -> control.Deletion:
        """Marks documents deleted (see `control.delete_documents`)."""
        now_us = self._clock()
        return await self._writer.run(
            functools.partial(
                control.delete_documents,
                tenant=tenant,
                collection=collection,
                document_ids=document_ids,
                now_us=now_us,
                purge_at_us=now_us + int(purge_after_seconds * MICROSECONDS),
            )
        )

    async def busy_until(self, tenant: str, collection: str, document_ids: Sequence[str]) -> int:
        """Returns until when a worker may be writing one of the documents; 0: none is."""
        return await self._reader.run(
            functools.partial(
                control.busy_until,
                tenant=tenant,
                collection=collection,
                document_ids=document_ids,
                now_us=self._clock(),
            )
        )

    async def due_purges(self, limit: int = 200) -> list[DocumentKey]:
        """Returns deleted documents whose deletion in retrieval is to be repeated."""
        return await self._reader.run(
            functools.partial(control.due_purges, now_us=self._clock(), limit=limit)
        )

    async def finish_purges(self, keys: Sequence[DocumentKey]) -> None:
        """Forgets deleted documents whose deletion is confirmed."""
        await self._writer.run(
            functools.partial(control.finish_purges, keys=keys, now_us=self._clock())
        )

    async def reindex(self, tenant: str, collection: str, *, reparse: bool) -> int:
        """Queues a new job for each ready document of a collection; returns how many."""
        total, after_key = 0, 0
        while True:
            run = functools.partial(
                control.reindex,
                tenant=tenant,
                collection=collection,
                after_key=after_key,
                limit=_REINDEX_PAGE,
                reparse=reparse,
                now_us=self._clock(),
            )
            queued, after_key = await self._writer.run(run)
            total += queued
            if not after_key:
                return total

    async def prune_history(self, older_than_seconds: float, limit: int = 500) -> int:
        """Removes replaced jobs that ended long ago; returns how many."""
        before_us = self._clock() - int(older_than_seconds * MICROSECONDS)
        return await self._writer.run(
            functools.partial(cleanup.prune_history, before_us=before_us, limit=limit)
        )

    # ── workers ───────────────────────────────────────────────────────────────────────────────

    async def claim(self, owner: str) -> Lease | None:
        """Takes the next job, or returns None when none is due."""
        leases = await self.claim_some(owner, claims.Wanted())
        return leases[0] if leases else None

    async def claim_some(self, owner: str, wanted: claims.Wanted) -> list[Lease]:
        """Takes the next jobs (see `claims.claim`)."""
        return await self._writer.run(
            functools.partial(
                claims.claim,
                owner=owner,
                now_us=self._clock(),
                lease_us=self._lease_us,
                wanted=wanted,
            ),
            is_urgent=True,
        )

    async def extend(self, tokens: Mapping[str, int]) -> set[str]:
        """Extends leases; returns the ids of the jobs that are still held."""
        return await self._writer.run(
            functools.partial(
                claims.extend, tokens=tokens, now_us=self._clock(), lease_us=self._lease_us
            ),
            is_urgent=True,
        )

    async def save_artifact(
        self, lease: Lease, kind: str, part: int, data: bytes, *, is_bulk: bool = False
    ) -> None:
        """Stores a part of an intermediate result.

        What is `is_bulk` here and below goes behind what is not.

        Raises:
            LeaseLostError: the job is not held any more.
        """
        artifact = checkpoints.Artifact(kind, data, part)
        await self._saving.ask(is_bulk, checkpoints.Checkpoint(lease, (artifact,)))

    async def complete_stage(
        self,
        lease: Lease,
        progress: checkpoints.Progress,
        *made: tuple[str, bytes],
        is_bulk: bool = False,
    ) -> None:
        """Sets a checkpoint, with what the stages up to it made, in one transaction.

        What is `is_bulk` waits a moment for others to share the transaction.

        Raises:
            LeaseLostError: the job is not held any more.
        """
        artifacts = [checkpoints.Artifact(kind, data) for kind, data in made]
        await self._recording.ask(is_bulk, checkpoints.Checkpoint(lease, artifacts, progress))

    async def _record(
        self, is_bulk: bool, recorded: Sequence[checkpoints.Checkpoint]
    ) -> Sequence[LeaseLostError | None]:
        return await self._writer.run(
            functools.partial(
                checkpoints.record,
                checkpoints=recorded,
                now_us=self._clock(),
                lease_us=self._lease_us,
            ),
            is_urgent=not is_bulk,
        )

    async def postpone(self, lease: Lease, failure: Failure, delay_seconds: float) -> None:
        """Puts a job back because something it needs is down (see `claims.postpone`)."""
        now_us = self._clock()
        await self._writer.run(
            functools.partial(
                claims.postpone,
                lease=lease,
                failure=failure,
                next_attempt_us=now_us + int(delay_seconds * MICROSECONDS),
                now_us=now_us,
            )
        )

    async def give_back(self, lease: Lease) -> None:
        """Puts a job back because the worker stops (see `claims.give_back`)."""
        await self._writer.run(
            functools.partial(claims.give_back, lease=lease, now_us=self._clock())
        )

    async def fail(
        self, lease: Lease, failure: Failure, delay_seconds: float, restart_from: Stage | None
    ) -> JobState:
        """Records a failed attempt (see `claims.fail`)."""
        now_us = self._clock()
        return await self._writer.run(
            functools.partial(
                claims.fail,
                lease=lease,
                failure=failure,
                next_attempt_us=now_us + int(delay_seconds * MICROSECONDS),
                restart_from=restart_from,
                now_us=now_us,
            )
        )

    async def begin_indexing(
        self,
        lease: Lease,
        window_seconds: float,
        progress: checkpoints.Progress | None = None,
        *made: tuple[str, bytes],
        is_bulk: bool = False,
    ) -> indexing.IndexWindow | indexing.WindowBusy:
        """Asks to write the document to retrieval, and sets the checkpoint before it, if given.

        Raises:
            LeaseLostError: the job is not held any more, or its document was deleted or replaced.
        """
        artifacts = [checkpoints.Artifact(kind, data) for kind, data in made]
        asked = checkpoints.Checkpoint(lease, artifacts, progress)
        return await self._beginning.ask((window_seconds, is_bulk), asked)

    async def _begin(
        self, key: tuple[float, bool], asked: Sequence[checkpoints.Checkpoint]
    ) -> Sequence[indexing.IndexWindow | indexing.WindowBusy | LeaseLostError]:
        now_us = self._clock()
        return await self._writer.run(
            functools.partial(
                indexing.begin_indexing,
                asked=asked,
                now_us=now_us,
                until_us=now_us + int(key[0] * MICROSECONDS),
                lease_us=self._lease_us,
            ),
            is_urgent=not key[1],
        )

    async def abandon_indexing(self, lease: Lease, window: indexing.IndexWindow) -> None:
        """Closes a window in which certainly nothing was written."""
        await self._writer.run(
            functools.partial(indexing.abandon_indexing, lease=lease, window=window)
        )

    async def finish_indexing(
        self,
        lease: Lease,
        progress: checkpoints.Progress,
        version: int,
        *,
        is_bulk: bool = False,
    ) -> bool:
        """Ends a job as ready; returns whether it was still held."""
        return await self._finishing.ask(is_bulk, indexing.Indexed(lease, progress, version))

    async def _finish(self, is_bulk: bool, indexed: Sequence[indexing.Indexed]) -> Sequence[bool]:
        return await self._writer.run(
            functools.partial(indexing.finish_indexing, indexed=indexed, now_us=self._clock()),
            is_urgent=not is_bulk,
        )


def _weight(each: submission.Submission) -> int:
    return max(each.content.size_bytes, _SUBMITTED_BYTES_AT_ONCE // _SUBMISSIONS_AT_ONCE)
