"""Vector stores: collections by OpenAI's names, with search."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.openai.bodies import (
    ListOrder,
    OpenAiBody,
    StringMap,
    epoch_seconds,
    page_of,
)
from services.gateway.edge.openai.store_files import add_store_file_routes, render_counts
from services.gateway.edge.openai.store_search import add_store_search_route
from services.gateway.edge.openai.views import (
    DeletedObjectView,
    VectorStoresView,
    VectorStoreView,
)
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.operations import Operations
from services.gateway.vector_store_operations import FileLink, VectorStore, VectorStoreOperations
from services.rpc.errors import InvalidArgumentError


class ChunkingStrategy(OpenAiBody):
    """How files are cut."""

    type: str = "auto"


class NewStoreBody(OpenAiBody):
    """A vector store to create."""

    name: str | None = None
    description: str | None = None
    metadata: StringMap | None = None
    file_ids: list[str] | None = Field(default=None, max_length=500)
    """Files to add at once."""
    chunking_strategy: ChunkingStrategy | None = None
    """"auto" only: documents are cut along their structure."""
    expires_after: dict[str, Any] | None = None
    """Not offered: a vector store stays until it is deleted."""


class UpdateStoreBody(OpenAiBody):
    """What changes."""

    name: str | None = None
    metadata: StringMap | None = None
    expires_after: dict[str, Any] | None = None
    """Not offered."""


def add_vector_store_routes(
    router: APIRouter, operations: Operations, stores: VectorStoreOperations
) -> None:
    """Adds the routes."""
    _add_collection_routes(router, stores)
    _add_store_routes(router, stores)
    add_store_search_route(router, operations)
    add_store_file_routes(router, stores)


def _add_collection_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    @router.post(
        "/vector_stores",
        operation_id="openai_create_vector_store",
        responses={200: {"model": VectorStoreView}},
    )
    async def create(body: NewStoreBody, caller: CallerDependency) -> Response:
        """Creates a vector store: a collection with the default embedding model."""
        _refuse_expiry(body.expires_after)
        if body.chunking_strategy is not None and body.chunking_strategy.type != "auto":
            raise InvalidArgumentError.for_field("chunking_strategy", "must be auto")
        store = await stores.create(
            caller, body.name or "", body.metadata or {}, body.description or ""
        )
        if body.file_ids:
            links = [FileLink(each, {}) for each in body.file_ids]
            await stores.add_batch(caller, store.collection.name, links)
            store = await stores.get(caller, store.collection.name)
        return JsonResponse(_render(store))

    @router.get(
        "/vector_stores",
        operation_id="openai_list_vector_stores",
        responses={200: {"model": VectorStoresView}},
    )
    async def list_stores(
        caller: CallerDependency, parameters: Annotated[ListOrder, Query()]
    ) -> Response:
        """Lists the tenant's collections as vector stores."""
        found = await stores.all(caller)
        if parameters.order == "asc":
            found.reverse()
        if parameters.after:
            names = [each.collection.name for each in found]
            if parameters.after not in names:
                raise InvalidArgumentError.for_field("after", "is not an entry of this list")
            found = found[names.index(parameters.after) + 1 :]
        shown = [_render(each) for each in found[: parameters.limit]]
        return JsonResponse(page_of(shown, has_more=len(found) > parameters.limit))


def _add_store_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    @router.get(
        "/vector_stores/{store_id}",
        operation_id="openai_get_vector_store",
        responses={200: {"model": VectorStoreView}},
    )
    async def get(store_id: str, caller: CallerDependency) -> Response:
        """Returns a vector store with its figures."""
        return JsonResponse(_render(await stores.get(caller, store_id)))

    @router.post(
        "/vector_stores/{store_id}",
        operation_id="openai_update_vector_store",
        responses={200: {"model": VectorStoreView}},
    )
    async def update(store_id: str, body: UpdateStoreBody, caller: CallerDependency) -> Response:
        """Changes name and metadata."""
        _refuse_expiry(body.expires_after)
        return JsonResponse(
            _render(await stores.update(caller, store_id, body.name, body.metadata))
        )

    @router.delete(
        "/vector_stores/{store_id}",
        operation_id="openai_delete_vector_store",
        responses={200: {"model": DeletedObjectView}},
    )
    async def delete(store_id: str, caller: CallerDependency) -> Response:
        """Deletes a vector store with everything in it; the files stay."""
        await stores.delete(caller, store_id)
        return JsonResponse({"id": store_id, "object": "vector_store.deleted", "deleted": True})


def _refuse_expiry(given: Any) -> None:
    if given is not None:
        raise InvalidArgumentError.for_field(
            "expires_after", "is not offered: a vector store stays until it is deleted"
        )


def _render(store: VectorStore) -> dict[str, Any]:
    collection, counts = store.collection, store.counts
    return {
        "id": collection.name,
        "object": "vector_store",
        "created_at": epoch_seconds(collection.created_at),
        "name": store.label.name,
        "description": collection.description,
        "metadata": dict(store.label.metadata),
        "status": "in_progress" if counts.in_progress else "completed",
        "file_counts": render_counts(counts),
        "usage_bytes": 0,
        "last_active_at": None,
        "expires_after": None,
        "expires_at": None,
    }
