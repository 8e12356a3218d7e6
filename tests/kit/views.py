"""Documents, parts and plain readings of views, for tests of their files and snapshots."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from services.filters.parser import parse
from services.filters.values import FieldType
from services.retrieval.collections import CollectionSettings
from services.retrieval.documents import Chunk, Document
from services.retrieval.library import Library
from services.retrieval.store.store import Store
from services.retrieval.view import masks
from services.retrieval.view.keeper import Keeper, KeeperSettings
from services.retrieval.view.merging import Shape
from services.sql.engine import sqlite_url

DIMENSIONS = 8
TENANT = "acme"
FIELDS = {"kind": FieldType.KEYWORD, "n": FieldType.INTEGER, "tags": FieldType.TAGS}


def made(number: int, version: int = 0, chunks: int = 1) -> Document:
    """A document that depends on its number and version only."""
    rng = np.random.default_rng([number, version])
    texts = [f"word{number % 11} part{n} version{version} common" for n in range(chunks)]
    text = "\n".join(texts)
    starts = np.cumsum([0, *(len(each) + 1 for each in texts)])
    return Document(
        f"d{number:05d}",
        uri=f"file://{number}" if number % 3 else "",
        text=text,
        metadata={
            "kind": f"k{number % 5}",
            "n": number * 10 + version,
            "tags": frozenset({f"t{number % 3}", f"u{version}"}),
        },
        acl=("everyone",) if number % 4 else (f"user:{number % 7}", "group:x"),
        chunks=tuple(
            Chunk(
                f"c{n}",
                int(starts[n]),
                int(starts[n]) + len(texts[n]),
                rng.normal(size=DIMENSIONS).astype("<f4").tobytes(),
            )
            for n in range(chunks)
        ),
    )


@asynccontextmanager
async def opened(folder: Path, *, shape: Shape | None = None, **keeping):
    """Store, keeper and library over one folder."""
    shape = shape or Shape(graph_rows=10**9, saved_rows=10**9, saved_seconds=10**9)
    wanted = KeeperSettings(
        0.01, 1 << 30, shape, folder=folder / "views", build_niceness=0, **keeping
    )
    async with (
        await Store.open(sqlite_url(folder / "a.db")) as store,
        Keeper(store, wanted) as keeper,
    ):
        yield store, keeper, Library(store, keeper)


async def created(library: Library, name: str = "docs", **wanted):
    """A collection of the tests' fields."""
    declared = CollectionSettings(DIMENSIONS, fields=FIELDS, **wanted)
    return (await library.create(TENANT, name, declared))[0]


def content(view, principals=("everyone", "group:x"), tree=None) -> dict:
    """Everything a view says, in a form that does not depend on its row numbers."""
    snapshot = view.published.snapshot
    allowed = masks.allowed(snapshot, principals, tree, FIELDS, 0)
    rows = np.flatnonzero(allowed.mask)
    ids, versions, ordinals = snapshot.identities(rows)
    vectors = snapshot.vectors_of(rows)
    words = snapshot.rows.keywords.scores(
        snapshot, [("word3 common version1", 1.0)], snapshot.live_chunk_mask
    )[rows]
    return {
        (ids[n], versions[n], ordinals[n]): (
            vectors[n].round(5).tolist(),
            round(float(words[n]), 4),
        )
        for n in range(len(rows))
    }


FILTERS = [
    None,
    parse('kind = "k1"'),
    parse("n >= 55 AND n < 900"),
    parse('NOT kind = "k2"'),
    parse('document_id = "d00003"'),
    parse('NOT document_id = "d00003"'),
    parse('kind IN ("k0", "k3")'),
]


def everything(view) -> list[dict]:
    """What a view says under several filters and scopes."""
    return [content(view, tree=tree) for tree in FILTERS] + [
        content(view, principals=("user:4",)),
        content(view, principals=()),
    ]
