"""Sources of tens of thousands of items: little memory, figures on the way, and cheap when unchanged."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import uuid
from pathlib import Path
from typing import Any

import pytest

from services.ingestion.deletion import Deletions
from services.ingestion.failpoint import Failpoint
from services.ingestion.intake import Intake
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.store import JobStore
from services.ingestion.sources.folder import FolderReader
from services.ingestion.sources.model import Source, SourceKind, SyncReport
from services.ingestion.sources.object_store import ObjectStoreReader
from services.ingestion.sources.store import SourceStore
from services.ingestion.sources.sync import Synchronisation
from services.ingestion.wakeup import Wakeup

BOUNDS = QueueBounds(max_jobs_per_tenant=100_000, max_jobs=100_000, retry_after_seconds=1.0)
COUNTS = [400, pytest.param(20_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
PER_FOLDER = 200
MOST_GROWTH_BYTES = 96 << 20


class EmptyIndex:
    """Retrieval without collections; counts what it is told to delete."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def find_collection(self, scope: Any, name: str) -> None:
        return None

    async def delete(self, scope: Any, collection: str, ids: Any) -> Any:
        self.deleted += ids
        return type("Deleted", (), {"count": len(ids), "seq": 1})


class Stand:
    """A source and what goes through it; nothing works on the jobs."""

    def __init__(self, store: JobStore, sources: SourceStore, source: Source, reader: Any) -> None:
        self.index = EmptyIndex()
        self.reads = 0
        self.steps: list[int] = []
        self._store, self._sources, self._source, self._reader = store, sources, source, reader

    async def sync(self) -> SyncReport:
        """Goes through the source once."""
        await self._sources.put("t", 2, self._source, most=10)
        lease = await self._sources.claim("w")
        assert lease is not None
        index: Any = self.index
        intake = Intake(self._store, index, Wakeup(), max_document_bytes=1 << 20)
        reader = self._reader()
        read = reader.read

        async def counted(*arguments: Any) -> Any:
            self.reads += 1
            self.steps.append(lease.report.item_count)
            return await read(*arguments)

        reader.read = counted
        self.reads, self.steps = 0, []
        deletions = Deletions(self._store, index)
        run = Synchronisation(lease, reader, self._sources, intake, deletions, Failpoint(""))
        await run.run()
        await self._sources.finish(lease, lease.report, None)
        return lease.report


async def stand(tmp_path: Path, source: Source, reader: Any, stack: Any) -> Stand:
    url = f"sqlite:///{tmp_path}/jobs.sqlite"
    store = await stack.enter_async_context(await JobStore.open(url, BOUNDS, lease_seconds=600.0))
    return Stand(store, await SourceStore.open(store, lease_seconds=600.0), source, reader)


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def gone_through(under_test: Stand, count: int, change: Any) -> None:
    before = peak_bytes()
    first = await under_test.sync()
    assert (first.submitted_count, under_test.reads) == (count, count)
    # The figures grow as it goes.
    assert len(set(under_test.steps)) >= count // 100
    again = await under_test.sync()
    assert (again.unchanged_count, again.submitted_count, under_test.reads) == (count, 0, 0)
    await asyncio.to_thread(change)
    last = await under_test.sync()
    assert (last.submitted_count, last.removed_count, under_test.reads) == (1, 1, 1)
    assert len(under_test.index.deleted) == 1
    assert peak_bytes() - before < MOST_GROWTH_BYTES


@pytest.mark.parametrize("count", COUNTS)
async def test_a_folder_of_very_many_files(tmp_path, count):
    root = tmp_path / "files"
    for number in range(count):
        folder = root / f"{number // PER_FOLDER:03}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.md").write_text(f"# Stone {number}\n\nGranite {number}.\n")

    def change() -> None:
        (root / "000" / "1.md").write_text("# Stone\n\nGneiss now, and longer.\n")
        (root / "000" / "2.md").unlink()

    source = Source("stones", SourceKind.FOLDER, location=str(root))
    async with contextlib.AsyncExitStack() as stack:
        under_test = await stand(
            tmp_path, source, lambda: FolderReader(source, 1 << 20, tmp_path), stack
        )
        await gone_through(under_test, count, change)


@pytest.mark.parametrize("count", COUNTS)
async def test_a_store_of_very_many_objects(tmp_path, count):
    fsspec = pytest.importorskip("fsspec", reason="the s3 extra is not installed")
    store = fsspec.filesystem("memory")
    root = f"/{uuid.uuid4().hex}/docs"
    for number in range(count):
        store.pipe(f"{root}/{number // PER_FOLDER:03}/{number}.md", f"Granite {number}.".encode())

    def change() -> None:
        store.pipe(f"{root}/000/1.md", b"Gneiss now, and longer.")
        store.rm(f"{root}/000/2.md")

    source = Source("stones", SourceKind.OBJECT_STORE, location=f"memory:/{root}")
    limits = {"max_bytes": 1 << 20, "max_items": 200_000, "spool_folder": tmp_path}
    async with contextlib.AsyncExitStack() as stack:
        under_test = await stand(
            tmp_path, source, lambda: ObjectStoreReader(source, {}, **limits), stack
        )
        await gone_through(under_test, count, change)
    store.rm(root, recursive=True)
