"""Collections and what is found out about their documents."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.edge.bodies import CollectionBody, CollectionChangeBody, OptimizeBody
from services.gateway.edge.problem import problem
from services.gateway.edge.render import render_collection
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    ListParameters,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.source_bodies import EnrichmentBody
from services.gateway.edge.source_views import EnrichmentView, render_enrichment
from services.gateway.edge.sse import EVENTS, EventStream, SendData, event
from services.gateway.edge.views import CollectionsView, OneCollectionView
from services.gateway.identity import Caller
from services.gateway.operations import Operations
from services.rpc.telemetry import current_trace_id

_PROGRESS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The events progress, then response or error.",
        "content": EVENTS,
    }
}


def collection_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["collections"], route_class=StrictRoute, responses=error_responses()
    )

    @router.get(
        "/collections",
        operation_id="list_collections",
        responses={200: {"model": CollectionsView}},
    )
    async def list_collections(
        caller: CallerDependency, parameters: Annotated[ListParameters, Query()]
    ) -> Response:
        """Lists the tenant's collections."""
        page = await operations.collections.list(
            caller, parameters.page_size, parameters.page_token
        )
        return JsonResponse(
            {
                "collections": [render_collection(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.post(
        "/collections",
        operation_id="create_collection",
        status_code=201,
        responses={201: {"model": OneCollectionView}},
    )
    async def create(body: CollectionBody, caller: CallerDependency) -> Response:
        """Creates a collection; creating an equal one again succeeds."""
        collection = await operations.collections.create(caller, body.collection())
        return JsonResponse({"collection": render_collection(collection)}, status_code=201)

    @router.get(
        "/collections/{name}",
        operation_id="get_collection",
        responses={200: {"model": OneCollectionView}},
    )
    async def get(name: str, caller: CallerDependency) -> Response:
        """Returns a collection with its figures."""
        collection = await operations.collections.get(caller, name)
        return JsonResponse({"collection": render_collection(collection)})

    @router.patch(
        "/collections/{name}",
        operation_id="update_collection",
        responses={200: {"model": OneCollectionView}},
    )
    async def update(name: str, body: CollectionChangeBody, caller: CallerDependency) -> Response:
        """Changes a collection's settings."""
        collection = await operations.collections.update(caller, name, body.change())
        return JsonResponse({"collection": render_collection(collection)})

    @router.post(
        "/collections/{name}/optimize",
        operation_id="optimize_collection",
        response_class=Response,
        responses=_PROGRESS,
    )
    async def optimize(name: str, body: OptimizeBody, caller: CallerDependency) -> Response:
        """Builds the index anew, with another kind if one is given; searches go on meanwhile."""
        return _optimize(operations, caller, name, body)

    _add_enrichment_routes(router, operations)

    @router.delete("/collections/{name}", operation_id="delete_collection", status_code=204)
    async def delete(name: str, caller: CallerDependency) -> Response:
        """Deletes a collection with everything in it."""
        await operations.collections.delete(caller, name)
        return Response(status_code=204)

    return router


def _optimize(operations: Operations, caller: Caller, name: str, body: OptimizeBody) -> Response:
    async def work(write: SendData) -> None:
        async with contextlib.aclosing(
            operations.collections.optimize(caller, name, body.kind)
        ) as steps:
            async for each in steps:
                if each.collection is None:
                    told = {"fraction": round(each.fraction, 4), "message": each.message}
                    await write(event("progress", told))
                else:
                    whole = {"collection": render_collection(each.collection)}
                    await write(event("response", whole))

    return EventStream(work, lambda error: event("error", problem(error, current_trace_id())))


def _add_enrichment_routes(router: APIRouter, operations: Operations) -> None:
    @router.get(
        "/collections/{name}/enrichment",
        operation_id="get_enrichment",
        responses={200: {"model": EnrichmentView}},
    )
    async def get_enrichment(name: str, caller: CallerDependency) -> Response:
        """Returns what is found out about the collection's documents when they are taken in."""
        return JsonResponse(render_enrichment(await operations.sources.enrichment(caller, name)))

    @router.put(
        "/collections/{name}/enrichment",
        operation_id="set_enrichment",
        responses={200: {"model": EnrichmentView}},
    )
    async def set_enrichment(name: str, body: EnrichmentBody, caller: CallerDependency) -> Response:
        """Sets what is found out about documents that are taken in from now on."""
        settings = await operations.sources.set_enrichment(caller, name, body.enrichment())
        return JsonResponse(render_enrichment(settings))

    @router.delete(
        "/collections/{name}/enrichment",
        operation_id="reset_enrichment",
        responses={200: {"model": EnrichmentView}},
    )
    async def reset_enrichment(name: str, caller: CallerDependency) -> Response:
        """Goes back to what the service is set up to find out."""
        settings = await operations.sources.set_enrichment(caller, name, None)
        return JsonResponse(render_enrichment(settings))
