"""Keeps the views of a process: loads them when asked for, follows the log, rebuilds, evicts.

Several processes over one database follow the same log. What this process writes is taken in before
the write is acknowledged; what others write is seen by polling.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from services.retrieval.collections import Tier
from services.retrieval.metrics import DEAD_ROWS, ROWS, SEGMENTS, VIEW_BYTES, VIEWS
from services.retrieval.store import catalog, changes
from services.retrieval.view.folders import ViewFolders
from services.retrieval.view.kept import Kept, TierRules
from services.retrieval.view.merging import Shape
from services.retrieval.view.upkeep import Upkeep
from services.retrieval.view.view import View
from services.retrieval.view.waiting import within
from services.rpc.errors import (
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
    from services.retrieval.store.checksum import Checksum
    from services.retrieval.store.store import Store
    from services.retrieval.view.rows import Rows

T = TypeVar("T")

_LOOK_SECONDS = 1.0
"""A whole look at the log is due after this time though nothing seems to have changed."""
_FEW_VIEWS = 16
"""Views whose positions are asked one by one on the event loop."""
_EVICTION_SECONDS = 1.0
_TRIM_SECONDS = 2.0
"""Between two times that pages of mapped vectors are given back; reading one again is a fault."""
_SAVING_SECONDS = 20.0
"""Longest time for saving views at the end."""


@dataclass(frozen=True, slots=True)
class KeeperSettings:
    """How views are kept."""

    poll_seconds: float = 0.05
    """Between two looks at the log: bounds what other replicas' searches miss."""
    max_bytes: int = 4 << 30
    """Views beyond it are dropped, the longest unused first; they load again when asked for."""
    shape: Shape = field(default_factory=Shape)
    folder: Path | None = None
    """Where files of views are, shared by the processes of a data directory; None: in a folder of
    its own that is removed at the end."""
    build_threads: int = 1
    """Threads of the process that builds graphs."""
    build_niceness: int = 15
    """How far that process stands back behind others."""
    warm_after_seconds: float = 3600.0
    """Without a search for so long, a view moves from memory to disk."""
    cold_after_seconds: float = 7 * 86_400.0
    """Without a search for so long, a view is dropped; its files stay."""
    hot_uses: int = 30
    """Searches in a minute that bring a view back to memory."""


class Keeper:
    """The views of one process.

    Args:
        store: The truth.
        settings: How to keep.
    """

    def __init__(self, store: Store, settings: KeeperSettings) -> None:
        self._store = store
        self._settings = settings
        self._kept: dict[int, Kept] = {}
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="view")
        self._rules = TierRules(
            settings.warm_after_seconds,
            settings.cold_after_seconds,
            settings.hot_uses,
            settings.shape.graph_rows,
        )
        self._upkeep = Upkeep(
            store,
            settings.shape,
            self._rules,
            settings.build_threads,
            settings.build_niceness,
        )
        self._folders = ViewFolders(settings.folder)
        self._wake = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._is_following = True
        self._looked_at = float("-inf")
        self._evicted_at = 0.0
        self._trimmed_at = 0.0
        self._catalog_version = -1

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._folders.open)
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
        await self._save_all()
        for kept in self._kept.values():
            kept.loaded.cancel()
        await self._upkeep.close()
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._folders.close)

    def before_replacing(self, tell: Callable[[Rows, Rows], None]) -> None:
        """Has a function called, in a thread, with a view's rows and those to take their place."""
        self._upkeep.before_replacing = tell

    def wake(self) -> None:
        """Looks at the log now: another process wrote to it."""
        self._wake.set()

    async def preload(self, max_bytes: int) -> None:
        """Loads the views of the collections there are, the newest written first, up to a size."""
        found = await self._store.read(catalog.newest_first)
        await asyncio.to_thread(self._folders.keep_only, {each.id for each in found})
        for collection in found:
            if self.nbytes >= max_bytes:
                return
            if collection.settings.tier is Tier.COLD:
                continue
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
            kept = self._kept[collection.id] = Kept(loop.create_future())
            self._spawn(self._load(collection, kept))
        kept.use()
        async with within("view"):
            view = await asyncio.shield(kept.loaded)
        min_seq = max(min_seq, kept.required_seq)
        if view.published.snapshot.tenant_seq < min_seq:
            async with within("min_seq"):
                await self._reach(kept, view, min_seq)
        return view

    def ready(self, collection: Collection, min_seq: int = 0) -> View | None:
        """Returns the view if it is loaded and has seen a write, without waiting."""
        kept = self._kept.get(collection.id)
        view = None if kept is None else kept.view
        if kept is None or view is None:
            return None
        if view.published.snapshot.tenant_seq < max(min_seq, kept.required_seq):
            return None
        kept.use()
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
        if change.seq > change.previous_seq:
            kept.unacknowledged[change.previous_seq] = change.seq
        kept.pending.append((collection, change))
        try:
            async with within("view"):
                await self._reach(kept, kept.view, change.seq)
        finally:
            kept.unacknowledged.pop(change.previous_seq, None)

    def is_current(self, collection_id: int, seq: int, newest: int) -> bool:
        """Whether a state that stands at `seq` has all that was acknowledged of the collection.

        Args:
            collection_id: Whose state.
            seq: Newest write in the state.
            newest: Newest write in the store, read after the state was taken.
        """
        kept = self._kept.get(collection_id)
        return seq == newest or (kept is not None and not kept.lacks_acknowledged(seq, newest))

    def require(self, collection_id: int, seq: int) -> None:
        """Makes searches wait for a write that was acknowledged before the view had it."""
        kept = self._kept.get(collection_id)
        if kept is not None:
            kept.required_seq = max(kept.required_seq, seq)

    def follow(self, collection: Collection) -> None:
        """Makes searches see a write of this process that did not come by `take_in`."""
        self.require(collection.id, collection.seq)
        self.wake()

    def loaded(self, collection_id: int) -> View | None:
        """Returns the view of a collection if it is loaded."""
        kept = self._kept.get(collection_id)
        return None if kept is None else kept.view

    def checked(self, collection_id: int) -> tuple[int, Checksum, Checksum, int] | None:
        """Returns the newest comparison of a view with the store.

        At which write, the store's side, the view's, and when (microseconds since 1970).
        """
        kept = self._kept.get(collection_id)
        return None if kept is None else kept.checked

    def rebuild(self, collection_id: int) -> None:
        """Has a view loaded from the store anew; the old one serves meanwhile."""
        kept = self._kept.get(collection_id)
        if kept is not None:
            kept.wants_store = True

    def optimize(self, collection_id: int) -> None:
        """Has the segments of a view merged into one; searches go on meanwhile."""
        kept = self._kept.get(collection_id)
        if kept is not None:
            kept.wants_merge = True

    def failures(self, collection_id: int) -> int:
        """Returns how many times in a row work on a view failed."""
        kept = self._kept.get(collection_id)
        return 0 if kept is None else kept.failures

    def is_busy(self, collection_id: int) -> bool:
        """Whether a view is being rebuilt, merged or moved, or is about to."""
        kept = self._kept.get(collection_id)
        return kept is not None and (kept.is_maintained or kept.wants_merge or kept.wants_store)

    @property
    def nbytes(self) -> int:
        """About the bytes of all views."""
        return sum(kept.view.nbytes for kept in self._kept.values() if kept.view is not None)

    async def _load(self, collection: Collection, kept: Kept) -> None:
        began = time.monotonic()
        try:
            shape, folder = self._settings.shape, self._folders.of(collection.id)
            tier = self._rules.first(collection)
            view = await self._in_thread(
                self._pool, lambda c: View(c, collection, shape, folder, tier)
            )
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

    async def _reach(self, kept: Kept, view: View, seq: int) -> None:
        while view.published.snapshot.tenant_seq < seq:
            before = view.published.snapshot.tenant_seq
            await self._advance(kept, view)
            after = view.published.snapshot.tenant_seq
            if after < seq and after == before:
                # Not committed yet, or never: whoever waits has a deadline.
                await asyncio.sleep(self._settings.poll_seconds)

    async def _advance(self, kept: Kept, view: View) -> None:
        """Brings a view up to date; callers that come meanwhile share the work."""
        if kept.advancing is None or kept.advancing.done():
            kept.advancing = asyncio.get_running_loop().create_future()
            self._spawn(self._advance_once(kept, view, kept.advancing))
        await asyncio.shield(kept.advancing)

    async def _advance_once(self, kept: Kept, view: View, done: asyncio.Future[None]) -> None:
        try:
            await self._take_pending(kept, view)
        except asyncio.CancelledError:
            done.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - it goes to those who wait
            if not isinstance(error, ServiceError) or isinstance(error, NotFoundError):
                # Gone, or left half way by an error of ours: it loads anew.
                self._forget(view.published.collection.id)
            if not isinstance(error, ServiceError):
                get_logger().error("a view cannot be brought up to date", **exception_fields(error))
                error = UnavailableError(
                    Reason.NOT_READY, "the collection is being loaded", retry_after_seconds=1.0
                )
            done.set_exception(error)
            done.exception()
        else:
            done.set_result(None)

    async def _take_pending(self, kept: Kept, view: View) -> None:
        """Takes in the writes that wait; reads the log for what does not follow on them."""
        while pending := kept.pending:
            kept.pending = []
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._pool, view.apply, pending)
            if view.published.snapshot.seq >= max(change.seq for _, change in pending):
                return
            if not kept.pending:
                break
        await self._in_thread(self._pool, view.advance)

    async def _poll(self) -> None:
        while True:
            # Sooner when another process says that it wrote, or this one that it restored.
            woken = asyncio.ensure_future(self._wake.wait())
            changed = asyncio.ensure_future(self._store.changed(self._settings.poll_seconds))
            try:
                await asyncio.wait((woken, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                woken.cancel()
                changed.cancel()
            self._wake.clear()
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
        if not self._is_unchanged(ids):
            await self._follow(ids)
        for each in ids:
            kept = self._kept.get(each)
            view = None if kept is None else kept.view
            if kept is not None and view is not None:
                kept.note_seq(view.published.snapshot.seq)
                for work in self._upkeep.due(kept, view):
                    self._spawn(work)
        await self._trim()
        self._evict()

    def _is_unchanged(self, ids: Sequence[int]) -> bool:
        """Whether a look at each collection's position, where that is cheap, shows nothing new."""
        positions = self._store.positions
        is_due = time.monotonic() - self._looked_at > _LOOK_SECONDS
        if is_due or not positions.is_instant or len(ids) > _FEW_VIEWS:
            return False
        for each in ids:
            view = self.loaded(each)
            newest = positions.read(each)
            if view is None or newest is None or newest.seq != view.published.snapshot.seq:
                return False
            if newest.catalog_version != self._catalog_version:
                return False
        return True

    async def _follow(self, ids: Sequence[int]) -> None:
        """Reads where the log stands, and brings views there."""
        self._looked_at = time.monotonic()

        def read(
            connection: Connection,
        ) -> tuple[int, dict[int, Position], list[Collection | None]]:
            found = changes.positions(connection, ids) if ids else {}
            version = catalog.version(connection)
            is_new = version != self._catalog_version
            settings = [catalog.by_id(connection, each) for each in found] if is_new else []
            return version, found, settings

        version, positions, settings = await self._store.read(read)
        self._store.see_catalog(version)
        self._catalog_version = version
        for collection in settings:
            view = None if collection is None else self.loaded(collection.id)
            if collection is not None and view is not None:
                view.refresh(collection)
        for each in ids:
            kept = self._kept.get(each)
            view = None if kept is None else kept.view
            if kept is None or view is None:
                continue
            position = positions.get(each)
            if position is None:
                self._forget(each)
                self._spawn(self._remove_files(each))
                continue
            if position.seq > view.published.snapshot.seq:
                if kept.advancing is None or kept.advancing.done():
                    kept.advancing = asyncio.get_running_loop().create_future()
                    self._spawn(self._advance_once(kept, view, kept.advancing))
            else:
                view.seen_up_to(position.tenant_seq, position.seq)
                self._compare(kept, view, position)

    def _compare(self, kept: Kept, view: View, position: Position) -> None:
        """Holds a view against the store, at the same write."""
        snapshot = view.published.snapshot
        if snapshot.seq != position.seq:
            return
        now = time.time_ns() // 1000
        kept.checked = (position.seq, position.checksum, snapshot.checksum, now)
        if snapshot.checksum != position.checksum and not kept.wants_store:
            get_logger().error(
                "a view holds other documents than the store: it is loaded anew",
                collection_id=view.published.collection.id,
                seq=position.seq,
                stored=str(position.checksum),
                held=str(snapshot.checksum),
            )
            kept.wants_store = True

    async def _remove_files(self, collection_id: int) -> None:
        """Removes the files of a collection that is gone."""
        folder = self._folders.of(collection_id)
        await asyncio.to_thread(folder.remove)

    async def _save_all(self) -> None:
        """Saves what a restart would have to read from the store; bounded, for it may be killed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SAVING_SECONDS):
                for kept in list(self._kept.values()):
                    if kept.view is not None and not kept.view.is_saved:
                        try:
                            await self._upkeep.save(kept.view)
                        except OSError as error:
                            get_logger().warning("cannot save a view", **exception_fields(error))

    async def _trim(self) -> None:
        """Gives back pages of mapped vectors that searches read, before they pile up."""
        now = time.monotonic()
        if now - self._trimmed_at < _TRIM_SECONDS:
            return
        self._trimmed_at = now
        views = [kept.view for kept in self._kept.values() if kept.view is not None]
        for kept in self._kept.values():
            if kept.view is not None and kept.is_quiet:
                kept.view.published.snapshot.rows.recent.clear()
        parts = [part for view in views for part in view.published.snapshot.segments]
        if parts:
            await asyncio.to_thread(lambda: [part.segment.trim() for part in parts])

    def _evict(self) -> None:
        now = time.monotonic()
        if now - self._evicted_at < _EVICTION_SECONDS:
            return
        self._evicted_at = now
        held = self.nbytes
        VIEWS.set(len(self._kept))
        VIEW_BYTES.set(held)
        self._measure()
        excess = held - self._settings.max_bytes
        newest = max(self._kept, key=lambda each: self._kept[each].used_at, default=-1)
        for each, kept in sorted(self._kept.items(), key=lambda pair: pair[1].used_at):
            view = kept.view
            if view is None or kept.is_maintained or kept.is_saving:
                continue
            is_cold = self._rules.wanted(kept, view) is None
            if (excess <= 0 or each == newest) and not is_cold:
                continue
            if not view.is_saved and not kept.failures:
                kept.is_saving = True
                self._spawn(self._upkeep.save_before_leaving(kept, view))
                continue
            excess -= view.nbytes
            self._forget(each)

    def _measure(self) -> None:
        snapshots = [
            kept.view.published.snapshot for kept in self._kept.values() if kept.view is not None
        ]
        ROWS.set(sum(each.live_chunks for each in snapshots))
        DEAD_ROWS.set(sum(each.dead_chunks for each in snapshots))
        SEGMENTS.set(sum(len(each.segments) for each in snapshots))

    def _forget(self, collection_id: int) -> None:
        self._kept.pop(collection_id, None)

    async def _in_thread(self, pool: ThreadPoolExecutor, fn: Callable[[Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool, self._store.reader.run_here, fn)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
