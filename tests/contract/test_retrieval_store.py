"""The store keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from services.filters.values import Timestamp
from services.retrieval.collections import Alias, CollectionSettings
from services.retrieval.documents import Chunk, Document
from services.retrieval.store import catalog, changes, contents, counts, documents
from services.retrieval.store.passages import Wanted, fetch, token_codes
from services.retrieval.store.store import Store
from services.rpc.errors import (
    AbortedError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)
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


async def put(
    store: Store, *new: Document, expected: int = 0, each: Sequence[int] = (), name: str = "docs"
):
    return await store.write(
        lambda c: documents.upsert(
            c,
            "t",
            name,
            new,
            expected_version=expected,
            expected_versions=each,
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


async def held(store: Store, collection_id: int) -> tuple[int, int]:
    found = await store.read(lambda c: counts.read(c, collection_id))
    recounted = await store.read(lambda c: counts.recount(c, collection_id))
    assert found.checksum == recounted
    return found.checksum.documents, found.checksum.chunks


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
    assert await held(store, collection.id) == (1, 1)
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
        lambda c: contents.read(
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


FIRST_SCHEMA = """
CREATE TABLE cairn_schema (component VARCHAR(64) PRIMARY KEY, version INTEGER NOT NULL);
INSERT INTO cairn_schema VALUES ('retrieval', 1);
CREATE TABLE retrieval_tenants (tenant TEXT PRIMARY KEY, seq BIGINT NOT NULL);
INSERT INTO retrieval_tenants VALUES ('t', 7);
CREATE TABLE retrieval_catalog (id SMALLINT PRIMARY KEY, version BIGINT NOT NULL);
INSERT INTO retrieval_catalog VALUES (1, 3);
CREATE TABLE retrieval_collections (id INTEGER PRIMARY KEY, tenant TEXT NOT NULL,
  name TEXT NOT NULL, settings TEXT NOT NULL, fields TEXT NOT NULL, created_micros BIGINT NOT NULL,
  seq BIGINT NOT NULL, UNIQUE (tenant, name));
INSERT INTO retrieval_collections VALUES (4, 't', 'docs', '{"dimensions":4,"embedding_model":"",
  "embedding_model_revision":"","fields":{},"index_type":0,"acl_policy":1,"language":"english",
  "description":""}', '{"n":2}', 5, 7);
CREATE TABLE retrieval_aliases (tenant TEXT, name TEXT, collection_id INTEGER NOT NULL,
  PRIMARY KEY (tenant, name));
CREATE TABLE retrieval_documents (collection_id INTEGER, document_id TEXT, version BIGINT NOT NULL,
  seq BIGINT NOT NULL, title TEXT NOT NULL, uri TEXT NOT NULL, metadata TEXT NOT NULL,
  acl TEXT NOT NULL, content_hash TEXT NOT NULL, expires_micros BIGINT,
  committed_micros BIGINT NOT NULL, chunk_count INTEGER NOT NULL, text TEXT NOT NULL,
  PRIMARY KEY (collection_id, document_id));
CREATE INDEX retrieval_documents_seq ON retrieval_documents (collection_id, seq, document_id);
INSERT INTO retrieval_documents VALUES (4, 'a', 3, 6, 'title', 'u', '{"n":1}', '["user:x"]', 'h',
  NULL, 9, 2, 'one two');
INSERT INTO retrieval_documents VALUES (4, 'b', 1, 7, '', '', '{}', '["everyone"]', '', 99, 9, 0, '');
CREATE TABLE retrieval_chunks (collection_id INTEGER, document_id TEXT, ordinal INTEGER,
  chunk_id TEXT NOT NULL, start_at BIGINT NOT NULL, end_at BIGINT NOT NULL,
  heading_path TEXT NOT NULL, page INTEGER NOT NULL, vector {bytes} NOT NULL, token_codes {bytes},
  PRIMARY KEY (collection_id, document_id, ordinal));
INSERT INTO retrieval_chunks VALUES (4, 'a', 0, 'c0', 0, 3, '["h"]', 2, {vector}, {codes});
INSERT INTO retrieval_chunks VALUES (4, 'a', 1, 'c1', 4, 7, '["h"]', 2, {vector}, NULL);
CREATE TABLE retrieval_deletions (collection_id INTEGER, document_id TEXT, seq BIGINT NOT NULL,
  version BIGINT NOT NULL, PRIMARY KEY (collection_id, document_id));
"""


async def test_a_database_of_the_first_version_is_upgraded(database_url):
    engine = open_engine(database_url)
    is_sqlite = engine.dialect.name == "sqlite"
    literal = "X'{}'" if is_sqlite else "'\\x{}'::bytea"
    script = FIRST_SCHEMA.replace("{bytes}", "BLOB" if is_sqlite else "BYTEA")
    script = script.replace("{vector}", literal.format(VECTOR.hex()))
    script = script.replace("{codes}", literal.format(b"codes".hex()))
    with engine.execution_options(**WRITES).connect() as connection, connection.begin():
        for statement in filter(str.strip, script.split(";")):
            connection.exec_driver_sql(statement)
    engine.dispose()
    async with await Store.open(database_url) as store:
        collection = await store.resolve("t", "docs")
        assert await held(store, collection.id) == (2, 2)
        [found] = await everything(store, collection.id, "a")
        assert found == Document(
            "a",
            "title",
            "u",
            "one two",
            {"n": 1},
            ("user:x",),
            (
                Chunk("c0", 0, 3, VECTOR, ("h",), 2, b"codes"),
                Chunk("c1", 4, 7, VECTOR, ("h",), 2, b""),
            ),
            "h",
            None,
            3,
            9,
        )
        usage = await store.read(lambda c: counts.usage(c, "t"))
        assert (usage.vector_bytes, usage.code_bytes) == (2 * len(VECTOR), 5)
        assert (await put(store, doc("a"))).versions == (4,)
        assert await held(store, collection.id) == (2, 1)


async def everything(store: Store, collection_id: int, *ids: str) -> list[Document]:
    return await store.read(
        lambda c: contents.read(
            c,
            collection_id,
            ids,
            may_read=lambda _: True,
            now_micros=1,
            with_text=True,
            with_chunks=True,
            with_vectors=True,
        )
    )


async def test_token_codes_are_read_for_a_few_chunks_of_the_right_version(store):
    parts = tuple(Chunk(f"c{n}", 0, 1, VECTOR, token_codes=bytes([n]) * 8000) for n in range(3))
    bare = Chunk("bare", 0, 1, VECTOR)
    await put(store, Document("a", text="xy", chunks=(*parts, bare)), doc("b"))
    collection = await store.resolve("t", "docs")
    wanted = [Wanted("b", 1, 0), Wanted("a", 1, 2), Wanted("a", 1, 3), Wanted("gone", 1, 0)]
    codes = await store.read(lambda c: token_codes(c, collection.id, wanted))
    assert codes == [b"", bytes([2]) * 8000, b"", b""]
    assert (await everything(store, collection.id, "a"))[0].chunks == (*parts, bare)
    await put(store, Document("a", text="xy", chunks=(bare,)))
    for version in (1, 2):
        again = [Wanted("a", version, 0)]
        assert await store.read(lambda c, w=again: token_codes(c, collection.id, w)) == [b""]
    assert (await store.read(lambda c: counts.usage(c, "t"))).code_bytes == 0


async def test_reading_token_codes_looks_at_no_others(store):
    many = [
        Document(f"d{n}", text="xy", chunks=(Chunk("c", 0, 1, VECTOR, token_codes=b"x" * 99),))
        for n in range(600)
    ]
    await put(store, *many)
    collection = await store.resolve("t", "docs")
    wanted = [Wanted(f"d{n}", 1, 0) for n in range(0, 600, 30)]

    def read(connection):
        if connection.dialect.name != "sqlite":
            return token_codes(connection, collection.id, wanted), 0
        # SQLite's planner, left to itself, would go through the whole collection.
        driver, hundreds = connection.connection.driver_connection, []
        driver.set_progress_handler(lambda: hundreds.append(1), 100)
        try:
            return token_codes(connection, collection.id, wanted), len(hundreds)
        finally:
            driver.set_progress_handler(None, 0)

    codes, hundreds_of_steps = await store.read(read)
    assert codes == [b"x" * 99] * 20
    assert hundreds_of_steps < 40


async def test_passages_of_long_and_of_short_texts_are_cut_alike(store):
    body = "".join(f"été {n:06} " for n in range(20_000))
    spans = [(0, 4), (100_000, 100_011), (len(body) - 5, len(body))]
    chunks = tuple(
        Chunk(f"c{n}", *span, VECTOR, ("h", str(n // 2)), n) for n, span in enumerate(spans)
    )
    await put(store, Document("long", text=body, chunks=chunks), doc("short", "short"))
    collection = await store.resolve("t", "docs")
    wanted = [
        Wanted("long", 1, 2),
        Wanted("short", 1, 0),
        Wanted("long", 1, 1),
        Wanted("long", 1, 0),
    ]
    found = await store.read(lambda c: fetch(c, collection.id, wanted, with_metadata=True))
    assert [each.text for each in found] == [body[-5:], "short", body[100_000:100_011], body[:4]]
    assert [(each.chunk_id, each.heading_path, each.page) for each in found] == [
        ("c2", ("h", "1"), 2),
        ("c0", (), 0),
        ("c1", ("h", "0"), 1),
        ("c0", ("h", "0"), 0),
    ]


async def test_counts_and_checksum_follow_every_write(store):
    first = await put(store, doc("a", chunks=2), doc("b"))
    collection_id = first.collection.id
    assert await held(store, collection_id) == (2, 3)
    await put(store, doc("a", chunks=5), doc("c", chunks=0))
    assert await held(store, collection_id) == (3, 6)
    await store.write(lambda c: documents.delete_by_ids(c, "t", "docs", ["a", "unknown"]))
    assert await held(store, collection_id) == (2, 1)
    await asyncio.gather(*(put(store, doc(f"d{n % 7}", chunks=n % 3)) for n in range(40)))
    counted, _ = await held(store, collection_id)
    assert counted == 9
    usage = await store.read(lambda c: counts.usage(c, "t"))
    assert usage.vector_bytes == usage.chunks * len(VECTOR)
    with pytest.raises(AbortedError):
        await put(store, doc("x"), doc("b"), expected=-1)
    assert await held(store, collection_id) == (counted, usage.chunks)


async def test_a_quota_refuses_what_goes_beyond_it_and_nothing_less(store):
    await store.write(lambda c: counts.set_quota(c, "t", counts.Quota(max_vectors=4)))
    await put(store, doc("a", chunks=3))
    with pytest.raises(ResourceExhaustedError) as caught:
        await put(store, doc("b", chunks=2))
    assert caught.value.reason is Reason.QUOTA_EXCEEDED
    assert caught.value.metadata == {"quota": "vectors", "limit": "4", "used": "3"}
    await put(store, doc("b"))
    await store.change_catalog(lambda c: catalog.create(c, "t", "other", CollectionSettings(4), 1))
    with pytest.raises(ResourceExhaustedError):
        await put(store, doc("a"), name="other")
    await put(store, doc("a", chunks=0), name="other")
    # A tenant beyond its quota may still shrink, and replace a document by one of the same size.
    await store.write(lambda c: counts.set_quota(c, "t", counts.Quota(max_vectors=2)))
    await put(store, doc("a", "other text", chunks=3))
    await store.write(lambda c: documents.delete_by_ids(c, "t", "docs", ["a"]))
    await put(store, doc("c"))
    used = (await store.read(lambda c: counts.usage(c, "t"))).nbytes
    await store.write(lambda c: counts.set_quota(c, "t", counts.Quota(max_bytes=used + 10)))
    with pytest.raises(ResourceExhaustedError) as caught:
        await put(store, doc("d", "a text of more than ten bytes", chunks=0))
    assert caught.value.metadata["quota"] == "bytes"
    await store.write(lambda c: counts.set_quota(c, "t", counts.UNLIMITED))
    await put(store, doc("d", chunks=9))


async def test_versions_may_be_expected_one_by_one(store):
    await put(store, doc("a"))
    written = await put(store, doc("a"), doc("b"), each=[1, -1])
    assert written.versions == (2, 1)
    with pytest.raises(AbortedError) as caught:
        await put(store, doc("a"), doc("b"), doc("c"), each=[2, -1, 0])
    assert caught.value.metadata == {"document_id": "b", "version": "1"}


async def test_what_was_in_a_dropped_collection_goes_some_at_a_time(store):
    parts = (Chunk("c", 0, 1, VECTOR, token_codes=b"codes"),)
    await put(store, *(Document(f"d{n}", text="x", chunks=parts) for n in range(5)))
    await store.write(lambda c: documents.delete_by_ids(c, "t", "docs", ["d0"]))
    await store.change_catalog(lambda c: catalog.drop(c, "t", "docs"))
    await store.change_catalog(lambda c: catalog.create(c, "t", "docs", CollectionSettings(4), 1))
    kept = await put(store, doc("d0"))
    rounds = 0
    while await store.read(catalog.has_dropped):
        await store.write(lambda c: catalog.purge(c, 2))
        rounds += 1
    assert rounds == 3

    def rows(connection):
        tables = ("documents", "token_codes", "deletions", "dropped")
        return [
            connection.exec_driver_sql(f"SELECT count(*) FROM retrieval_{name}").scalar_one()
            for name in tables
        ]

    assert await store.read(rows) == [1, 0, 0, 0]
    assert await held(store, kept.collection.id) == (1, 1)
