"""Documents: in, out, and how far they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import Field, ValidationError
from starlette.responses import Response

from services.gateway.edge.bodies import SubmitDocumentsBody, read_metadata
from services.gateway.edge.idempotency import IdempotencyKey, with_key
from services.gateway.edge.render import render_chunk, render_document, render_submission
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    ListParameters,
    Parameters,
    StrictRoute,
    error_responses,
    media_type,
    wrong_content_type,
)
from services.gateway.edge.source_bodies import FetchDocumentsBody
from services.gateway.edge.source_views import DeletedView, render_deleted
from services.gateway.edge.strict_json import parse_json
from services.gateway.edge.upload_form import FORM_FIELDS, form_documents
from services.gateway.edge.validation import validation_error
from services.gateway.edge.views import (
    ChunksView,
    DocumentsView,
    OneDocumentView,
    SubmissionsView,
)
from services.gateway.library import Submission
from services.gateway.operations import Operations
from services.gateway.requests import NewDocument
from services.gateway.sources import DeleteAsk

_MULTIPART = "multipart/form-data"
_SUBMIT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/SubmitDocumentsBody"}},
            _MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                        },
                        "acl": {"type": "array", "items": {"type": "string"}},
                        **{
                            name: {"type": "string"}
                            for name in sorted(FORM_FIELDS - {"file", "acl"})
                        },
                    },
                }
            },
        },
    }
}


class CollectionParameter(Parameters):
    """Which collection."""

    collection: str = ""


class DocumentParameters(CollectionParameter):
    """Which collection, and how much of the document."""

    omit_text: bool = False


class ListChunksParameters(ListParameters):
    """Page of a document's chunks."""

    document_id: str
    collection: str = ""


class ListDocumentsParameters(ListParameters):
    """Page of documents."""

    collection: str = ""
    state: list[str] = Field(default_factory=list, max_length=10)
    """States to list; none: all."""


class DeleteDocumentsParameters(CollectionParameter):
    """Which documents: exactly one of filter, source and owner."""

    filter: str = ""
    """Condition on metadata, in the text syntax."""
    source: str = ""
    """Source by its name: documents whose built-in field "source" is this."""
    owner: str = ""
    """Documents whose metadata field "owner" is this, or that have none and were submitted by
    this actor."""


def document_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["documents"], route_class=StrictRoute, responses=error_responses()
    )
    _add_intake_routes(router, operations)
    _add_list_routes(router, operations)
    _add_document_routes(router, operations)
    return router


def _add_intake_routes(router: APIRouter, operations: Operations) -> None:
    @router.post(
        "/documents",
        operation_id="submit_documents",
        status_code=202,
        responses={202: {"model": SubmissionsView}},
        openapi_extra=_SUBMIT_BODY,
    )
    async def submit(
        request: Request,
        caller: CallerDependency,
        _key: IdempotencyKey = "",  # described here; `with_key` reads it
    ) -> Response:
        """Accepts documents; each gets a job. One bad document fails alone."""
        if wrong := wrong_content_type(request, "application/json", _MULTIPART):
            raise wrong
        if media_type(request) == _MULTIPART:
            async with form_documents(request) as (collection, documents):
                keyed = with_key(request, documents)
                return _accepted(await operations.submit(caller, collection, keyed))
        collection, documents = _read_json(await request.body())
        keyed = with_key(request, documents)
        return _accepted(await operations.submit(caller, collection, keyed))

    @router.post(
        "/documents/fetch",
        operation_id="fetch_documents",
        status_code=202,
        responses={202: {"model": SubmissionsView}},
    )
    async def fetch(body: FetchDocumentsBody, caller: CallerDependency) -> Response:
        """Fetches documents by their URLs and accepts them. One bad address fails alone."""
        metadata = read_metadata(body.metadata, "metadata")
        submissions = await operations.sources.fetch(
            caller, body.collection, body.urls, metadata, body.acl
        )
        return _accepted(submissions)


def _add_list_routes(router: APIRouter, operations: Operations) -> None:
    @router.get(
        "/documents", operation_id="list_documents", responses={200: {"model": DocumentsView}}
    )
    async def list_documents(
        caller: CallerDependency, parameters: Annotated[ListDocumentsParameters, Query()]
    ) -> Response:
        """Lists documents with their states, newest first."""
        page = await operations.list_documents(
            caller,
            parameters.collection,
            parameters.state,
            parameters.page_size,
            parameters.page_token,
        )
        return JsonResponse(
            {
                "documents": [render_document(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get("/chunks", operation_id="list_chunks", responses={200: {"model": ChunksView}})
    async def list_chunks(
        caller: CallerDependency, parameters: Annotated[ListChunksParameters, Query()]
    ) -> Response:
        """Lists the parts of a document that are searched, in their order."""
        page = await operations.list_chunks(
            caller,
            parameters.collection,
            parameters.document_id,
            parameters.page_size,
            parameters.page_token,
        )
        return JsonResponse(
            {
                "chunks": [render_chunk(each) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.delete(
        "/documents", operation_id="delete_documents", responses={200: {"model": DeletedView}}
    )
    async def delete_documents(
        caller: CallerDependency, parameters: Annotated[DeleteDocumentsParameters, Query()]
    ) -> Response:
        """Deletes documents by filter, source or owner, and looks whether any is left."""
        deleted = await operations.sources.delete_documents(
            caller,
            parameters.collection,
            DeleteAsk(parameters.filter, parameters.source, parameters.owner),
        )
        return JsonResponse(render_deleted(deleted))


def _add_document_routes(router: APIRouter, operations: Operations) -> None:
    @router.post(
        "/documents/{document_id:path}/retry",
        operation_id="retry_document",
        responses={200: {"model": OneDocumentView}},
    )
    async def retry(
        document_id: str,
        caller: CallerDependency,
        parameters: Annotated[CollectionParameter, Query()],
    ) -> Response:
        """Runs a failed document again."""
        document = await operations.retry_document(caller, parameters.collection, document_id)
        return JsonResponse({"document": render_document(document)})

    @router.get(
        "/documents/{document_id:path}",
        operation_id="get_document",
        responses={200: {"model": OneDocumentView}},
    )
    async def get(
        document_id: str,
        caller: CallerDependency,
        parameters: Annotated[DocumentParameters, Query()],
    ) -> Response:
        """Returns a document: its state and, once ready, its text."""
        document = await operations.get_document(
            caller, parameters.collection, document_id, with_text=not parameters.omit_text
        )
        return JsonResponse({"document": render_document(document)})

    @router.delete("/documents/{document_id:path}", operation_id="delete_document", status_code=204)
    async def delete(
        document_id: str,
        caller: CallerDependency,
        parameters: Annotated[CollectionParameter, Query()],
    ) -> Response:
        """Deletes a document everywhere."""
        await operations.delete_document(caller, parameters.collection, document_id)
        return Response(status_code=204)


def _accepted(submissions: Sequence[Submission]) -> Response:
    rendered = [render_submission(each) for each in submissions]
    return JsonResponse({"submissions": rendered}, status_code=202)


def _read_json(data: bytes) -> tuple[str, Sequence[NewDocument]]:
    try:
        body = SubmitDocumentsBody.model_validate(parse_json(data))
    except ValidationError as error:
        raise validation_error(error.errors(include_url=False)) from None
    documents = [each.document(f"documents[{index}]") for index, each in enumerate(body.documents)]
    return body.collection, documents
