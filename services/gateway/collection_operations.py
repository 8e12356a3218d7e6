"""What callers may do with collections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from services.gateway.identity import Caller, Operation
from services.gateway.library import Collection, IndexKind, OptimizeProgress
from services.gateway.pages import Page, page_size_of
from services.gateway.texts import check_collection, check_text
from services.rpc.errors import InvalidArgumentError, NotFoundError

if TYPE_CHECKING:
    from services.gateway.clients.collection_client import CollectionClient
    from services.gateway.clients.embedding_client import EmbeddingClient
    from services.gateway.clients.ingestion_client import IngestionClient
    from services.gateway.library import CollectionChange, NewCollection
    from services.gateway.quality_desk import QualityDesk

_CALLS_AT_ONCE = 8


class CollectionOperations:
    """Everything a caller may ask about collections.

    Args:
        retrieval: Has them.
        embedding: Knows the models whose vectors they hold.
        ingestion: Has the documents on their way into them.
        quality: Has their refusal thresholds.
    """

    def __init__(
        self,
        retrieval: CollectionClient,
        embedding: EmbeddingClient,
        ingestion: IngestionClient,
        quality: QualityDesk,
    ) -> None:
        self._retrieval = retrieval
        self._embedding = embedding
        self._ingestion = ingestion
        self._quality = quality

    async def create(self, caller: Caller, new: NewCollection) -> Collection:
        """Creates a collection for the vectors of a model."""
        caller.require(Operation.CREATE_COLLECTION, new.name)
        new.check()
        model = await self._embedding.model(caller.scope, new.embedding_model)
        return await self._retrieval.create_collection(
            caller.scope, new, model.name, model.revision, model.dimensions
        )

    async def get(self, caller: Caller, name: str) -> Collection:
        """Returns a collection with its figures."""
        name = _name(name)
        caller.require(Operation.READ_COLLECTIONS, name)
        return await self._retrieval.get_collection(caller.scope, name)

    async def list(
        self, caller: Caller, page_size: int = 0, page_token: str = ""
    ) -> Page[Collection]:
        """Returns a page of collections with their figures."""
        caller.require(Operation.READ_COLLECTIONS)
        check_text("page_token", page_token, limit=2_048)
        found, token = await self._retrieval.list_collections(
            caller.scope, page_size_of(page_size), page_token
        )
        gate = asyncio.Semaphore(_CALLS_AT_ONCE)

        async def with_figures(each: Collection) -> Collection | None:
            async with gate:
                try:
                    return await self._retrieval.get_collection(caller.scope, each.name)
                except NotFoundError:  # deleted since
                    return None

        visible = (each for each in found if caller.may(Operation.READ_COLLECTIONS, each.name))
        figures = await asyncio.gather(*(with_figures(each) for each in visible))
        return Page(tuple(each for each in figures if each is not None), token)

    async def update(self, caller: Caller, name: str, change: CollectionChange) -> Collection:
        """Changes a collection's settings."""
        name = _name(name)
        caller.require(Operation.UPDATE_COLLECTION, name)
        change.check()
        await self._retrieval.update_collection(caller.scope, name, change)
        return await self._retrieval.get_collection(caller.scope, name)

    async def optimize(
        self, caller: Caller, name: str, kind: IndexKind = IndexKind.AUTO
    ) -> AsyncGenerator[OptimizeProgress]:
        """Has a collection's index built anew; the last step has the collection.

        Args:
            caller: Who asks.
            name: Collection or alias.
            kind: Of the index from now on; AUTO: as it is set.
        """
        name = _name(name)
        caller.require(Operation.UPDATE_COLLECTION, name)
        last = OptimizeProgress(0.0, "")
        async for last in self._retrieval.optimize_collection(caller.scope, name, kind):
            yield last
        built = await self._retrieval.get_collection(caller.scope, name)
        yield OptimizeProgress(1.0, last.message, built)

    async def delete(self, caller: Caller, name: str) -> None:
        """Deletes a collection with everything in it, the documents on their way included."""
        name = _name(name)
        caller.require(Operation.DELETE_COLLECTION, name)
        await self._retrieval.get_collection(caller.scope, name)
        await self._ingestion.delete_all(caller.scope, name)
        # Last what tells that it is there: whatever fails before, the call can be repeated.
        await self._quality.forget(caller, name)
        await self._retrieval.delete_collection(caller.scope, name)


def _name(name: str) -> str:
    if not name:
        raise InvalidArgumentError.for_field("name", "must not be empty")
    return check_collection(name, "name")
