"""What views do by themselves: rebuild, build graphs, leave memory and come back; and expiry."""

from __future__ import annotations

import asyncio
import time

import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from services.retrieval.library import Library
from services.sql.engine import sqlite_url
from tests.kit.retrieval import (
    create,
    direction,
    document,
    ids,
    retrieval_service,
    scope,
    search,
    upsert,
)


@pytest.fixture
def url(tmp_path):
    return sqlite_url(tmp_path / "a.db")


async def stats(service, name: str = "docs") -> pb.CollectionStats:
    request = pb.GetCollectionRequest(scope=scope(), name=name)
    return (await service.stub.GetCollection(request)).stats


async def until(check) -> None:
    give_up = time.monotonic() + 100
    while not await check():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.01)


async def test_a_view_with_many_dead_rows_is_rebuilt_while_it_serves(url):
    async with retrieval_service(url) as service:
        await create(service)
        await upsert(service, document("kept", ["granite"], n=1))
        await search(service, "granite")
        before = None
        for version in range(4):
            texts = [f"version{version} part{n} common" for n in range(400)]
            await upsert(service, document("changing", texts))
            before = await search(service, "common granite", top_k=500)
        assert len(before.passages) == 401

        async def is_rebuilt():
            return (await stats(service)).tombstone_count == 0

        await until(is_rebuilt)
        after = await search(service, "common granite", top_k=500)
        assert [each.passage.text for each in after.passages[:1]] == ["granite"]
        assert sorted(e.scores.final for e in after.passages) == pytest.approx(
            sorted(e.scores.final for e in before.passages)
        )
        await upsert(service, document("later", ["basalt"]))
        assert ids(await search(service, "basalt")) == ["later"]


async def test_graphs_are_built_and_used_and_later_rows_are_found(url):
    async with retrieval_service(url, graph_rows=300) as service:
        await create(service)
        for start in range(0, 400, 100):
            await upsert(
                service,
                *(
                    document(f"d{n}", [f"text {n}"], vectors=[direction(n)])
                    for n in range(start, start + 100)
                ),
            )
        await search(service, "text")

        async def has_graph():
            return "1 segments in memory: HNSW_SQ8" in (await stats(service)).index_description

        await until(has_graph)
        await upsert(service, document("late", ["late"], vectors=[direction(9999)]))
        for number in (0, 123, 399):
            found = await search(service, numbers=direction(number), explain=True, top_k=3)
            assert ids(found)[0] == f"d{number}"
            names = [step.segment for step in found.explanation.steps]
            assert names[-1] == "memtable"
            assert any(name.startswith("segment-") for name in names)
        assert ids(await search(service, numbers=direction(9999), top_k=1)) == ["late"]
        exact = await search(
            service, numbers=direction(5), explain=True, recall_class=pb.RECALL_CLASS_EXACT
        )
        assert {step.plan for step in exact.explanation.steps} == {"exact"}


async def test_views_leave_memory_and_come_back(url):
    async with retrieval_service(url, max_bytes=1) as service:
        for name in ("one", "two"):
            await create(service, name)
            await upsert(service, document(f"in-{name}"), name=name)
            assert ids(await search(service, "words", name=name)) == [f"in-{name}"]

        async def one_is_gone():
            return "not loaded" in (await stats(service, "one")).index_description

        await until(one_is_gone)
        assert ids(await search(service, "words", name="one")) == ["in-one"]


async def test_expired_documents_are_deleted_in_the_end(url):
    async with retrieval_service(url) as service:
        await create(service)
        old = document("old")
        old.expires_at.CopyFrom(Timestamp(seconds=int(time.time()) - 5))
        await upsert(service, old, document("new"))
        assert (await stats(service)).document_count == 2
        await Library(service.store, service.keeper).expire_once()
        assert (await stats(service)).document_count == 1
        assert ids(await search(service, "words")) == ["new"]
