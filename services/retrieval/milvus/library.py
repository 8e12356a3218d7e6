"""Collections and documents over Milvus: SQL answers what it can, Milvus finds what matches."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.values import FieldType
from services.retrieval import browse
from services.retrieval.browse import Place
from services.retrieval.library import DocumentPage, Library, PassagePage, Stats
from services.retrieval.milvus import expressions, rows
from services.retrieval.milvus.fitting import Fitting
from services.retrieval.milvus.server import index_name
from services.retrieval.store import catalog, contents, counts, passages
from services.retrieval.store.passages import Wanted
from services.retrieval.store.store import now_micros
from services.retrieval.vectors import unit
from services.rpc.errors import InvalidArgumentError, ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from services.filters.ast import Filter
    from services.filters.values import Value
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Document
    from services.retrieval.milvus.follower import Applied, Follower
    from services.retrieval.milvus.server import Held, Server
    from services.retrieval.queries import Passage
    from services.retrieval.search import Reach
    from services.retrieval.store.changes import Change
    from services.retrieval.store.documents import Written
    from services.retrieval.store.store import Store


_COUNTED = {FieldType.KEYWORD, FieldType.TAGS, FieldType.BOOL, FieldType.INTEGER}
_READ_AT_ONCE = 1000


class MilvusLibrary(Library):
    """What is the truth is inherited; what asks a view asks Milvus.

    Args:
        store: The truth.
        follower: Brings Milvus forward.
        server: Milvus.
        **more: What else the library of the local backend takes.
    """

    def __init__(self, store: Store, follower: Follower, server: Server, **more: Any) -> None:
        super().__init__(store, follower, **more)  # pyright: ignore[reportArgumentType] # what asks the keeper is replaced below
        self._milvus_follower = follower
        self._server = server

    async def describe(self, tenant: str, name: str) -> tuple[Collection, Stats]:
        """Returns a collection with its figures; those of memory are Milvus' own business."""
        collection = await self._store.resolve_afresh(tenant, name)
        held = await self._store.read(lambda c: counts.read(c, collection.id))
        if held is None:
            raise catalog.not_found(name)
        applied = self._milvus_follower.known(collection.id)
        return collection, Stats(
            documents=held.checksum.documents,
            chunks=held.checksum.chunks,
            tombstones=0,
            view_bytes=0,
            committed_seq=held.seq,
            visible_seq=applied.tenant_seq if applied else 0,
            index=f"{index_name(collection.settings.index_type)} in Milvus {self._server.version}",
        )

    async def drop(self, tenant: str, name: str) -> None:
        """Deletes a collection with everything in it."""
        collection = await self._store.resolve_afresh(tenant, name)
        await super().drop(tenant, name)
        try:
            await self._milvus_follower.drop(collection)
        except ServiceError as error:
            # Its rows are out of everyone's reach: their name is never used again.
            get_logger().warning("rows of a collection are left", **exception_fields(error))

    async def upsert(
        self,
        tenant: str,
        name: str,
        new: Sequence[Document],
        expected_version: int = 0,
        expected_versions: Sequence[int] = (),
    ) -> Written:
        """Writes documents; refuses what Milvus cannot keep before anything is written."""
        rows.check(new)
        return await super().upsert(tenant, name, new, expected_version, expected_versions)

    async def count(self, reach: Reach, name: str, tree: Filter | None) -> tuple[int, int]:
        """Returns the numbers of documents and chunks."""
        _, held = await self._visible(reach, name, tree)
        return len(held), sum(each.chunk_count for each in held.values())

    async def facet(
        self, reach: Reach, name: str, field: str, tree: Filter | None, limit: int
    ) -> list[tuple[Value, int]]:
        """Returns a field's values with their numbers of documents; reads them all from SQL."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        _, kind = Fitting(collection.settings.fields, "field").column(field)
        if kind not in _COUNTED:
            raise InvalidArgumentError.for_field(
                "field", f"{field!r} is a {kind.name}: not countable"
            )
        applied, held = await self._visible(reach, name, tree)
        counter: Counter[Value] = Counter()
        ids = list(held)
        for start in range(0, len(ids), _READ_AT_ONCE):
            part = ids[start : start + _READ_AT_ONCE]
            for document in await self._documents(reach, applied.collection, part):
                counter.update(_values(document, field, applied.collection))
        return sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]  # pyright: ignore[reportArgumentType]

    async def scroll_documents(
        self,
        reach: Reach,
        name: str,
        tree: Filter | None,
        size: int,
        token: str,
        *,
        with_vectors: bool = False,
    ) -> DocumentPage:
        """Returns a page of documents, without text; with chunks if their vectors are wanted."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        key = browse.page_key("documents", collection.id, tree)
        after = browse.decode_token(token, key)
        applied, held = await self._visible(reach, name, tree)
        ids = _next_ids(held, after, size)
        found = await self._documents(reach, applied.collection, ids, with_vectors=with_vectors)
        is_full = len(ids) == size
        return DocumentPage(found, browse.encode_token(Place(ids[-1]), key) if is_full else "")

    async def scroll_chunks(
        self,
        reach: Reach,
        name: str,
        tree: Filter | None,
        size: int,
        token: str,
        *,
        with_vectors: bool = False,
    ) -> PassagePage:
        """Returns a page of chunks."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        key = browse.page_key("chunks", collection.id, tree)
        after = browse.decode_token(token, key)
        applied, held = await self._visible(reach, name, tree)
        wanted = _next_chunks(held, after, size)

        def fetch(connection: Connection) -> list[Passage | None]:
            return passages.fetch(connection, collection.id, wanted, with_metadata=True)

        found = await self._store.read(fetch) if wanted else []
        next_token = ""
        if len(wanted) == size:
            next_token = browse.encode_token(Place(wanted[-1].document_id, wanted[-1].ordinal), key)
        there = [each for each in found if each is not None]
        vectors = None
        if with_vectors:
            vectors = await self._vectors(reach, applied.collection, there)
        return PassagePage(applied.collection.name, there, next_token, vectors)

    async def _vectors(
        self, reach: Reach, collection: Collection, wanted: Sequence[Passage]
    ) -> NDArray[np.float32]:
        """Returns the unit vectors of chunks, from SQL."""
        ids = list(dict.fromkeys(each.document_id for each in wanted))
        found = await self._documents(reach, collection, ids, with_vectors=True)
        held = {each.document_id: each for each in found}
        vectors = np.zeros((len(wanted), collection.settings.dimensions), np.float32)
        for place, each in enumerate(wanted):
            document = held.get(each.document_id)
            if document is not None and each.ordinal < len(document.chunks):
                vectors[place] = unit(np.frombuffer(document.chunks[each.ordinal].vector, "<f4"))
        return vectors

    async def _visible(
        self, reach: Reach, name: str, tree: Filter | None
    ) -> tuple[Applied, dict[str, Held]]:
        """Returns the documents that a scope may read and a filter lets through."""
        collection = await self._store.resolve_afresh(reach.tenant, name)
        applied = await self._milvus_follower.current(collection)
        readable = expressions.scope(reach, now_micros())
        return applied, await self._held(applied.collection, tree, readable)

    async def ids(
        self, reach: Reach | None, collection: Collection, tree: Filter | None
    ) -> list[str]:
        """Returns the documents that match a filter and a scope may read; None: anyone's."""
        applied = await self._milvus_follower.current(collection)
        parts = [] if reach is None else [expressions.scope(reach, now_micros())]
        return list(await self._held(applied.collection, tree, *parts))

    async def _matching(self, collection: Collection, tree: Filter) -> dict[str, int]:
        """Returns ids and versions of all documents that match, whoever may read them."""
        applied = await self._milvus_follower.current(collection)
        held = await self._held(applied.collection, tree)
        return {each.document_id: each.version for each in held.values()}

    async def _held(
        self, collection: Collection, tree: Filter | None, *conditions: str
    ) -> dict[str, Held]:
        """Returns what Milvus holds, each document once: its newest version, never two of them."""
        parts = [expressions.DOCUMENTS, *conditions]
        if tree is not None:
            parts.append(expressions.condition(tree, collection.settings.fields))
        where = expressions.every(*parts)

        def work() -> dict[str, Held]:
            found: dict[str, Held] = {}
            for each in self._server.documents(collection, where):
                known = found.get(each.document_id)
                if known is None or known.version < each.version:
                    found[each.document_id] = each
            return found

        return await asyncio.to_thread(work)

    async def _documents(
        self,
        reach: Reach,
        collection: Collection,
        ids: Sequence[str],
        *,
        with_vectors: bool = False,
    ) -> list[Document]:
        readers = frozenset(reach.principals)
        return await self._store.read(
            partial(
                contents.read,
                collection_id=collection.id,
                ids=ids,
                may_read=lambda acl: not readers.isdisjoint(acl),
                now_micros=now_micros(),
                with_text=False,
                with_chunks=with_vectors,
                with_vectors=with_vectors,
            )
        )

    async def _take_in(self, collection: Collection, change: Change) -> None:
        try:
            await self._milvus_follower.take_in(collection, change)
        except ServiceError as error:
            # It is committed, which is what the answer promises; searches will wait for it.
            get_logger().warning("a write is not visible yet", **exception_fields(error))
            self._milvus_follower.require(collection.id, change.seq)


def _values(document: Document, field: str, collection: Collection) -> Iterable[Value]:
    if field in collection.settings.fields:
        value = document.metadata.get(field)
    else:
        value = document.document_id if field == "document_id" else document.uri or None
    if value is None:
        return ()
    return value if isinstance(value, frozenset) else (value,)


def _next_ids(held: Iterable[str], after: Place | None, size: int) -> list[str]:
    last = "" if after is None else after.document_id
    return heapq.nsmallest(size, (each for each in held if each > last))


def _next_chunks(held: dict[str, Held], after: Place | None, size: int) -> list[Wanted]:
    page: list[Wanted] = []
    if after is not None and after.ordinal >= 0 and after.document_id in held:
        each = held[after.document_id]
        page += [
            Wanted(each.document_id, each.version, ordinal)
            for ordinal in range(after.ordinal + 1, each.chunk_count)
        ]
    for document_id in _next_ids((i for i, e in held.items() if e.chunk_count), after, size):
        if len(page) >= size:
            break
        each = held[document_id]
        page += [Wanted(document_id, each.version, n) for n in range(each.chunk_count)]
    return page[:size]
