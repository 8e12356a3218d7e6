"""Collections and what is found out about their documents."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.edge.bodies import CollectionBody
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
from services.gateway.edge.views import CollectionsView, OneCollectionView
from services.gateway.operations import Operations


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
        page = await operations.list_collections(
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
        collection = await operations.create_collection(caller, body.collection())
        return JsonResponse({"collection": render_collection(collection)}, status_code=201)

    @router.get(
        "/collections/{name}",
        operation_id="get_collection",
        responses={200: {"model": OneCollectionView}},
    )
    async def get(name: str, caller: CallerDependency) -> Response:
        """Returns a collection with its figures."""
        collection = await operations.get_collection(caller, name)
        return JsonResponse({"collection": render_collection(collection)})

    _add_enrichment_routes(router, operations)

    @router.delete("/collections/{name}", operation_id="delete_collection", status_code=204)
    async def delete(name: str, caller: CallerDependency) -> Response:
        """Deletes a collection with everything in it."""
        await operations.delete_collection(caller, name)
        return Response(status_code=204)

    return router


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
