"""Whole collections out: every document in order of its id, with all it takes to write it again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import browse
from services.retrieval.browse import Place
from services.retrieval.store import contents
from services.retrieval.store.store import now_micros

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.filters.ast import Filter
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Document
    from services.retrieval.search import Reach
    from services.retrieval.store.store import Store
    from services.retrieval.view.keeper import Keeper
    from services.retrieval.view.view import Published

_BATCH_BYTES = 4 << 20
"""A batch has about so many at most, or a single document."""
_BATCH_CHUNKS = 512
"""Chunks of the documents that are read together: with token codes about as many bytes."""


@dataclass(frozen=True, slots=True)
class Export:
    """What to export."""

    reach: Reach
    name: str
    """Collection or alias."""
    filter: Filter | None
    token: str
    """Of the last batch received; empty: from the beginning."""
    batch_size: int
    is_everything: bool
    """Whether access lists are left aside: for the owner, never on behalf of a reader."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents and how to go on after them."""

    documents: list[Document]
    token: str
    is_last: bool


class Exporter:
    """Reads collections whole.

    Args:
        store: The truth.
        keeper: Views of it, which know the ids.
    """

    def __init__(self, store: Store, keeper: Keeper) -> None:
        self._store = store
        self._keeper = keeper

    async def open(self, export: Export) -> tuple[Collection, AsyncIterator[Batch]]:
        """Returns the collection, and its documents batch by batch.

        The documents are those there are now; one that is deleted before its turn is left out.
        """
        collection = await self._store.resolve_afresh(export.reach.tenant, export.name)
        view = await self._keeper.current_view(collection)
        published = view.published
        key = browse.page_key("export", collection.id, export.filter, export.is_everything)
        after = browse.decode_token(export.token, key)
        ids = await asyncio.to_thread(_ids, published, export, after)
        return published.collection, self._batches(collection, export, ids, key)

    async def _batches(
        self, collection: Collection, export: Export, ids: Sequence[str], key: str
    ) -> AsyncIterator[Batch]:
        may_read = _anything if export.is_everything else _reader(export.reach.principals)
        at = 0
        while at < len(ids):
            part, found = await self._store.read(
                partial(
                    _read,
                    collection_id=collection.id,
                    ids=ids[at : at + export.batch_size],
                    may_read=may_read,
                )
            )
            at += len(part)
            pieces = list(_by_size(found)) or [[]]
            for number, piece in enumerate(pieces, start=1):
                is_end = number == len(pieces)
                last = part[-1] if is_end else piece[-1].document_id
                token = browse.encode_token(Place(last), key)
                yield Batch(piece, token, is_last=is_end and at == len(ids))
        if not ids:
            yield Batch([], export.token, is_last=True)


def _read(
    connection: Connection,
    collection_id: int,
    ids: Sequence[str],
    may_read: Callable[[tuple[str, ...]], bool],
) -> tuple[Sequence[str], list[Document]]:
    """Reads the first of some documents, so many as may be held at once, but at least one.

    Returns:
        Their ids, and those of them that there are.
    """
    chunks = contents.chunk_counts(connection, collection_id, ids)
    sums = accumulate(chunks.get(each, 0) for each in ids)
    fitting = sum(1 for _ in takewhile(lambda total: total <= _BATCH_CHUNKS, sums))
    part = ids[: max(1, fitting)]
    found = contents.read(
        connection,
        collection_id,
        part,
        may_read=may_read,
        now_micros=now_micros(),
        with_text=True,
        with_chunks=True,
        with_vectors=True,
    )
    return part, found


def _by_size(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Yields the documents in their order, as many together as make a message of usual size."""
    piece: list[Document] = []
    size_bytes = 0
    for each in documents:
        nbytes = _nbytes(each)
        if piece and size_bytes + nbytes > _BATCH_BYTES:
            yield piece
            piece, size_bytes = [], 0
        piece.append(each)
        size_bytes += nbytes
    if piece:
        yield piece


def _ids(published: Published, export: Export, after: Place | None) -> list[str]:
    """Returns the ids to export, in order."""
    snapshot = published.snapshot
    if export.is_everything:
        mask = snapshot.live
        if export.filter is not None:
            mask = mask & browse.matching(published, export.filter)
    else:
        mask = browse.visible(published, export.reach.principals, export.filter, now_micros())
    known = snapshot.rows.ids
    found = sorted(known[row] for row in np.flatnonzero(mask).tolist())
    return found if after is None else [each for each in found if each > after.document_id]


def _anything(_acl: tuple[str, ...]) -> bool:
    return True


def _reader(principals: Sequence[str]) -> Callable[[tuple[str, ...]], bool]:
    readers = frozenset(principals)
    return lambda acl: not readers.isdisjoint(acl)


def _nbytes(document: Document) -> int:
    """Returns about the bytes of a document's message."""
    chunks = sum(len(each.vector) + len(each.token_codes) + 100 for each in document.chunks)
    return 3 * len(document.text) + chunks + 500
