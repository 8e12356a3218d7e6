"""Reads in a bounded pool of threads, each function on one consistent snapshot of the database."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.sql.engine import is_sqlite
from services.sql.failures import translate
from services.sql.spans import database_span

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection, Engine

T = TypeVar("T")


class Reader:
    """Runs reading functions off the event loop.

    Args:
        engine: Database.
        threads: Functions that run at once; also the connections used at most.
        max_waiting: Functions that may wait for a thread; more are refused.
        timeout_seconds: Longest wait for an answer when the request has no earlier deadline.
    """

    def __init__(
        self,
        engine: Engine,
        threads: int = 4,
        *,
        max_waiting: int = 256,
        timeout_seconds: float = 30.0,
    ) -> None:
        # A snapshot for the whole function: SQLite gives it to any transaction, PostgreSQL when
        # asked.
        self._engine = (
            engine
            if is_sqlite(engine)
            else engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )
        )
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="sql-reader")
        self._limit = threads + max_waiting
        self._timeout_seconds = timeout_seconds
        self._running = 0
        self._closed = False

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Runs `fn` in a read transaction in a thread and returns its result.

        Raises:
            ServiceError: whatever `fn` raises; RESOURCE_EXHAUSTED when too many functions wait;
                UNAVAILABLE when the database does not answer; DEADLINE_EXCEEDED when the answer
                came too late.
        """
        remaining = remaining_seconds()
        wait = self._timeout_seconds if remaining is None else min(self._timeout_seconds, remaining)
        if wait <= 0:
            raise _too_late()
        if self._closed:
            raise UnavailableError(Reason.NOT_READY, "the store is closing")
        if self._running >= self._limit:
            raise ResourceExhaustedError(
                Reason.OVERLOADED,
                "too many reads are waiting",
                metadata={"limit": str(self._limit)},
                retry_after_seconds=0.2,
            )
        with database_span(self._engine, "read"):
            return await self._in_thread(fn, wait)

    async def _in_thread(self, fn: Callable[[Connection], T], wait: float) -> T:
        context = contextvars.copy_context()
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: context.run(self.run_here, fn)
        )
        self._running += 1
        future.add_done_callback(self._one_done)
        try:
            async with asyncio.timeout(wait):
                return await asyncio.shield(future)
        except TimeoutError:
            future.cancel()
            raise _too_late() from None
        except asyncio.CancelledError:
            future.cancel()
            raise

    def run_here(self, fn: Callable[[Connection], T]) -> T:
        """Runs `fn` in a read transaction in the calling thread: never on the event loop."""
        try:
            with self._engine.connect() as connection, connection.begin():
                return fn(connection)
        except SQLAlchemyError as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Waits for running functions and ends the threads."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def _one_done(self, future: asyncio.Future[T]) -> None:
        self._running -= 1
        if not future.cancelled():
            future.exception()  # marks it as seen: the caller may be gone


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError(
        Reason.DEADLINE_EXCEEDED,
        "the store did not answer in time",
        metadata={"stage": "store"},
    )
