"""Keeps views in shape: closes, merges, rebuilds, saves and moves them beside the searches.

Nothing here holds up a search or a write: what is made is made beside the old, by a thread or, when
it takes long, by a process of low priority, and then takes its place at once. At most one process
builds at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from services.retrieval.metrics import (
    SEGMENTS_BUILT,
    VIEWS_DIFFERENT,
    VIEWS_MOVED,
    VIEWS_REBUILT,
    VIEWS_SAVED,
)
from services.retrieval.snapshots import process
from services.retrieval.snapshots.builder import Job
from services.retrieval.snapshots.process import BuildFailedError
from services.retrieval.view.view import identity_of
from services.rpc.errors import ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from services.retrieval.store.store import Store
    from services.retrieval.vectors import Tier
    from services.retrieval.view.kept import Kept, TierRules
    from services.retrieval.view.merging import Run, Shape
    from services.retrieval.view.rows import Rows
    from services.retrieval.view.view import View

T = TypeVar("T")

_LIMIT_SECONDS, _LIMIT_SECONDS_PER_ROW = 120.0, 0.02
"""A builder that takes longer is given up; a graph takes about 0.4 ms a row on a free core."""


class Upkeep:
    """Work on the views of one process.

    Args:
        store: The truth.
        shape: When views change their shape.
        rules: Where views live.
        threads: Threads of a process that builds a graph.
        niceness: How far that process stands back behind others.
    """

    def __init__(
        self,
        store: Store,
        shape: Shape,
        rules: TierRules,
        threads: int = 1,
        niceness: int = 15,
    ) -> None:
        self._store = store
        self._shape = shape
        self._rules = rules
        self._threads = threads
        self._niceness = niceness
        # Of usual priority: where cores are busy, a thread of low priority that holds the
        # interpreter's lock is not run, and nor is whoever waits for it.
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="view-upkeep")
        self._one_process = asyncio.Semaphore(1)
        self.before_replacing: Callable[[Rows, Rows], None] = lambda _old, _new: None
        """Told of a view's rows and those that are about to take their place."""

    async def close(self) -> None:
        """Ends the threads."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def due(self, kept: Kept, view: View) -> list[Coroutine[Any, Any, None]]:
        """Returns the work to be started on a view now."""
        found: list[Coroutine[Any, Any, None]] = []
        if not kept.may_work:
            return found
        snapshot = view.published.snapshot
        # Who asks for one segment wants the newest rows in it.
        is_asked = kept.wants_merge and snapshot.chunk_count > snapshot.memtable.first
        if (view.wants_segment or is_asked) and not kept.is_sealing:
            kept.is_sealing = True
            found.append(self._seal(kept, view))
        if not kept.is_maintained:
            work = self._work(kept, view)
            if work is not None:
                kept.is_maintained = True
                found.append(self._maintain(kept, work))
        if view.wants_save and not kept.is_saving and not kept.is_rebuilt:
            kept.is_saving = True
            found.append(self._save(kept, view))
        return found

    async def save(self, view: View) -> None:
        """Saves a view's files.

        Raises:
            OSError: the disk is full or broken.
        """
        await self._here(view.save)
        VIEWS_SAVED.inc()

    async def save_before_leaving(self, kept: Kept, view: View) -> None:
        """Saves a view that is about to be dropped, so that it comes back soon."""
        await self._save(kept, view)

    def _work(self, kept: Kept, view: View) -> Coroutine[Any, Any, None] | None:
        if kept.wants_store:
            return self._reload_from_store(kept, view)
        if view.wants_rebuild:
            return self._rebuild(kept, view)
        run = view.run_to_merge(is_quiet=kept.is_quiet, everything=kept.wants_merge)
        if run is not None:
            return self._merge(kept, view, run)
        if kept.wants_merge and not kept.is_sealing:
            kept.wants_merge = False
        tier = self._rules.wanted(kept, view)
        if tier is not None and tier is not view.tier:
            return self._move(view, tier)
        return None

    async def _seal(self, kept: Kept, view: View) -> None:
        try:
            await self._watched(kept, self._here(view.build_segment))
            await self._watched(kept, self._here(view.join_small))
            SEGMENTS_BUILT.labels(by="sealing").inc()
        finally:
            kept.is_sealing = False

    async def _save(self, kept: Kept, view: View) -> None:
        try:
            await self._watched(kept, self.save(view))
        finally:
            kept.is_saving = False

    async def _maintain(self, kept: Kept, work: Coroutine[Any, Any, None]) -> None:
        try:
            await self._watched(kept, work)
        finally:
            kept.is_maintained = False

    async def _watched(self, kept: Kept, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except (ServiceError, BuildFailedError, OSError) as error:
            kept.failed()
            get_logger().warning("work on a view failed", **exception_fields(error))
        except Exception as error:  # noqa: BLE001 - the old rows still serve
            kept.failed()
            get_logger().error("work on a view failed", **exception_fields(error))
        else:
            kept.failures = 0

    async def _merge(self, kept: Kept, view: View, run: Run) -> None:
        name = view.folder.new_segment()
        view.building.add(name)
        try:
            job = Job(
                str(view.folder.path),
                run.spec.to_json(),
                name,
                merged=tuple(part.name for part in run.parts),
                threads=self._threads,
                niceness=self._niceness,
            )
            # The parts are open: their files stay even if a sweep is due.
            view.building.update(job.merged)
            rows = sum(part.row_count for part in run.parts)
            await self._build(job, rows)
            if await self._here(lambda: view.replace_run(run, name)):
                SEGMENTS_BUILT.labels(by="merging").inc()
                kept.wants_merge = False
        finally:
            view.building.discard(name)
            view.building.difference_update(part.name for part in run.parts)
        await self._here(view.sweep)

    async def _rebuild(self, kept: Kept, view: View) -> None:
        kept.is_rebuilt = True
        try:
            await self._make_anew(view)
        finally:
            kept.is_rebuilt = False

    async def _make_anew(self, view: View) -> None:
        """Makes a view without dead rows; a small one is read from the store as fast."""
        began = time.monotonic()
        rows = view.published.snapshot.live_chunks
        if view.published.snapshot.chunk_count < self._shape.graph_rows:
            await self._load_and_switch(view, view.tier, from_store=True)
        else:
            state = await self._here(view.save)
            name = view.folder.new_segment()
            view.building.add(name)
            try:
                job = Job(
                    str(view.folder.path),
                    view.spec(rows).to_json(),
                    name,
                    state=state,
                    identity=asdict(identity_of(view.published.collection)),
                    least_rows=self._shape.graph_rows,
                    threads=self._threads,
                    niceness=self._niceness,
                )
                await self._build(job, rows)
                await self._load_and_switch(view, view.tier)
            finally:
                view.building.discard(name)
            await self._here(view.sweep)
        VIEWS_REBUILT.inc()
        get_logger().info(
            "view rebuilt without dead rows",
            collection_id=view.published.collection.id,
            vectors=rows,
            seconds=round(time.monotonic() - began, 3),
        )

    async def _reload_from_store(self, kept: Kept, view: View) -> None:
        await self._load_and_switch(view, view.tier, from_store=True)
        kept.wants_store = False
        VIEWS_DIFFERENT.inc()

    async def _move(self, view: View, tier: Tier) -> None:
        await self.save(view)
        await self._load_and_switch(view, tier)
        VIEWS_MOVED.labels(tier=str(tier)).inc()
        get_logger().info("view moved", collection_id=view.published.collection.id, tier=str(tier))

    async def _load_and_switch(self, view: View, tier: Tier, *, from_store: bool = False) -> None:
        reader = self._store.reader
        fresh = await self._here(
            lambda: reader.run_here(lambda c: view.load_beside(c, tier, from_store=from_store))
        )
        old = view.published.snapshot.rows
        await self._here(lambda: self.before_replacing(old, fresh.snapshot.rows))
        await self._here(lambda: reader.run_here(lambda c: view.switch(c, fresh, tier)))

    async def _build(self, job: Job, rows: int) -> None:
        async with self._one_process:
            await process.run(job, _LIMIT_SECONDS + _LIMIT_SECONDS_PER_ROW * rows)

    async def _here(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
