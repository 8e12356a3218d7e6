"""Group commit: one thread runs many callers' functions in one transaction, answers after COMMIT.

A commit waits for the disk (about 4 ms on a common SSD). Whoever comes while one is under way
shares the next, so throughput grows with the callers and a lone caller waits for nobody.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.rpc.logs import exception_fields, get_logger
from services.sql.engine import WRITES, is_sqlite
from services.sql.failures import full, is_full, is_retryable, is_sync_failure, translate
from services.sql.log_mover import LogMover
from services.sql.spans import database_span

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, Engine

    from services.sql.ballast import Ballast

T = TypeVar("T")

_URGENT_GROUPS_IN_A_ROW = 4
"""Then one of the others, so that a stream of urgent functions starves nobody."""


@dataclass(slots=True)
class _Job:
    """One caller's function and where its result goes."""

    fn: Callable[[Connection], Any]
    future: concurrent.futures.Future[Any]
    deadline: float
    """`time.monotonic()` after which nobody waits any more."""
    frees_space: bool = False
    """Whether it may have the disk's reserve."""
    was_full: bool = False
    """Whether it found no space before."""
    result: Any = None
    error: BaseException | None = None


class _TransactionBrokenError(Exception):
    """The whole transaction is gone, not just one function's part of it."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


class GroupWriter:
    """Runs writing functions one after the other, many to a transaction.

    Args:
        engine: Database.
        max_queue: Functions that may wait; more are refused.
        max_group: Functions in one transaction at most.
        max_patient_group: The same of functions that are not urgent, where those that are shall
            not wait long behind them; unset: `max_group`.
        timeout_seconds: Longest wait for an answer when the request has no earlier deadline.
        ballast: Space on the disk that is kept for functions that free some.
        moves_log: Whether SQLite's log is moved into its file beside the commits (see `LogMover`).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_queue: int = 1024,
        max_group: int = 64,
        max_patient_group: int | None = None,
        timeout_seconds: float = 10.0,
        ballast: Ballast | None = None,
        moves_log: bool = False,
    ) -> None:
        self._engine = engine.execution_options(**WRITES)
        self._ballast = ballast
        self._broken: concurrent.futures.Future[BaseException] = concurrent.futures.Future()
        self._max_queue = max_queue
        self._max_group = max_group
        self._max_patient_group = max_group if max_patient_group is None else max_patient_group
        self._timeout_seconds = timeout_seconds
        self._queue: deque[_Job] = deque()
        self._urgent: deque[_Job] = deque()
        self._urgent_in_a_row = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="sql-writer", daemon=True)
        self._thread.start()
        moves = moves_log and is_sqlite(engine)
        self._mover = LogMover(engine, self._stop_writing) if moves else None

    async def run(
        self,
        fn: Callable[[Connection], T],
        *,
        frees_space: bool = False,
        is_urgent: bool = False,
    ) -> T:
        """Runs `fn` in a transaction and returns its result after the COMMIT.

        Args:
            fn: Reads and writes through the connection it is given, and does nothing else: it may
                run more than once (after a lock, or when another function broke a shared
                transaction), and its savepoint is rolled back when it raises.
            frees_space: Whether the function deletes: it is also let through when the disk is full.
            is_urgent: Whether the function goes before those that are not, in a transaction with
                its like; only the transaction that is under way is before it.

        Raises:
            ServiceError: whatever `fn` raises; RESOURCE_EXHAUSTED when the queue or the disk is
                full; UNAVAILABLE when the database is locked or gone; DEADLINE_EXCEEDED when no
                answer came in time, in which case the function ran wholly or not at all.
        """
        remaining = remaining_seconds()
        wait = self._timeout_seconds if remaining is None else min(self._timeout_seconds, remaining)
        if wait <= 0:
            raise _too_late()
        job = _Job(fn, concurrent.futures.Future(), time.monotonic() + wait, frees_space)
        with database_span(self._engine, "write"):
            self._put(job, is_urgent=is_urgent)
            try:
                # A little grace lets the writer's own, more precise error arrive first.
                async with asyncio.timeout(wait + 0.25):
                    return await asyncio.wrap_future(job.future)
            except TimeoutError:
                raise _too_late() from None

    async def broken(self) -> BaseException:
        """Waits until the disk fails to confirm a write, and returns how it failed.

        Nothing is written from then on. What the failed write left on the disk is unknown, and a
        later confirmation would say nothing about it: the process has to end, and the next one to
        recover what is really there.
        """
        return await asyncio.shield(asyncio.wrap_future(self._broken))

    async def close(self) -> None:
        """Finishes what is queued and ends the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)
        if self._mover is not None:
            await asyncio.to_thread(self._mover.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _put(self, job: _Job, *, is_urgent: bool) -> None:
        with self._wake:
            if self._closed:
                raise UnavailableError(Reason.NOT_READY, "the store is closing")
            if self._broken.done():
                raise _disk_failed()
            if len(self._queue) + len(self._urgent) >= self._max_queue:
                raise ResourceExhaustedError(
                    Reason.OVERLOADED,
                    "too many writes are waiting",
                    metadata={"limit": str(self._max_queue)},
                    retry_after_seconds=0.5,
                )
            (self._urgent if is_urgent else self._queue).append(job)
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._urgent and not self._closed:
                    self._wake.wait()
                if not self._queue and not self._urgent:
                    return
                jobs = self._take()
            # Cancelled callers' functions have not begun and never will.
            self._finish([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _take(self) -> list[_Job]:
        """Returns the next group, all of it urgent or none; the rest has a turn now and then."""
        is_urgent = bool(self._urgent) and (
            not self._queue or self._urgent_in_a_row < _URGENT_GROUPS_IN_A_ROW
        )
        self._urgent_in_a_row = self._urgent_in_a_row + 1 if is_urgent else 0
        queue = self._urgent if is_urgent else self._queue
        most = self._max_group if is_urgent else self._max_patient_group
        return [queue.popleft() for _ in range(min(len(queue), most))]

    def _finish(self, jobs: list[_Job]) -> None:
        """Runs the jobs until each has an answer."""
        while jobs := self._admit(_drop_late(jobs)):
            try:
                self._transact(jobs)
            except _TransactionBrokenError as broken:
                again = self._settle_broken(jobs, broken.cause)
            else:
                again = [job for job in jobs if self._retries(job)]
            jobs = again
            if jobs:
                time.sleep(0.005)

    def _settle_broken(self, jobs: list[_Job], cause: BaseException) -> list[_Job]:
        """Settles a group whose transaction was lost; returns the jobs to try again together."""
        for job in jobs:
            job.error = cause
        if is_sync_failure(cause):
            self._stop_writing(cause)
        elif is_retryable(cause):
            return jobs
        failure = translate(cause)
        if len(jobs) > 1 and not isinstance(failure, UnavailableError):
            # One function's failure (say, a row too large for the disk) must not fail its
            # neighbours.
            for job in jobs:
                self._finish([job])
            return []
        return [job for job in jobs if self._retries(job)]

    def _retries(self, job: _Job) -> bool:
        """Answers a job unless it is to be tried again, with space made for it if it frees some."""
        if job.error is not None:
            if self._ballast is not None and is_full(job.error):
                if self._finds_space(job, self._ballast):
                    return True
            elif is_retryable(job.error):
                return True
        _answer(job)
        return False

    def _finds_space(self, job: _Job, ballast: Ballast) -> bool:
        """Makes space for a job that found none: what the log does not need, then the reserve."""
        is_first = not job.was_full
        job.was_full = True
        return (is_first and ballast.tidy()) or (job.frees_space and ballast.give())

    def _admit(self, jobs: list[_Job]) -> list[_Job]:
        """Answers those that may not be written now; returns the others."""
        refusal = None
        if self._broken.done():
            refusal = _disk_failed()
        elif self._ballast is not None and not self._ballast.put():
            refusal = full()
        if refusal is None:
            return jobs
        admitted = []
        for job in jobs:
            if job.frees_space and not self._broken.done():
                admitted.append(job)
            else:
                job.error = refusal
                _answer(job)
        return admitted

    def _stop_writing(self, cause: BaseException) -> None:
        get_logger().critical("the disk did not confirm a write", **exception_fields(cause))
        with self._wake:
            if not self._broken.done():
                self._broken.set_result(cause)

    def _transact(self, jobs: list[_Job]) -> None:
        """Runs all jobs in one transaction and commits it; each job's error stays its own.

        A lone job has the transaction for itself: on SQLite each statement less is a wait less for
        the interpreter while other processes wait for the database.

        Raises:
            _TransactionBrokenError: nothing of the group is known to be committed.
        """
        try:
            with self._engine.connect() as connection, connection.begin():
                if len(jobs) == 1:
                    (job,) = jobs
                    job.error, job.result = None, job.fn(connection)
                else:
                    for job in jobs:
                        _run_in_savepoint(connection, job)
        except _TransactionBrokenError:
            raise
        except Exception as error:
            raise _TransactionBrokenError(error) from error


def _run_in_savepoint(connection: Connection, job: _Job) -> None:
    job.result, job.error = None, None
    savepoint = connection.begin_nested()
    try:
        job.result = job.fn(connection)
        savepoint.commit()
    except Exception as error:
        if is_sync_failure(error):
            raise _TransactionBrokenError(error) from error
        try:
            savepoint.rollback()
        except SQLAlchemyError:
            # SQLite rolls the whole transaction back by itself when the disk is full or fails.
            raise _TransactionBrokenError(error) from error
        if connection.invalidated:
            raise _TransactionBrokenError(error) from error
        job.error = error


def _drop_late(jobs: list[_Job]) -> list[_Job]:
    """Answers jobs whose deadline passed with why they waited; returns the others."""
    now = time.monotonic()
    live = []
    for job in jobs:
        if job.deadline > now:
            live.append(job)
        else:
            if job.error is None:
                job.error = _too_late()
            _answer(job)
    return live


def _answer(job: _Job) -> None:
    if job.error is None:
        job.future.set_result(job.result)
    else:
        job.future.set_exception(translate(job.error))


def _disk_failed() -> UnavailableError:
    return UnavailableError(
        Reason.DEPENDENCY_UNAVAILABLE,
        "the disk did not confirm a write: nothing is written until the process has been restarted",
        retry_after_seconds=5.0,
    )


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED,
        "the store did not answer in time",
        metadata={"stage": "store"},
    )
