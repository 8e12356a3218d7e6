"""Keeps the views of a process: loads them when asked for, follows the log, rebuilds, evicts.

Several processes over one database follow the same log. What this process writes is taken in before
the write is acknowledged; what others write is seen by polling.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, TypeVar

from services.retrieval.metrics import GRAPHS_BUILT, VIEW_BYTES, VIEWS, VIEWS_REBUILT
from services.retrieval.store import catalog, changes
from services.retrieval.view.view import Shape, View
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
    from services.retrieval.store.changes import Change, Position
    from services.retrieval.store.store import Store

T = TypeVar("T")

MAX_WAIT_SECONDS = 30.0
"""Longest wait for a view when the request has no earlier deadline."""
_EVICTION_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """How views are kept."""

    poll_seconds: float = 0.05
    """Between two looks at the log: bounds what other replicas' searches miss."""
    max_bytes: int = 4 << 30
    """Views beyond it are dropped, the longest unused first; they load again when asked for."""
    shape: Shape = field(default_factory=Shape)


class _Kept:
    """A view on its way or here."""

    def __init__(self, loaded: asyncio.Future[View]) -> None:
        self.loaded = loaded
        self.used_at = time.monotonic()
        self.advancing: asyncio.Future[None] | None = None
        self.required_seq = 0
        """Acknowledged write that every search must see, though the view was late."""
        self.is_maintained = False
        """Whether a rebuild or a graph is under way."""

    @property
    def view(self) -> View | None:
        """The view, once loaded."""
        is_here = self.loaded.done() and not self.loaded.cancelled()
        return self.loaded.result() if is_here and self.loaded.exception() is None else None


class Keeper:
    """The views of one process.

    Args:
        store: The truth.
        settings: How to keep.
    """

    def __init__(self, store: Store, settings: KeeperSettings) -> None:
        self._store = store
        self._settings = settings
        self._kept: dict[int, _Kept] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="view")
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="view-builder")
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._is_following = True
        self._evicted_at = 0.0

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._spawn(self._poll())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for task in list(self._running):
            task.cancel()
        await self._tasks.__aexit__(None, None, None)
        for kept in self._kept.values():
            kept.loaded.cancel()
        for pool in (self._pool, self._builder):
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)

    async def preload(self, max_bytes: int) -> None:
        """Loads the views of the collections there are, the newest written first, up to a size."""
        for collection in await self._store.read(catalog.newest_first):
            if self.nbytes >= max_bytes:
                return
            with contextlib.suppress(NotFoundError):
                await self.view(collection)

    async def view(self, collection: Collection, min_seq: int = 0) -> View:
        """Returns the view of a collection, loading it if need be.

        Args:
            collection: Whose.
            min_seq: Number of a write of the tenant that the view must have seen.

        Raises:
            NotFoundError: the collection is gone.
            UnavailableError: the view did not load in time.
            DeadlineExceededError: no write of that number came in time.
        """
        kept = self._kept.get(collection.id)
        if kept is None:
            loop = asyncio.get_running_loop()
            kept = self._kept[collection.id] = _Kept(loop.create_future())
            self._spawn(self._load(collection, kept))
        kept.used_at = time.monotonic()
        async with _within("view"):
            view = await asyncio.shield(kept.loaded)
        min_seq = max(min_seq, kept.required_seq)
        if view.published.snapshot.tenant_seq < min_seq:
            async with _within("min_seq"):
                await self._reach(kept, view, min_seq)
        return view

    async def current_view(self, collection: Collection) -> View:
        """Returns the view after it has seen everything committed by now, on whichever replica."""
        position = await self._store.read(lambda c: changes.positions(c, [collection.id]))
        if collection.id not in position:
            self._forget(collection.id)
            raise catalog.not_found(collection.name)
        view = await self.view(collection)
        found = position[collection.id]
        if view.published.snapshot.seq < found.seq:
            return await self.view(collection, found.seq)
        return view

    async def take_in(self, collection: Collection, change: Change) -> None:
        """Brings a loaded view to a write of this process, before that is acknowledged."""
        kept = self._kept.get(collection.id)
        if kept is None or kept.view is None:
            return  # a view that loads later, or is loading now, is brought there by `view`
        async with _within("view"):
            await self._reach(kept, kept.view, change.seq)

    def require(self, collection_id: int, seq: int) -> None:
        """Makes searches wait for a write that was acknowledged before the view had it."""
        kept = self._kept.get(collection_id)
        if kept is not None:
            kept.required_seq = max(kept.required_seq, seq)

    def loaded(self, collection_id: int) -> View | None:
        """Returns the view of a collection if it is loaded."""
        kept = self._kept.get(collection_id)
        return None if kept is None else kept.view

    @property
    def nbytes(self) -> int:
        """About the bytes of all views."""
        return sum(kept.view.nbytes for kept in self._kept.values() if kept.view is not None)

    async def _load(self, collection: Collection, kept: _Kept) -> None:
        began = time.monotonic()
        try:
            shape = self._settings.shape
            view = await self._in_thread(self._pool, lambda c: View(c, collection, shape))
        except asyncio.CancelledError:
            kept.loaded.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it goes to those who wait
            self._kept.pop(collection.id, None)
            kept.loaded.set_exception(error)
            kept.loaded.exception()  # seen, even when nobody waits any more
            return
        kept.loaded.set_result(view)
        get_logger().info(
            "view loaded",
            collection_id=collection.id,
            vectors=view.published.snapshot.chunk_count,
            seconds=round(time.monotonic() - began, 3),
        )

    async def _reach(self, kept: _Kept, view: View, seq: int) -> None:
        while view.published.snapshot.tenant_seq < seq:
            before = view.published.snapshot.tenant_seq
            await self._advance(kept, view)
            after = view.published.snapshot.tenant_seq
            if after < seq and after == before:
                # Not committed yet, or never: whoever waits has a deadline.
                await asyncio.sleep(self._settings.poll_seconds)

    async def _advance(self, kept: _Kept, view: View) -> None:
        """Brings a view up to date; callers that come meanwhile share the work."""
        if kept.advancing is None or kept.advancing.done():
            kept.advancing = asyncio.get_running_loop().create_future()
            self._spawn(self._advance_once(kept, view, kept.advancing))
        await asyncio.shield(kept.advancing)

    async def _advance_once(self, kept: _Kept, view: View, done: asyncio.Future[None]) -> None:
        try:
            await self._in_thread(self._pool, view.advance)
        except asyncio.CancelledError:
            done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it goes to those who wait
            if isinstance(error, NotFoundError):
                self._forget(view.published.collection.id)
            done.set_exception(error)
            done.exception()
        else:
            done.set_result(None)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self._look()
            except Exception as error:  # noqa: BLE001 - following goes on when the store is back
                if self._is_following:
                    get_logger().error("cannot follow the log", **exception_fields(error))
                self._is_following = False
            else:
                self._is_following = True

    async def _look(self) -> None:
        """Looks at the log once, and starts what it calls for."""
        ids = [each for each, kept in self._kept.items() if kept.view is not None]

        def read(connection: Connection) -> tuple[int, dict[int, Position]]:
            found = changes.positions(connection, ids) if ids else {}
            return catalog.version(connection), found

        version, positions = await self._store.read(read)
        self._store.see_catalog(version)
        for each in ids:
            kept = self._kept.get(each)
            view = None if kept is None else kept.view
            if kept is None or view is None:
                continue
            position = positions.get(each)
            if position is None:
                self._forget(each)
            elif position.seq > view.published.snapshot.seq:
                if kept.advancing is None or kept.advancing.done():
                    kept.advancing = asyncio.get_running_loop().create_future()
                    self._spawn(self._advance_once(kept, view, kept.advancing))
            else:
                view.seen_up_to(position.tenant_seq, position.seq)
                self._maintain(kept, view)
        self._evict()

    def _maintain(self, kept: _Kept, view: View) -> None:
        if not kept.is_maintained and (view.wants_rebuild or view.wants_graph):
            kept.is_maintained = True
            self._spawn(self._maintain_once(kept, view))

    async def _maintain_once(self, kept: _Kept, view: View) -> None:
        try:
            if view.wants_rebuild:
                fresh = await self._in_thread(self._builder, view.load_anew)
                await self._in_thread(self._builder, lambda c: view.switch(c, fresh))
                VIEWS_REBUILT.inc()
            else:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._builder, view.build_graph)
                GRAPHS_BUILT.inc()
        except ServiceError as error:
            get_logger().warning("cannot rebuild a view", **exception_fields(error))
        except Exception as error:  # noqa: BLE001 - the old rows still serve
            get_logger().error("cannot rebuild a view", **exception_fields(error))
        finally:
            kept.is_maintained = False

    def _evict(self) -> None:
        now = time.monotonic()
        if now - self._evicted_at < _EVICTION_SECONDS:
            return
        self._evicted_at = now
        held = self.nbytes
        VIEWS.set(len(self._kept))
        VIEW_BYTES.set(held)
        excess = held - self._settings.max_bytes
        for each, kept in sorted(self._kept.items(), key=lambda pair: pair[1].used_at)[:-1]:
            if excess <= 0:
                return
            if kept.view is not None and not kept.is_maintained:
                excess -= kept.view.nbytes
                self._forget(each)

    def _forget(self, collection_id: int) -> None:
        self._kept.pop(collection_id, None)

    async def _in_thread(self, pool: ThreadPoolExecutor, fn: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self._store.reader.run_here, fn)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)


@contextlib.asynccontextmanager
async def _within(stage: str) -> AsyncIterator[None]:
    """Bounds a wait by the request's deadline."""
    remaining = remaining_seconds()
    wait = MAX_WAIT_SECONDS if remaining is None else min(MAX_WAIT_SECONDS, remaining)
    try:
        async with asyncio.timeout(wait):
            yield
    except TimeoutError:
        if stage == "view":
            raise UnavailableError(
                Reason.NOT_READY, "the collection is still loading", retry_after_seconds=1.0
            ) from None
        raise DeadlineExceededError(
            Reason.DEADLINE_EXCEEDED,
            "no write of that sequence number was seen in time",
            metadata={"stage": stage},
        ) from None
