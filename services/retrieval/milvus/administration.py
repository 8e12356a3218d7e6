"""What owners do to collections over Milvus: compare its rows with the truth, export them whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from services.retrieval import browse
from services.retrieval.administration import Administration, Consistency
from services.retrieval.milvus import expressions
from services.retrieval.store import catalog, counts
from services.retrieval.store.checksum import Checksum
from services.retrieval.transfer import Exporter

if TYPE_CHECKING:
    from services.retrieval.collections import Collection
    from services.retrieval.milvus.follower import Follower
    from services.retrieval.milvus.library import MilvusLibrary
    from services.retrieval.milvus.server import Server
    from services.retrieval.store.store import Store
    from services.retrieval.transfer import Batch, Export


class MilvusAdministration(Administration):
    """What asks a view asks Milvus; the rest is inherited.

    Args:
        store: The truth.
        follower: Brings Milvus forward.
        server: Milvus.
        **more: What else the administration of the local backend takes.
    """

    def __init__(self, store: Store, follower: Follower, server: Server, **more: Any) -> None:
        super().__init__(store, follower, **more)  # pyright: ignore[reportArgumentType] # what asks the keeper is replaced below
        self._milvus_follower = follower
        self._server = server

    def last_check(self, collection: Collection) -> Consistency | None:
        """Returns None: Milvus is compared when that is asked for."""
        del collection

    async def check(self, tenant: str, name: str) -> Consistency:
        """Compares all documents that Milvus holds with the store's count and checksum."""
        collection = await self._store.resolve_afresh(tenant, name)
        applied = await self._milvus_follower.current(collection)
        held = await self._store.read(lambda c: counts.read(c, collection.id))
        if held is None:
            raise catalog.not_found(name)

        def work() -> Checksum:
            rows = self._server.documents(applied.collection, expressions.DOCUMENTS)
            return Checksum().changed(
                added=((each.document_id, each.version, each.chunk_count) for each in rows)
            )

        viewed = await asyncio.to_thread(work)
        return Consistency(held.seq, held.checksum, viewed, time.time_ns() // 1000)


class MilvusExporter(Exporter):
    """Knows the ids from Milvus, reads everything else from SQL.

    Args:
        store: The truth.
        follower: Brings Milvus forward.
        library: Finds what matches.
    """

    def __init__(self, store: Store, follower: Follower, library: MilvusLibrary) -> None:
        super().__init__(store, follower)  # pyright: ignore[reportArgumentType] # what asks the keeper is replaced below
        self._library = library

    async def open(self, export: Export) -> tuple[Collection, AsyncIterator[Batch]]:
        """Returns the collection, and its documents batch by batch."""
        collection = await self._store.resolve_afresh(export.reach.tenant, export.name)
        key = browse.page_key("export", collection.id, export.filter, export.is_everything)
        after = browse.decode_token(export.token, key)
        found = await self._library.ids(
            None if export.is_everything else export.reach, collection, export.filter
        )
        ids = sorted(each for each in found if after is None or each > after.document_id)
        return collection, self._batches(collection, export, ids, key)
