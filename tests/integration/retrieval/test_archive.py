"""Snapshots that can be restored: what comes back, what stays deleted, and damaged files."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from services.retrieval.metrics import SNAPSHOTS_DAMAGED
from services.retrieval.snapshots.archive import Archive
from services.retrieval.store import contents
from services.retrieval.store.counts import Quota
from services.rpc.errors import (
    DataLossError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)
from tests.kit.views import TENANT, created, everything, made, opened


@asynccontextmanager
async def archived(folder, **wanted):
    async with opened(folder) as (store, keeper, library):
        archive = Archive(store, keeper.follow, folder / "snapshots", **wanted)
        try:
            yield store, keeper, library, archive
        finally:
            await archive.close()


async def stored(store, collection, numbers) -> dict:
    """Documents as the store has them, by their ids."""
    found = await store.read(
        lambda c: contents.read(
            c, collection.id, [f"d{n:05d}" for n in numbers], may_read=lambda _acl: True,
            now_micros=0, with_text=True, with_chunks=True, with_vectors=True,
        )
    )  # fmt: skip
    return {each.document_id: each for each in found}


def coded(document):
    """The document with token codes for its chunks."""
    codes = f"codes of {document.document_id}".encode()
    chunks = tuple(replace(chunk, token_codes=codes) for chunk in document.chunks)
    return replace(document, chunks=chunks)


def but_for_version(document) -> tuple:
    return (
        document.document_id, document.title, document.uri, document.text, document.metadata,
        document.acl, document.chunks, document.content_hash, document.expires_micros,
    )  # fmt: skip


async def test_a_restore_brings_back_what_was_there_but_for_what_was_deleted_since(tmp_path):
    async with archived(tmp_path) as (store, keeper, library, archive):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [coded(made(n, 0, 1 + n % 3)) for n in range(20)])
        before = await stored(store, collection, range(20))
        assert before["d00004"].chunks[-1].token_codes == b"codes of d00004"
        record = await archive.create(TENANT, "docs")
        assert (record.documents, record.collection) == (20, "docs")
        assert record.size_bytes > 20 * 32
        await library.upsert(TENANT, "docs", [made(n, 1) for n in range(5)])
        await library.upsert(TENANT, "docs", [made(n, 1) for n in range(30, 35)])
        await library.delete(TENANT, "docs", ["d00007", "d00008", "d00030"], None)
        await library.upsert(TENANT, "docs", [made(8, 2)])
        last = (await library.describe(TENANT, "docs"))[0].seq

        restored = await archive.restore(TENANT, "docs", record.snapshot_id)

        assert (restored.written, restored.replayed) == (5, 2)
        assert restored.removed == 5  # 31 to 34, which came later, and the new 8
        assert restored.collection.seq > last
        after = await stored(store, collection, range(40))
        gone = {"d00007", "d00008"}
        assert set(after) == set(before) - gone
        for key, document in after.items():
            assert but_for_version(document) == but_for_version(before[key])
        assert after["d00000"].version > before["d00000"].version + 1
        assert after["d00010"].version == before["d00010"].version
        view = await keeper.view(collection)
        assert view.published.snapshot.checksum.documents == 18
        assert {key[0] for key in everything(view)[0]} <= set(after)


async def test_readers_see_the_old_or_the_new_state_of_a_restore(tmp_path):
    async with archived(tmp_path) as (_, keeper, library, archive):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [made(n, 0) for n in range(600)])
        record = await archive.create(TENANT, "docs")
        await library.upsert(TENANT, "docs", [made(n, 1) for n in range(600)])
        seen = set()

        async def watch() -> None:
            while True:
                view = await keeper.view(collection)
                snapshot = view.published.snapshot
                column = snapshot.rows.fields["n"]
                numbers = column.values(snapshot.document_count)[snapshot.live]
                seen.add((len(numbers), int((numbers % 10).sum())))
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        await archive.restore(TENANT, "docs", record.snapshot_id)
        await keeper.view(collection)
        await asyncio.sleep(0.05)
        watcher.cancel()
        assert seen == {(600, 600), (600, 0)}


async def test_an_older_snapshot_does_not_bring_back_what_was_deleted_before_a_restore(tmp_path):
    async with archived(tmp_path) as (store, _, library, archive):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [made(n) for n in range(3)])
        first = await archive.create(TENANT, "docs")
        second = await archive.create(TENANT, "docs")
        await library.delete(TENANT, "docs", ["d00001"], None)
        for record in (second, first, second):
            await archive.restore(TENANT, "docs", record.snapshot_id)
            assert set(await stored(store, collection, range(3))) == {"d00000", "d00002"}


@pytest.mark.parametrize("name", ["documents.bin", "segment.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
async def test_a_damaged_snapshot_changes_nothing_and_is_named(tmp_path, name, harm):
    async with archived(tmp_path) as (store, _, library, archive):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [made(n) for n in range(9)])
        record = await archive.create(TENANT, "docs")
        await library.upsert(TENANT, "docs", [made(n, 1) for n in range(9)])
        before = await stored(store, collection, range(9))
        path = tmp_path / "snapshots" / str(collection.id) / record.snapshot_id / name
        data = bytearray(path.read_bytes())
        if harm == "flip":
            data[len(data) // 2] ^= 0x10
            path.write_bytes(data)
        elif harm == "cut":
            path.write_bytes(data[:-1])
        else:
            path.unlink()
        count = SNAPSHOTS_DAMAGED._value.get()
        with pytest.raises(DataLossError) as caught:
            await archive.restore(TENANT, "docs", record.snapshot_id)
        assert caught.value.reason is Reason.DATA_CORRUPTED
        assert SNAPSHOTS_DAMAGED._value.get() == count + 1
        assert await stored(store, collection, range(9)) == before


async def test_snapshots_are_listed_bounded_deleted_and_expire(tmp_path):
    async with archived(tmp_path, most=2) as (_, _, library, archive):
        await created(library)
        await library.upsert(TENANT, "docs", [made(1)])
        first = await archive.create(TENANT, "docs", retention_seconds=1000)
        await library.upsert(TENANT, "docs", [made(2)])
        second = await archive.create(TENANT, "docs")
        assert await archive.list(TENANT, "docs") == [second, first]
        with pytest.raises(ResourceExhaustedError) as caught:
            await archive.create(TENANT, "docs")
        assert caught.value.reason is Reason.QUOTA_EXCEEDED
        await archive.delete(TENANT, "docs", second.snapshot_id)
        assert await archive.list(TENANT, "docs") == [first]
        passing = await archive.create(TENANT, "docs", retention_seconds=0)
        assert await archive.list(TENANT, "docs") == [first]
        with pytest.raises(NotFoundError):
            await archive.restore(TENANT, "docs", passing.snapshot_id)
        for unknown in ("nothing", "../1", ""):
            with pytest.raises(NotFoundError):
                await archive.delete(TENANT, "docs", unknown)
        await archive.create(TENANT, "docs")
        kept = await archive.list(TENANT, "docs")
        assert len(kept) == 2
        await archive.forget(first.collection_id)
        assert await archive.list(TENANT, "docs") == []


async def test_a_restore_beyond_the_quota_changes_nothing(tmp_path):
    quota = Quota(max_vectors=5)
    async with archived(tmp_path, default_quota=quota) as (store, _, library, archive):
        collection = await created(library)
        await library.upsert(TENANT, "docs", [made(n, 0, 3) for n in range(9)])
        record = await archive.create(TENANT, "docs")
        await library.upsert(TENANT, "docs", [made(n, 1) for n in range(9)])
        before = await stored(store, collection, range(9))
        with pytest.raises(ResourceExhaustedError):
            await archive.restore(TENANT, "docs", record.snapshot_id)
        assert await stored(store, collection, range(9)) == before


async def test_a_collection_of_the_same_name_has_none_of_the_former_ones_snapshots(tmp_path):
    async with archived(tmp_path) as (_, _, library, archive):
        await created(library)
        await library.upsert(TENANT, "docs", [made(1)])
        record = await archive.create(TENANT, "docs")
        await library.drop(TENANT, "docs")
        with pytest.raises(NotFoundError):
            await archive.list(TENANT, "docs")
        await created(library)
        assert await archive.list(TENANT, "docs") == []
        with pytest.raises(NotFoundError):
            await archive.restore(TENANT, "docs", record.snapshot_id)
