"""Files: sent once, taken into any number of vector stores."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.responses import Response, StreamingResponse

from services.gateway.edge.openai.bodies import OpenAiParameters, epoch_seconds, page_of
from services.gateway.edge.openai.views import DeletedObjectView, FilesView, FileView
from services.gateway.edge.routing import CallerDependency, JsonResponse, wrong_content_type
from services.gateway.edge.upload_form import FormFile
from services.gateway.file_operations import FileOperations, NewFile
from services.gateway.store.file_store import StoredFile
from services.rpc.errors import InvalidArgumentError

_MULTIPART = "multipart/form-data"
_PURPOSES = ("assistants", "user_data", "batch", "fine-tune", "vision", "evals")
_UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            _MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": list(_PURPOSES)},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {"type": "string", "pattern": "^[0-9]{1,9}$"},
                    },
                }
            }
        },
    }
}


class ListFiles(OpenAiParameters):
    """Page of files."""

    limit: int = Field(default=10_000, ge=1, le=10_000)
    order: Literal["asc", "desc"] = "desc"
    after: str = Field(default="", max_length=512)
    purpose: str = Field(default="", max_length=32)


def add_file_routes(router: APIRouter, files: FileOperations) -> None:
    """Adds the routes."""

    @router.post(
        "/files",
        operation_id="openai_create_file",
        responses={200: {"model": FileView}},
        openapi_extra=_UPLOAD_BODY,
    )
    async def create(request: Request, caller: CallerDependency) -> Response:
        """Keeps a file of 64 MB at most, for its sender to add to vector stores."""
        if wrong := wrong_content_type(request, _MULTIPART):
            raise wrong
        async with _form(request) as new:
            return JsonResponse(_render(await files.add(caller, new)))

    @router.get("/files", operation_id="openai_list_files", responses={200: {"model": FilesView}})
    async def list_files(
        caller: CallerDependency, parameters: Annotated[ListFiles, Query()]
    ) -> Response:
        """Lists the caller's files; operators see everybody's."""
        found, has_more = await files.page(
            caller,
            purpose=parameters.purpose,
            limit=parameters.limit,
            after=parameters.after,
            is_ascending=parameters.order == "asc",
        )
        return JsonResponse(page_of([_render(each) for each in found], has_more=has_more))

    @router.get(
        "/files/{file_id}", operation_id="openai_get_file", responses={200: {"model": FileView}}
    )
    async def get(file_id: str, caller: CallerDependency) -> Response:
        """Returns a file without its bytes."""
        return JsonResponse(_render(await files.get(caller, file_id)))

    @router.get(
        "/files/{file_id}/content",
        operation_id="openai_get_file_content",
        responses={
            200: {
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                }
            }
        },
        response_class=Response,
    )
    async def content(file_id: str, caller: CallerDependency) -> Response:
        """Returns a file's bytes."""
        file = await files.get(caller, file_id)
        headers = {
            "content-length": str(file.size_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.file_name)}",
        }
        # Never by the type its sender claimed: a browser would run it as ours.
        return StreamingResponse(
            files.content(file).pieces(), headers=headers, media_type="application/octet-stream"
        )

    @router.delete(
        "/files/{file_id}",
        operation_id="openai_delete_file",
        responses={200: {"model": DeletedObjectView}},
    )
    async def delete(file_id: str, caller: CallerDependency) -> Response:
        """Deletes a file; documents that were made of it stay in their vector stores."""
        await files.delete(caller, file_id)
        return JsonResponse({"id": file_id, "object": "file", "deleted": True})


@contextlib.asynccontextmanager
async def _form(request: Request) -> AsyncIterator[NewFile]:
    form: FormData | None = None
    try:
        try:
            form = await request.form(max_files=1, max_fields=8)
        except (MultiPartException, HTTPException) as error:
            detail = getattr(error, "detail", None) or getattr(error, "message", "")
            raise InvalidArgumentError.for_field("body", f"is not a form: {detail}") from None
        yield _new_file(form)
    finally:
        if form is not None:
            await asyncio.shield(form.close())


def _new_file(form: FormData) -> NewFile:
    file, purpose = form.get("file"), form.get("purpose")
    if not isinstance(file, UploadFile):
        raise InvalidArgumentError.for_field("file", "send a file as the part `file`")
    if purpose not in _PURPOSES:
        raise InvalidArgumentError.for_field(
            "purpose", f"must be one of {', '.join(_PURPOSES)}; vector stores take any"
        )
    seconds = form.get("expires_after[seconds]")
    if seconds is not None and (not isinstance(seconds, str) or not _is_number(seconds)):
        raise InvalidArgumentError.for_field("expires_after[seconds]", "must be a whole number")
    content_type = file.content_type or ""
    return NewFile(
        name=file.filename or "file",
        content_type="" if content_type == "application/octet-stream" else content_type,
        purpose=str(purpose),
        content=FormFile(file),
        expires_after_seconds=int(seconds) if isinstance(seconds, str) else None,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 9


def _render(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": epoch_seconds(file.created_at),
        "expires_at": epoch_seconds(file.expires_at) if file.expires_at is not None else None,
        "filename": file.file_name,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }
