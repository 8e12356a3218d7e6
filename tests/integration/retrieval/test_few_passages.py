"""A few passages read in one row of SQLite are what they are read one by one."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from services.filters.values import Timestamp
from services.retrieval.collections import CollectionSettings
from services.retrieval.documents import Chunk, Document
from services.retrieval.store import catalog, documents
from services.retrieval.store.passages import (
    Wanted,
    fetch,
    fetch_few,
    few_token_codes,
    token_codes,
)
from services.retrieval.store.store import Store
from services.sql.engine import sqlite_url

VECTOR = np.ones(4, "<f4").tobytes()
ODD = 'a"b\\c\n\t\x01é🏔️\u2028東\u0301 {"x": [1]} \u202e,'


def document(name: str, text: str, **more: object) -> Document:
    """A document of two chunks: all of it, and its second character on."""
    chunks = (
        Chunk("c0", 0, len(text), VECTOR),
        Chunk("ç1", 1, len(text), VECTOR, ("Kopf", 'h"2'), 7),
    )
    return Document(name, text=text, chunks=chunks, **more)  # pyright: ignore[reportArgumentType]


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Store, int]]:
    async with await Store.open(sqlite_url(folder / "r.db")) as store:
        made = await store.change_catalog(
            lambda c: catalog.create(c, "t", "docs", CollectionSettings(4), 1)
        )
        assert made is not None
        collection = await store.resolve("t", "docs")
        yield store, collection.id


async def write(store: Store, *new: Document) -> None:
    await store.write(
        lambda c: documents.upsert(
            c,
            "t",
            "docs",
            new,
            expected_version=0,
            expected_versions=(),
            check=lambda _: None,
            now_micros=5,
        )
    )


@pytest.mark.parametrize("with_metadata", [True, False])
async def test_they_are_the_same_one_by_one_and_in_one_row(tmp_path: Path, with_metadata: bool):
    metadata = {
        "n": 2**60,
        "f": -0.1,
        "s": ODD,
        "t": Timestamp(-5),
        "l": frozenset("ab"),
        "b": True,
    }
    async with opened(tmp_path) as (store, collection_id):
        await write(
            store,
            document("plain", "some text", title="T", uri="file:///x"),
            document(ODD, ODD, title=ODD, uri=ODD, metadata=metadata),
            document("twice", "old"),
        )
        await write(store, document("twice", "new text"))
        wanted = [
            Wanted(ODD, 1, 1),
            Wanted("plain", 1, 0),
            Wanted(ODD, 1, 0),
            Wanted("twice", 1, 0),
            Wanted("twice", 2, 1),
            Wanted("plain", 1, 2),
            Wanted("gone", 1, 0),
        ]
        expected = await store.read(
            lambda c: fetch(c, collection_id, wanted, with_metadata=with_metadata)
        )
        found = fetch_few(store.direct, collection_id, wanted, with_metadata=with_metadata)
        assert found == expected
        assert [None if each is None else each.text for each in expected] == [
            ODD[1:],
            "some text",
            ODD,
            None,
            "ew text",
            None,
            None,
        ]
        assert not fetch_few(store.direct, collection_id, [], with_metadata=True)


async def test_token_codes_are_the_same_row_by_row_and_in_one_row(tmp_path: Path):
    codes = [b"\x00" * 300, bytes(range(256)) * 32, b"\xff\xfe\xed\xa0\x80", b"[1,2]\x00"]

    def coded(name: str, *codes: bytes) -> Document:
        chunks = [Chunk(f"c{n}", 0, 1, VECTOR, token_codes=code) for n, code in enumerate(codes)]
        return Document(name, text="x", chunks=tuple(chunks))

    async with opened(tmp_path) as (store, collection_id):
        await write(store, coded("a", *codes), coded(ODD, b"odd", b""), coded("twice", b"old"))
        await write(store, coded("twice", b"new"), coded("none", b""))
        wanted = [
            Wanted("a", 1, 3),
            Wanted("none", 1, 0),
            Wanted("a", 1, 0),
            Wanted(ODD, 1, 0),
            Wanted(ODD, 1, 1),
            Wanted("a", 1, 2),
            Wanted("a", 1, 1),
            Wanted("a", 1, 0),
            Wanted("gone", 1, 0),
        ]
        found = few_token_codes(store.direct, collection_id, wanted)
        assert found == await store.read(lambda c: token_codes(c, collection_id, wanted))
        assert found == [codes[3], b"", codes[0], b"odd", b"", codes[2], codes[1], codes[0], b""]
        for version, code in ((1, b""), (2, b"new")):
            one = [Wanted("twice", version, 0)]
            assert few_token_codes(store.direct, collection_id, one) == [code]
        assert few_token_codes(store.direct, collection_id, []) == []
        assert few_token_codes(store.direct, collection_id, [Wanted("a", 1, 0)] * 65) is None
        await store.write(
            lambda c: c.exec_driver_sql("ALTER TABLE retrieval_token_codes RENAME TO o")
        )
        assert few_token_codes(store.direct, collection_id, wanted) is None


async def test_many_and_long_ones_are_left_to_the_usual_way(tmp_path: Path):
    async with opened(tmp_path) as (store, collection_id):
        await write(store, document("short", "x"), document("long", "y" * 70_000))
        for wanted in (
            [Wanted("short", 1, 0), Wanted("long", 1, 0)],
            [Wanted(f"d{n}", 1, 0) for n in range(65)],
        ):
            assert fetch_few(store.direct, collection_id, wanted, with_metadata=True) is None


async def test_a_database_that_fails_is_asked_in_the_usual_way_which_tells_why(tmp_path: Path):
    async with opened(tmp_path) as (store, collection_id):
        await write(store, document("a", "x"))
        wanted = [Wanted("a", 1, 0)]
        assert fetch_few(store.direct, collection_id, wanted, with_metadata=True)
        await store.write(
            lambda c: c.exec_driver_sql("ALTER TABLE retrieval_documents RENAME TO o")
        )
        assert fetch_few(store.direct, collection_id, wanted, with_metadata=True) is None
        await store.write(
            lambda c: c.exec_driver_sql("ALTER TABLE o RENAME TO retrieval_documents")
        )
        found = fetch_few(store.direct, collection_id, wanted, with_metadata=True)
        assert found is not None
        assert found[0] is not None
        assert found[0].text == "x"
