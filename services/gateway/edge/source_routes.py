"""Sources: folders, web addresses, object stores."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    ListParameters,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.source_bodies import SourceBody, SyncBody
from services.gateway.edge.source_views import (
    OneSourceView,
    SourceDeletedView,
    SourceItemsView,
    SourcesView,
    SyncView,
    render_item,
    render_source,
    render_status,
)
from services.gateway.operations import Operations


class DeleteSourceParameters(Parameters):
    """What goes with the source."""

    keep_documents: bool = False


class ListItemsParameters(ListParameters):
    """Page of items."""

    failed_only: bool = False
    """Whether only items that could not be taken in are listed."""


def source_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["sources"], route_class=StrictRoute, responses=error_responses()
    )
    _add_reading_routes(router, operations)
    _add_writing_routes(router, operations)
    return router


def _add_reading_routes(router: APIRouter, operations: Operations) -> None:
    @router.get("/sources", operation_id="list_sources", responses={200: {"model": SourcesView}})
    async def list_sources(
        caller: CallerDependency, parameters: Annotated[ListParameters, Query()]
    ) -> Response:
        """Lists the tenant's sources with their states."""
        page = await operations.sources.list_sources(
            caller, parameters.page_size, parameters.page_token
        )
        return JsonResponse(
            {
                "sources": [render_source(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/sources/{name}", operation_id="get_source", responses={200: {"model": OneSourceView}}
    )
    async def get(name: str, caller: CallerDependency) -> Response:
        """Returns a source with the state of its synchronisation."""
        entry = await operations.sources.get(caller, name)
        return JsonResponse({"source": render_source(entry)})

    @router.get(
        "/sources/{name}/items",
        operation_id="list_source_items",
        responses={200: {"model": SourceItemsView}},
    )
    async def list_items(
        name: str, caller: CallerDependency, parameters: Annotated[ListItemsParameters, Query()]
    ) -> Response:
        """Lists what was found in a source: which document each item became, or why not."""
        page = await operations.sources.list_items(
            caller,
            name,
            failed_only=parameters.failed_only,
            page_size=parameters.page_size,
            page_token=parameters.page_token,
        )
        return JsonResponse(
            {
                "items": [render_item(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )


def _add_writing_routes(router: APIRouter, operations: Operations) -> None:
    @router.put(
        "/sources/{name}",
        operation_id="put_source",
        responses={200: {"model": OneSourceView}, 201: {"model": OneSourceView}},
    )
    async def put(name: str, body: SourceBody, caller: CallerDependency) -> Response:
        """Creates a source, or replaces its settings; it is synchronised at once."""
        entry, is_created = await operations.sources.put(caller, body.source(name))
        return JsonResponse(
            {"source": render_source(entry)}, status_code=201 if is_created else 200
        )

    @router.post(
        "/sources/{name}/sync",
        operation_id="sync_source",
        status_code=202,
        responses={202: {"model": SyncView}},
    )
    async def sync(name: str, body: SyncBody, caller: CallerDependency) -> Response:
        """Asks for a synchronisation: of everything, or of the named items as an event does."""
        number, status = await operations.sources.sync(
            caller, name, body.paths, is_full=body.is_full, allow_empty=body.allow_empty
        )
        return JsonResponse(
            {"sync_number": number, "status": render_status(status)}, status_code=202
        )

    @router.delete(
        "/sources/{name}",
        operation_id="delete_source",
        responses={200: {"model": SourceDeletedView}},
    )
    async def delete(
        name: str,
        caller: CallerDependency,
        parameters: Annotated[DeleteSourceParameters, Query()],
    ) -> Response:
        """Deletes a source with the documents that came from it, or keeps those."""
        count = await operations.sources.delete(
            caller, name, keep_documents=parameters.keep_documents
        )
        return JsonResponse({"deleted_count": count})
