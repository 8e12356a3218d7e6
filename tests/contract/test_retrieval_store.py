"""The store keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from services.filters.values import Timestamp
from services.retrieval.collections import Alias, CollectionSettings
from services.retrieval.documents import Chunk, Document
from services.retrieval.store import catalog, changes, documents
from services.retrieval.store.passages import Wanted, fetch
from services.retrieval.store.store import Store
from services.rpc.errors import AbortedError, InvalidArgumentError, NotFoundError, Reason
from services.sql.engine import WRITES, open_engine
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture

VECTOR = np.ones(4, "<f4").tobytes()


def doc(document_id: str, text: str = "some text", *, chunks: int = 1, **more) -> Document:
    parts = tuple(Chunk(f"c{n}", 0, len(text), VECTOR) for n in range(chunks))
    return Document(document_id, text=text, chunks=parts, **more)


@pytest.fixture
async def store(database_url):
    async with await Store.open(database_url) as opened:
        await opened.change_catalog(
            lambda c: catalog.create(c, "t", "docs", CollectionSettings(4), 1)
        )
        yield opened


async def put(store: Store, *new: Document, expected: int = 0, name: str = "docs"):
    return await store.write(
        lambda c: documents.upsert(
            c,
            "t",
            name,
            new,
            expected_version=expected,
            check=lambda _: None,
            now_micros=5,
        )
    )


async def states(store: Store, collection_id: int, after: int = 0):
    def read(connection):
        found = [
            state
            for part in changes.written_after(connection, collection_id, after)
            for state in part
        ]
        gone = changes.deleted_after(connection, collection_id, after)
        return found, gone, changes.positions(connection, [collection_id]).get(collection_id)

    return await store.read(read)


async def test_the_log_tells_each_change_after_a_number(store):
    first = await put(store, doc("a"), doc("b"))
    collection_id = first.collection.id
    second = await put(store, doc("b", "new text", chunks=3))
    third = await store.write(lambda c: documents.delete_by_ids(c, "t", "docs", ["a"]))
    found, gone, position = await states(store, collection_id)
    assert [(s.document_id, s.version, len(s.chunks)) for s in found] == [("b", 2, 3)]
    assert gone == ["a"]
    assert position.seq == third.seq
    found, gone, _ = await states(store, collection_id, second.seq)
    assert (found, gone) == ([], ["a"])
    found, gone, _ = await states(store, collection_id, third.seq)
    assert (found, gone) == ([], [])


async def test_a_long_log_is_read_in_parts_without_gaps_or_repetitions(store):
    names = [f"d{n:04}" for n in range(700)]
    for start in range(0, 700, 350):
        written = await put(store, *(doc(name) for name in names[start : start + 350]))
    found, _, _ = await states(store, written.collection.id)
    assert sorted(each.document_id for each in found) == names


async def test_replacing_a_document_leaves_nothing_of_the_old_version(store):
    await put(store, doc("a", chunks=5))
    written = await put(store, doc("a", "short", chunks=2))
    found, _, _ = await states(store, written.collection.id)
    assert len(found[0].chunks) == 2
    passages = await store.read(
        lambda c: fetch(
            c,
            written.collection.id,
            [Wanted("a", 1, 0), Wanted("a", 2, 1), Wanted("a", 2, 2), Wanted("b", 1, 0)],
            with_metadata=False,
        )
    )
    assert [None if each is None else each.text for each in passages] == [None, "short", None, None]


async def test_text_is_cut_by_code_points(store):
    text = "aé🏔️東\u0301z"
    await put(
        store,
        Document("a", text=text, chunks=(Chunk("c", 1, 4, VECTOR), Chunk("e", 3, 3, VECTOR))),
    )
    collection = await store.resolve("t", "docs")
    wanted = [Wanted("a", 1, 0), Wanted("a", 1, 1)]
    passages = await store.read(lambda c: fetch(c, collection.id, wanted, with_metadata=True))
    assert [each.text for each in passages] == [text[1:4], ""]


async def test_an_upsert_is_all_or_nothing(store):
    await put(store, doc("a", metadata={"n": 1}))
    with pytest.raises(InvalidArgumentError):
        await put(store, doc("b"), doc("c", metadata={"n": "text", "fresh": 1}))
    with pytest.raises(AbortedError) as caught:
        await put(store, doc("new"), doc("a"), expected=-1)
    assert caught.value.reason is Reason.CONFLICT
    collection = await store.resolve_afresh("t", "docs")
    assert await store.read(lambda c: documents.count(c, collection.id)) == (1, 1)
    assert set(collection.settings.fields) == {"n"}


async def test_concurrent_writers_of_one_document_each_get_a_version(store):
    written = await asyncio.gather(*(put(store, doc("a", f"text {n}")) for n in range(30)))
    assert sorted(each.versions[0] for each in written) == list(range(1, 31))
    assert len({each.seq for each in written}) == 30


async def test_only_one_of_many_creators_wins(store):
    results = await asyncio.gather(
        *(put(store, doc("once"), expected=-1) for _ in range(8)), return_exceptions=True
    )
    assert sum(not isinstance(each, BaseException) for each in results) == 1
    assert sum(isinstance(each, AbortedError) for each in results) == 7


async def test_numbers_rise_over_deletion_and_recreation(store):
    first = await put(store, doc("a"))
    await store.change_catalog(lambda c: catalog.drop(c, "t", "docs"))
    with pytest.raises(NotFoundError):
        await put(store, doc("a"))
    created, existed = await store.change_catalog(
        lambda c: catalog.create(c, "t", "docs", CollectionSettings(4), 1)
    )
    assert not existed
    assert created.id != first.collection.id
    assert created.seq > first.seq
    second = await put(store, doc("a"))
    assert second.versions == (1,)
    found, gone, _ = await states(store, created.id)
    assert (len(found), gone) == (1, [])


async def test_an_alias_switches_in_one_step(store):
    await store.change_catalog(lambda c: catalog.create(c, "t", "other", CollectionSettings(4), 1))
    for target in ("docs", "other"):
        await store.change_catalog(lambda c, t=target: catalog.set_alias(c, "t", Alias("live", t)))
        assert (await store.resolve("t", "live")).name == target
    await store.change_catalog(lambda c: catalog.drop(c, "t", "other"))
    with pytest.raises(NotFoundError):
        await store.resolve("t", "live")


async def test_metadata_of_every_type_comes_back_as_it_was(store):
    metadata = {
        "keyword": "größe \U0001f3d4",
        "integer": -(2**63),
        "float": 2.0,
        "bool": False,
        "at": Timestamp(-5),
        "tags": frozenset({"b", "a"}),
        "null": None,
    }
    await put(store, doc("a", metadata=metadata, acl=("user:x",), expires_micros=2**60))
    collection = await store.resolve("t", "docs")
    [found] = await store.read(
        lambda c: documents.read(
            c,
            collection.id,
            ["a"],
            may_read=lambda acl: acl == ("user:x",),
            now_micros=1,
            with_text=True,
            with_chunks=True,
            with_vectors=True,
        )
    )
    assert found.metadata == metadata
    assert {k: type(v) for k, v in found.metadata.items()} == {
        k: type(v) for k, v in metadata.items()
    }
    assert found.chunks[0].vector == VECTOR
    assert (found.version, found.expires_micros) == (1, 2**60)


async def test_a_follower_misses_nothing_when_writers_commit_out_of_order(store, database_url):
    """One writer takes a number and dawdles; another, later one must not become visible before it."""
    took, let_go = threading.Event(), threading.Event()
    engine = open_engine(database_url)

    def dawdle():
        with engine.execution_options(**WRITES).connect() as connection, connection.begin():
            documents.upsert(
                connection,
                "t",
                "docs",
                [doc("slow")],
                expected_version=0,
                check=lambda _: None,
                now_micros=1,
            )
            took.set()
            let_go.wait(10)

    thread = threading.Thread(target=dawdle)
    thread.start()
    await asyncio.to_thread(took.wait)
    fast = asyncio.create_task(put(store, doc("fast")))
    collection = await store.resolve("t", "docs")
    seen: list[str] = []
    position = collection.seq
    for step in range(40):
        found, _, now = await states(store, collection.id, position)
        seen += [each.document_id for each in found]
        position = now.seq
        if step == 10:
            let_go.set()
        await asyncio.sleep(0.01)
    await fast
    thread.join()
    engine.dispose()
    found, _, _ = await states(store, collection.id, position)
    seen += [each.document_id for each in found]
    assert sorted(seen) == ["fast", "slow"]
