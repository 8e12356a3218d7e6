"""Documents and collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import Response

from services.gateway.edge.bodies import (
    CollectionBody,
    MetadataValue,
    SubmitDocumentsBody,
    read_metadata,
)
from services.gateway.edge.render import (
    render_collection,
    render_document,
    render_submission,
)
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    Parameters,
    StrictRoute,
    error_responses,
    media_type,
    wrong_content_type,
)
from services.gateway.edge.strict_json import parse_json
from services.gateway.edge.validation import validation_error
from services.gateway.edge.views import (
    CollectionsView,
    DocumentsView,
    OneCollectionView,
    OneDocumentView,
    SubmissionsView,
)
from services.gateway.operations import Operations
from services.gateway.requests import MAX_DOCUMENTS, NewDocument
from services.rpc.errors import InvalidArgumentError

_MULTIPART = "multipart/form-data"
_FORM_FIELDS = frozenset(
    {
        "file",
        "collection",
        "document_id",
        "uri",
        "title",
        "content_type",
        "metadata",
        "acl",
        "idempotency_key",
    }
)
_ONE_FILE_FIELDS = ("document_id", "uri", "title", "idempotency_key")
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
                            for name in sorted(_FORM_FIELDS - {"file", "acl"})
                        },
                    },
                }
            },
        },
    }
}
_METADATA = TypeAdapter(dict[str, MetadataValue], config=ConfigDict(strict=True))


class CollectionParameter(Parameters):
    """Which collection."""

    collection: str = ""


class DocumentParameters(CollectionParameter):
    """Which collection, and how much of the document."""

    omit_text: bool = False


class ListParameters(Parameters):
    """Page of a list."""

    page_size: int = Field(default=0, ge=0, le=1_000)
    """Entries at most; 0: 100."""
    page_token: str = ""
    """Where the former page ended; empty: the beginning."""


class ListDocumentsParameters(ListParameters):
    """Page of documents."""

    collection: str = ""
    state: list[str] = Field(default_factory=list, max_length=10)
    """States to list; none: all."""


def document_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["documents"], route_class=StrictRoute, responses=error_responses()
    )

    @router.post(
        "/documents",
        operation_id="submit_documents",
        status_code=202,
        responses={202: {"model": SubmissionsView}},
        openapi_extra=_SUBMIT_BODY,
    )
    async def submit(request: Request, caller: CallerDependency) -> Response:
        """Accepts documents; each gets a job. One bad document fails alone."""
        if wrong := wrong_content_type(request, "application/json", _MULTIPART):
            raise wrong
        if media_type(request) == _MULTIPART:
            collection, documents = await _read_form(request)
        else:
            collection, documents = _read_json(await request.body())
        submissions = await operations.submit(caller, collection, documents)
        rendered = [render_submission(each) for each in submissions]
        return JsonResponse({"submissions": rendered}, status_code=202)

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

    return router


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

    @router.delete("/collections/{name}", operation_id="delete_collection", status_code=204)
    async def delete(name: str, caller: CallerDependency) -> Response:
        """Deletes a collection with everything in it."""
        await operations.delete_collection(caller, name)
        return Response(status_code=204)

    return router


def _read_json(data: bytes) -> tuple[str, Sequence[NewDocument]]:
    try:
        body = SubmitDocumentsBody.model_validate(parse_json(data))
    except ValidationError as error:
        raise validation_error(error.errors(include_url=False)) from None
    documents = [each.document(f"documents[{index}]") for index, each in enumerate(body.documents)]
    return body.collection, documents


async def _read_form(request: Request) -> tuple[str, Sequence[NewDocument]]:
    try:
        async with request.form(max_files=MAX_DOCUMENTS, max_fields=1_000) as form:
            return _form_text(form, "collection"), await _form_documents(form)
    except (MultiPartException, HTTPException) as error:
        detail = getattr(error, "detail", None) or getattr(error, "message", "")
        raise InvalidArgumentError.for_field("body", f"is not a form: {detail}") from None


async def _form_documents(form: FormData) -> list[NewDocument]:
    for name in form:
        if name not in _FORM_FIELDS:
            raise InvalidArgumentError.for_field(name[:100], "is not a field of this form")
    files = [each for each in form.getlist("file") if isinstance(each, UploadFile)]
    if not files or len(files) != len(form.getlist("file")):
        raise InvalidArgumentError.for_field("file", "send one or more files as `file` parts")
    if len(files) > 1:
        for name in _ONE_FILE_FIELDS:
            if name in form:
                raise InvalidArgumentError.for_field(name, "is for a single file only")
    metadata = _form_metadata(_form_text(form, "metadata"))
    acl = tuple(each for each in form.getlist("acl") if isinstance(each, str))
    return [
        NewDocument(
            content=await file.read(),
            document_id=_form_text(form, "document_id"),
            uri=_form_text(form, "uri"),
            title=_form_text(form, "title"),
            # A browser guesses from the name; what it cannot name is recognised by content.
            content_type=_form_text(form, "content_type") or _known_type(file.content_type),
            file_name=file.filename or "",
            metadata=metadata,
            acl=acl,
            idempotency_key=_form_text(form, "idempotency_key"),
        )
        for file in files
    ]


def _known_type(content_type: str | None) -> str:
    return "" if content_type in {None, "application/octet-stream"} else content_type or ""


def _form_text(form: FormData, name: str) -> str:
    values = form.getlist(name)
    if len(values) > 1 or any(not isinstance(each, str) for each in values):
        raise InvalidArgumentError.for_field(name, "must be one text field")
    return str(values[0]) if values else ""


def _form_metadata(text: str) -> Any:
    if not text:
        return {}
    try:
        return read_metadata(_METADATA.validate_python(parse_json(text.encode())), "metadata")
    except UnicodeEncodeError:
        raise InvalidArgumentError.for_field("metadata", "is not valid Unicode") from None
    except ValidationError as error:
        raise validation_error(error.errors(include_url=False), "metadata") from None
