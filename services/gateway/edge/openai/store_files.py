"""Files of vector stores, alone and in batches."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.openai.bodies import (
    Attributes,
    ListOrder,
    OpenAiBody,
    epoch_seconds,
    page_of,
)
from services.gateway.edge.openai.ranking import file_name_of, render_attributes
from services.gateway.edge.openai.views import (
    DeletedObjectView,
    FileBatchView,
    FileTextView,
    VectorStoreFilesView,
    VectorStoreFileView,
)
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.library import Document
from services.gateway.store.vector_store_labels import FileBatch
from services.gateway.vector_store_operations import (
    FileCounts,
    FileLink,
    VectorStoreOperations,
    states_of,
    status_of,
)
from services.rpc.errors import InvalidArgumentError

_UNSUPPORTED = frozenset({"UNSUPPORTED_CONTENT_TYPE"})


class NewStoreFileBody(OpenAiBody):
    """A file to add."""

    file_id: str
    attributes: Attributes | None = None
    """Metadata to filter by."""
    acl: list[str] = Field(default_factory=list, max_length=256)
    """Principals who may read it; empty: as the collection's policy says. Not of OpenAI's API."""
    chunking_strategy: dict[str, Any] | None = None
    """"auto" only."""

    def link(self, path: str = "") -> FileLink:
        """Returns what to add.

        Raises:
            InvalidArgumentError: files cannot be cut as is asked for.
        """
        strategy = self.chunking_strategy
        if strategy is not None and strategy.get("type") != "auto":
            raise InvalidArgumentError.for_field(f"{path}chunking_strategy", "must be auto")
        return FileLink(self.file_id, dict(self.attributes or {}), tuple(self.acl))


class NewBatchBody(OpenAiBody):
    """Files to add together: `file_ids` with common attributes, or `files` each with its own."""

    file_ids: list[str] | None = Field(default=None, max_length=500)
    files: list[NewStoreFileBody] | None = Field(default=None, max_length=500)
    attributes: Attributes | None = None
    acl: list[str] = Field(default_factory=list, max_length=256)
    chunking_strategy: dict[str, Any] | None = None

    def links(self) -> list[FileLink]:
        """Returns what to add.

        Raises:
            InvalidArgumentError: neither or both ways of naming files.
        """
        if bool(self.file_ids) == bool(self.files):
            raise InvalidArgumentError.for_field("file_ids", "give either file_ids or files")
        if self.files:
            return [each.link(f"files[{index}].") for index, each in enumerate(self.files)]
        common = NewStoreFileBody(
            file_id="",
            attributes=self.attributes,
            acl=self.acl,
            chunking_strategy=self.chunking_strategy,
        ).link()
        return [FileLink(each, common.attributes, common.acl) for each in self.file_ids or ()]


class ListStoreFiles(ListOrder):
    """Page of files."""

    filter: Literal["", "in_progress", "completed", "failed", "cancelled"] = ""


def add_store_file_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    """Adds the routes."""
    _add_list_routes(router, stores)
    _add_batch_routes(router, stores)
    _add_file_routes(router, stores)


def _add_list_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    @router.post(
        "/vector_stores/{store_id}/files",
        operation_id="openai_create_vector_store_file",
        responses={200: {"model": VectorStoreFileView}},
    )
    async def create(store_id: str, body: NewStoreFileBody, caller: CallerDependency) -> Response:
        """Takes a kept file in."""
        document = await stores.add_file(caller, store_id, body.link())
        return JsonResponse(_render(document, store_id))

    @router.get(
        "/vector_stores/{store_id}/files",
        operation_id="openai_list_vector_store_files",
        responses={200: {"model": VectorStoreFilesView}},
    )
    async def list_files(
        store_id: str, caller: CallerDependency, parameters: Annotated[ListStoreFiles, Query()]
    ) -> Response:
        """Lists the documents of a collection that the caller may see."""
        found, has_more = await stores.list_files(
            caller,
            store_id,
            states=states_of(parameters.filter),
            limit=parameters.limit,
            after=parameters.after,
            is_ascending=parameters.order == "asc",
        )
        return JsonResponse(page_of([_render(each, store_id) for each in found], has_more=has_more))


def _add_file_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    @router.get(
        "/vector_stores/{store_id}/files/{file_id:path}/content",
        operation_id="openai_get_vector_store_file_content",
        responses={200: {"model": FileTextView}},
    )
    async def content(store_id: str, file_id: str, caller: CallerDependency) -> Response:
        """Returns the text that citations refer to."""
        document = await stores.get_file(caller, store_id, file_id, with_text=True)
        return JsonResponse(
            {
                "object": "vector_store.file_content.page",
                "file_id": document.document_id,
                "filename": file_name_of(document.uri, document.title, document.document_id),
                "attributes": render_attributes(document.metadata),
                "data": [{"type": "text", "text": document.text}],
                "content": [{"type": "text", "text": document.text}],
                "has_more": False,
                "next_page": None,
            }
        )

    @router.get(
        "/vector_stores/{store_id}/files/{file_id:path}",
        operation_id="openai_get_vector_store_file",
        responses={200: {"model": VectorStoreFileView}},
    )
    async def get(store_id: str, file_id: str, caller: CallerDependency) -> Response:
        """Returns a file and how far it is."""
        return JsonResponse(_render(await stores.get_file(caller, store_id, file_id), store_id))

    @router.delete(
        "/vector_stores/{store_id}/files/{file_id:path}",
        operation_id="openai_delete_vector_store_file",
        responses={200: {"model": DeletedObjectView}},
    )
    async def delete(store_id: str, file_id: str, caller: CallerDependency) -> Response:
        """Takes a file out; the kept file stays."""
        await stores.remove_file(caller, store_id, file_id)
        return JsonResponse({"id": file_id, "object": "vector_store.file.deleted", "deleted": True})


def _add_batch_routes(router: APIRouter, stores: VectorStoreOperations) -> None:
    @router.post(
        "/vector_stores/{store_id}/file_batches",
        operation_id="openai_create_file_batch",
        responses={200: {"model": FileBatchView}},
    )
    async def create(store_id: str, body: NewBatchBody, caller: CallerDependency) -> Response:
        """Takes several kept files in; a bad one fails alone."""
        return JsonResponse(_batch(*await stores.add_batch(caller, store_id, body.links())))

    @router.get(
        "/vector_stores/{store_id}/file_batches/{batch_id}",
        operation_id="openai_get_file_batch",
        responses={200: {"model": FileBatchView}},
    )
    async def get(store_id: str, batch_id: str, caller: CallerDependency) -> Response:
        """Returns a batch and how far its files are."""
        return JsonResponse(_batch(*await stores.get_batch(caller, store_id, batch_id)))

    @router.post(
        "/vector_stores/{store_id}/file_batches/{batch_id}/cancel",
        operation_id="openai_cancel_file_batch",
        responses={200: {"model": FileBatchView}},
    )
    async def cancel(store_id: str, batch_id: str, caller: CallerDependency) -> Response:
        """Takes back what is not taken in yet."""
        return JsonResponse(_batch(*await stores.cancel_batch(caller, store_id, batch_id)))

    @router.get(
        "/vector_stores/{store_id}/file_batches/{batch_id}/files",
        operation_id="openai_list_file_batch_files",
        responses={200: {"model": VectorStoreFilesView}},
    )
    async def list_files(
        store_id: str,
        batch_id: str,
        caller: CallerDependency,
        parameters: Annotated[ListStoreFiles, Query()],
    ) -> Response:
        """Lists the files of a batch."""
        wanted = states_of(parameters.filter)
        found = [
            each
            for each in (await stores.batch_files(caller, store_id, batch_id)).values()
            if not wanted or each.state in wanted
        ]
        if parameters.order == "asc":
            found.reverse()
        names = [each.document_id for each in found]
        if parameters.after:
            if parameters.after not in names:
                raise InvalidArgumentError.for_field("after", "is not an entry of this list")
            found = found[names.index(parameters.after) + 1 :]
        shown = [_render(each, store_id) for each in found[: parameters.limit]]
        return JsonResponse(page_of(shown, has_more=len(found) > parameters.limit))


def render_counts(counts: FileCounts) -> dict[str, int]:
    """Returns figures of files."""
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def _batch(batch: FileBatch, counts: FileCounts) -> dict[str, Any]:
    if batch.is_cancelled:
        status = "cancelled"
    elif counts.in_progress:
        status = "in_progress"
    else:
        status = "failed" if counts.failed == counts.total else "completed"
    return {
        "id": batch.batch_id,
        "object": "vector_store.files_batch",
        "created_at": epoch_seconds(batch.created_at),
        "vector_store_id": batch.collection,
        "status": status,
        "file_counts": render_counts(counts),
    }


def _render(document: Document, store_id: str) -> dict[str, Any]:
    error = None
    if document.failure_reason and document.state == "dead_letter":
        is_unsupported = document.failure_reason in _UNSUPPORTED
        error = {
            "code": "unsupported_file" if is_unsupported else "server_error",
            "message": f"{document.failure_reason}: {document.failure_message}",
        }
    return {
        "id": document.document_id,
        "object": "vector_store.file",
        "created_at": epoch_seconds(document.created_at),
        "vector_store_id": store_id,
        "status": status_of(document.state),
        "last_error": error,
        "usage_bytes": document.size_bytes,
        "attributes": render_attributes(document.metadata),
        "chunking_strategy": {"type": "other"},
    }
