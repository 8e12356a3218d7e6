"""The schedule of sources on each database: one process at a time has a source."""

from __future__ import annotations

import pytest

from services.ingestion.failures import LeaseLostError
from services.ingestion.jobs.store import JobStore
from services.ingestion.sources.model import Source, SourceKind, StoredItem, SyncRequest, SyncState
from services.ingestion.sources.store import EnrichmentStore, SourceStore
from services.rpc.errors import NotFoundError, Reason, ResourceExhaustedError
from tests.kit.ingestion_service import BOUNDS
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture

SOURCE = Source("docs", SourceKind.FOLDER, "/srv/docs", sync_interval_seconds=60.0)


class Clock:
    """A clock that stands."""

    def __init__(self) -> None:
        self.us = 1_000_000_000

    def __call__(self) -> int:
        return self.us

    def pass_(self, seconds: float) -> None:
        """Lets time pass."""
        self.us += int(seconds * 1e6)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def jobs(database_url, clock):
    async with await JobStore.open(database_url, BOUNDS, clock=clock) as store:
        yield store


@pytest.fixture
async def store(jobs):
    return await SourceStore.open(jobs, lease_seconds=10.0)


def item(path: str, **fields) -> StoredItem:
    return StoredItem(
        path, "docs", f"docs/{path}", "job", "v1", "digest", "placement", 1, 2, 3, **fields
    )


async def test_one_worker_has_a_source_until_its_lease_ends(store, clock):
    assert await store.claim("w1") is None
    status, is_created = await store.put("t", 1, SOURCE, most=10)
    assert (is_created, status.state, status.requested_sync_number) == (True, SyncState.QUEUED, 1)
    first = await store.claim("w1")
    assert first is not None
    assert first.source == SOURCE
    assert await store.claim("w2") is None
    clock.pass_(8)
    await store.extend(first)
    clock.pass_(8)
    assert await store.claim("w2") is None, "it gave a sign of life"
    clock.pass_(3)
    second = await store.claim("w2")
    assert second is not None
    assert second.report.sync_number == 2
    for late in (
        store.extend(first),
        store.finish(first, first.report, None),
        store.remember(first, [item("a")], {}, 1),
        store.forget(first, ["a"]),
    ):
        with pytest.raises(LeaseLostError):
            await late
    await store.remember(second, [item("a"), item("b")], {}, 2)
    await store.finish(second, second.report, 60.0)
    assert await store.claim("w1") is None
    clock.pass_(61)
    third = await store.claim("w1")
    assert third is not None
    await store.remember(third, [], {"a": "v2"}, third.report.sync_number)
    assert [each.path for each in await store.unseen(third, third.report.sync_number, 9)] == ["b"]
    known = await store.known(third, ["a", "b", "c"])
    assert {path: each.version for path, each in known.items()} == {"a": "v2", "b": "v1"}


async def test_requests_survive_a_crash_and_are_done_once(store, clock):
    await store.put("t", 1, SOURCE, most=10)
    lease = await store.claim("w1")
    await store.finish(lease, lease.report, None)
    number, _ = await store.request_sync("t", "docs", SyncRequest(("a",)))
    assert number == 2
    crashed = await store.claim("w1")
    assert [each.paths for each in crashed.requests] == [("a",)]
    later, status = await store.request_sync("t", "docs", SyncRequest(("b",), is_full=True))
    assert (later, status.state) == (3, SyncState.RUNNING)
    clock.pass_(11)
    again = await store.claim("w2")
    assert [each.paths for each in again.requests] == [("a",), ("b",)]
    await store.finish(again, again.report, None)
    _, status = await store.get("t", "docs")
    assert (status.state, status.next_sync_us) == (SyncState.IDLE, 0)
    assert await store.claim("w2") is None


async def test_a_change_takes_the_source_from_its_worker(store):
    await store.put("t", 1, SOURCE, most=10)
    lease = await store.claim("w1")
    await store.put("t", 1, SOURCE, most=10)
    with pytest.raises(LeaseLostError):
        await store.extend(lease)
    assert (await store.claim("w2")).report.sync_number == 2


async def test_sources_are_the_tenants_own(store):
    await store.put("t", 1, SOURCE, most=1)
    with pytest.raises(NotFoundError) as caught:
        await store.get("u", "docs")
    assert caught.value.reason is Reason.SOURCE_NOT_FOUND
    with pytest.raises(ResourceExhaustedError):
        await store.put("t", 1, Source("more", SourceKind.FOLDER, "/srv"), most=1)
    await store.put("u", 1, SOURCE, most=1)
    await store.delete("t", "docs")
    page, token = await store.list_page("u", 10, "")
    assert ([source.name for source, _ in page], token) == (["docs"], "")
    assert (await store.list_page("t", 10, "")) == ([], "")


async def test_lists_come_in_pages(store):
    for name in ("c", "a", "b"):
        await store.put("t", 1, Source(name, SourceKind.FOLDER, "/srv"), most=10)
    names, token = [], ""
    while True:
        page, token = await store.list_page("t", 2, token)
        names += [source.name for source, _ in page]
        if not token:
            break
    assert names == ["a", "b", "c"]


async def test_enrichment_settings_are_kept_per_collection(jobs, store):
    settings = EnrichmentStore(jobs)
    await settings.put("t", "docs", "{}")
    await settings.put("t", "docs", '{"a": 1}')
    assert await settings.get("t", "docs") == '{"a": 1}'
    assert await settings.get("u", "docs") is None
    await settings.put("t", "docs", None)
    assert await settings.get("t", "docs") is None
