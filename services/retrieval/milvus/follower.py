"""Keeps Milvus' rows current with the log in SQL: after each write, and by polling.

Milvus has no transactions, so its rows are never the truth. One process at a time brings a
collection's rows forward, from the position noted in Milvus to the newest write: new versions are
inserted before old ones are removed, and the position is noted last. Whoever dies on the way leaves
rows that the next one writes again. Readers hold every row against SQL and so never mix versions.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar

from sqlalchemy import text

from services.retrieval.milvus import expressions, rows
from services.retrieval.store import catalog, changes
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    NotFoundError,
    Reason,
    ServiceError,
    UnavailableError,
)
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from types import TracebackType

    from sqlalchemy import Connection

    from services.retrieval.collections import Collection
    from services.retrieval.milvus.server import Server
    from services.retrieval.store.changes import Change, DocumentState, Position
    from services.retrieval.store.store import Store

T = TypeVar("T")

MAX_WAIT_SECONDS = 30.0
_ROWS_PER_WRITE = 500
_KEYS_PER_CONDITION = 200
_LOCK_SPACE = 0x4D69_6C76
"""First number of the advisory lock on PostgreSQL, so that it meets no other use of them."""


@dataclass(frozen=True, slots=True)
class Applied:
    """How far a collection's rows in Milvus have come."""

    collection: Collection
    """As it was then."""
    seq: int
    """Newest write of the collection among the rows."""
    tenant_seq: int
    """Number up to which the tenant's writes are known to be there or in other collections."""


class Follower:
    """Brings rows forward.

    Args:
        store: The truth.
        server: Where the rows are.
        poll_seconds: Between two looks at the log for other replicas' writes.
    """

    def __init__(self, store: Store, server: Server, poll_seconds: float = 0.05) -> None:
        self._store = store
        self._server = server
        self._poll_seconds = poll_seconds
        self._applied: dict[int, Applied] = {}
        self._required: dict[int, int] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="milvus-write")
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_following = True

    async def __aenter__(self) -> Self:
        self._spawn(self._poll())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def known(self, collection_id: int) -> Applied | None:
        """Returns how far a collection is known to have come."""
        return self._applied.get(collection_id)

    async def at_least(self, collection: Collection, tenant_seq: int = 0) -> Applied:
        """Returns the state of a collection's rows once they have seen a write of the tenant.

        Raises:
            NotFoundError: the collection is gone.
            UnavailableError: the rows were not there in time.
            DeadlineExceededError: no write of that number came in time.
        """
        wanted = max(tenant_seq, self._required.get(collection.id, 0))
        applied = self._applied.get(collection.id)
        async with _within(is_load=applied is None):
            while applied is None or applied.tenant_seq < wanted:
                await self._advance(collection)
                before, applied = applied, self._applied[collection.id]
                if applied == before and applied.tenant_seq < wanted:
                    # Not committed yet, or never: whoever waits has a deadline.
                    await asyncio.sleep(self._poll_seconds)
        return applied

    async def current(self, collection: Collection) -> Applied:
        """Returns the state of the rows after they have seen everything committed by now."""
        positions = await self._store.read(lambda c: changes.positions(c, [collection.id]))
        if collection.id not in positions:
            self._forget(collection.id)
            raise catalog.not_found(collection.name)
        applied = self._applied.get(collection.id)
        if applied is None or applied.seq < positions[collection.id].seq:
            async with _within(is_load=applied is None):
                await self._advance(collection)
        return self._applied[collection.id]

    async def take_in(self, collection: Collection, change: Change) -> None:
        """Brings the rows to a write of this process, before that is acknowledged."""
        applied = self._applied.get(collection.id)
        if applied is not None and applied.seq >= change.seq:
            return
        async with _within(is_load=False):
            await self._advance(collection)

    def require(self, collection_id: int, seq: int) -> None:
        """Makes searches wait for a write that was acknowledged before the rows had it."""
        self._required[collection_id] = max(self._required.get(collection_id, 0), seq)

    async def rebuild(self, collection: Collection) -> None:
        """Writes a collection's rows anew from SQL."""
        await self._in_thread(lambda: self._server.drop(collection))
        self._applied.pop(collection.id, None)
        await self._advance(collection)

    async def drop(self, collection: Collection) -> None:
        """Removes the rows of a collection that is gone from SQL."""
        self._forget(collection.id)
        await self._in_thread(lambda: self._server.drop(collection))

    async def _advance(self, collection: Collection) -> None:
        """Brings rows forward; callers that come meanwhile share the next round."""
        running = self._running.get(collection.id)
        if running is not None and not running.done():
            # What it reads may be older than the write that this caller waits for.
            await asyncio.wait([running])
            running = self._running.get(collection.id)
        if running is None or running.done():
            running = self._spawn(self._advance_once(collection))
            self._running[collection.id] = running
        await asyncio.shield(running)

    async def _advance_once(self, collection: Collection) -> None:
        try:
            applied = await self._in_thread(lambda: self._apply(collection))
        except NotFoundError:
            self._forget(collection.id)
            raise
        self._applied[collection.id] = applied

    def _apply(self, collection: Collection) -> Applied:
        """Writes what changed since the position in Milvus; one process at a time."""

        def locked(connection: Connection) -> Applied:
            if connection.dialect.name == "postgresql":
                numbers = {"space": _LOCK_SPACE, "id": collection.id % 2**31}
                connection.execute(text("SELECT pg_advisory_xact_lock(:space, :id)"), numbers)
            # On a connection of its own: its snapshot must be younger than the lock.
            return self._store.reader.run_here(lambda inner: self._write(inner, collection))

        return self._store.reader.run_here(locked)

    def _write(self, connection: Connection, known: Collection) -> Applied:
        collection = catalog.by_id(connection, known.id)
        if collection is None:
            raise catalog.not_found(known.name)
        position: Position = changes.positions(connection, [collection.id])[collection.id]
        server = self._server
        after = server.position(collection)
        if after > position.seq:
            # The database was put back to an older state than Milvus has seen.
            server.drop(collection)
            after = -1
        if after < 0:
            server.create(collection)
        if after < position.seq:
            self._write_after(connection, collection, max(after, 0))
            server.set_position(collection, position.seq)
        return Applied(collection, position.seq, position.tenant_seq)

    def _write_after(self, connection: Connection, collection: Collection, after: int) -> None:
        gone = set(changes.deleted_after(connection, collection.id, after))
        for part in changes.written_after(connection, collection.id, after):
            gone.difference_update(state.document_id for state in part)
            made = [row for state in part for row in rows.rows(collection, state)]
            for some in batched(made, _ROWS_PER_WRITE):
                self._server.write(collection, some)
            for condition in _older(part):
                self._server.remove(collection, condition)
        for ids in batched(sorted(gone), _KEYS_PER_CONDITION):
            self._server.remove(collection, expressions.documents(ids))

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_seconds)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - following goes on when they are back
                if self._is_following:
                    get_logger().error("cannot follow the log", **exception_fields(error))
                self._is_following = False
            else:
                self._is_following = True

    async def _look(self) -> None:
        known = list(self._applied)

        def read(connection: Connection) -> tuple[int, dict[int, Position]]:
            found = changes.positions(connection, known) if known else {}
            return catalog.version(connection), found

        version, positions = await self._store.read(read)
        self._store.see_catalog(version)
        for each in known:
            applied = self._applied.get(each)
            if applied is None:
                continue
            position = positions.get(each)
            if position is None:
                await self.drop(applied.collection)
            elif position.seq > applied.seq:
                await self._advance(applied.collection)
            elif position.tenant_seq > applied.tenant_seq:
                self._applied[each] = Applied(applied.collection, applied.seq, position.tenant_seq)

    def _forget(self, collection_id: int) -> None:
        self._applied.pop(collection_id, None)
        self._required.pop(collection_id, None)

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        context = copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: context.run(fn))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        # A service error is told to those who wait.
        if error is not None and not isinstance(error, ServiceError):
            get_logger().error("Milvus is not brought forward", **exception_fields(error))


def _older(part: Sequence[DocumentState]) -> Iterator[str]:
    """Yields conditions for the former versions of documents."""
    by_version: dict[int, list[str]] = {}
    for state in part:
        if state.version > 1:
            by_version.setdefault(state.version, []).append(state.document_id)
    for version, ids in by_version.items():
        for some in batched(ids, _KEYS_PER_CONDITION):
            yield expressions.every(expressions.documents(some), f"version < {version}")


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yields the items in lists of a size, the last one shorter."""
    source = iter(items)
    while some := list(islice(source, size)):
        yield some


@contextlib.asynccontextmanager
async def _within(*, is_load: bool) -> AsyncIterator[None]:
    """Bounds a wait by the request's deadline."""
    remaining = remaining_seconds()
    wait = MAX_WAIT_SECONDS if remaining is None else min(MAX_WAIT_SECONDS, remaining)
    try:
        async with asyncio.timeout(wait):
            yield
    except TimeoutError:
        if is_load:
            raise UnavailableError(
                Reason.NOT_READY, "the collection is still being written", retry_after_seconds=1.0
            ) from None
        raise DeadlineExceededError(
            Reason.DEADLINE_EXCEEDED,
            "no write of that sequence number was seen in time",
            metadata={"stage": "min_seq"},
        ) from None
