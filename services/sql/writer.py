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
from services.sql.engine import WRITES
from services.sql.failures import is_retryable, translate

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, Engine

T = TypeVar("T")


@dataclass(slots=True)
class _Job:
    """One caller's function and where its result goes."""

    fn: Callable[[Connection], Any]
    future: concurrent.futures.Future[Any]
    deadline: float
    """`time.monotonic()` after which nobody waits any more."""
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
        timeout_seconds: Longest wait for an answer when the request has no earlier deadline.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        max_queue: int = 1024,
        max_group: int = 64,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._engine = engine.execution_options(**WRITES)
        self._max_queue = max_queue
        self._max_group = max_group
        self._timeout_seconds = timeout_seconds
        self._queue: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="sql-writer", daemon=True)
        self._thread.start()

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Runs `fn` in a transaction and returns its result after the COMMIT.

        Args:
            fn: Reads and writes through the connection it is given, and does nothing else: it may
                run more than once (after a lock, or when another function broke a shared
                transaction), and its savepoint is rolled back when it raises.

        Raises:
            ServiceError: whatever `fn` raises; RESOURCE_EXHAUSTED when the queue or the disk is
                full; UNAVAILABLE when the database is locked or gone; DEADLINE_EXCEEDED when no
                answer came in time, in which case the function ran wholly or not at all.
        """
        remaining = remaining_seconds()
        wait = self._timeout_seconds if remaining is None else min(self._timeout_seconds, remaining)
        if wait <= 0:
            raise _too_late()
        job = _Job(fn, concurrent.futures.Future(), time.monotonic() + wait)
        self._put(job)
        try:
            # A little grace lets the writer's own, more precise error arrive first.
            async with asyncio.timeout(wait + 0.25):
                return await asyncio.wrap_future(job.future)
        except TimeoutError:
            raise _too_late() from None

    async def close(self) -> None:
        """Finishes what is queued and ends the thread."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        await asyncio.to_thread(self._thread.join)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _put(self, job: _Job) -> None:
        with self._wake:
            if self._closed:
                raise UnavailableError(Reason.NOT_READY, "the store is closing")
            if len(self._queue) >= self._max_queue:
                raise ResourceExhaustedError(
                    Reason.OVERLOADED,
                    "too many writes are waiting",
                    metadata={"limit": str(self._max_queue)},
                    retry_after_seconds=0.5,
                )
            self._queue.append(job)
            self._wake.notify()

    def _work(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._closed:
                    self._wake.wait()
                if not self._queue:
                    return
                count = min(len(self._queue), self._max_group)
                jobs = [self._queue.popleft() for _ in range(count)]
            # Cancelled callers' functions have not begun and never will.
            self._finish([job for job in jobs if job.future.set_running_or_notify_cancel()])

    def _finish(self, jobs: list[_Job]) -> None:
        """Runs the jobs until each has an answer."""
        while jobs := _drop_late(jobs):
            try:
                self._transact(jobs)
            except _TransactionBrokenError as broken:
                again = self._settle_broken(jobs, broken.cause)
            else:
                again = []
                for job in jobs:
                    if job.error is not None and is_retryable(job.error):
                        again.append(job)
                    else:
                        _answer(job)
            jobs = again
            if jobs:
                time.sleep(0.005)

    def _settle_broken(self, jobs: list[_Job], cause: BaseException) -> list[_Job]:
        """Settles a group whose transaction was lost; returns the jobs to try again together."""
        if is_retryable(cause):
            for job in jobs:
                job.error = cause
            return jobs
        failure = translate(cause)
        if len(jobs) > 1 and not isinstance(failure, UnavailableError):
            # One function's failure (say, a row too large for the disk) must not fail its
            # neighbours.
            for job in jobs:
                self._finish([job])
            return []
        for job in jobs:
            job.error = cause
            _answer(job)
        return []

    def _transact(self, jobs: list[_Job]) -> None:
        """Runs all jobs in one transaction and commits it; each job's error stays its own.

        Raises:
            _TransactionBrokenError: nothing of the group is known to be committed.
        """
        try:
            with self._engine.connect() as connection, connection.begin():
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
    except Exception as error:  # noqa: BLE001 - it is the caller's, handed over by its future
        try:
            savepoint.rollback()
        except SQLAlchemyError:
            # SQLite rolls the whole transaction back by itself when the disk is full or fails.
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


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED,
        "the store did not answer in time",
        metadata={"stage": "store"},
    )
