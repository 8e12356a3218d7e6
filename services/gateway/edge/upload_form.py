"""Files that come as multipart forms: small ones in memory, large ones on disk."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from fastapi import Request
from pydantic import ConfigDict, TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from services.gateway.edge.bodies import MetadataValue, read_metadata
from services.gateway.edge.strict_json import parse_json
from services.gateway.edge.validation import validation_error
from services.gateway.requests import MAX_DOCUMENTS, NewDocument
from services.rpc.errors import InvalidArgumentError

FORM_FIELDS = frozenset(
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
_IN_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_METADATA = TypeAdapter(dict[str, MetadataValue], config=ConfigDict(strict=True))


class FormFile:
    """A file of a form; lies on disk when it is large.

    Args:
        file: As the form has it.
    """

    def __init__(self, file: UploadFile) -> None:
        self._file = file
        self.size_bytes = file.size or 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yields its bytes, from the beginning."""
        await self._file.seek(0)
        while piece := await self._file.read(_PIECE_BYTES):
            yield piece


@contextlib.asynccontextmanager
async def form_documents(request: Request) -> AsyncIterator[tuple[str, Sequence[NewDocument]]]:
    """Reads a form; its files are there while the block runs.

    Yields:
        The collection and the documents.

    Raises:
        InvalidArgumentError: it is no form, or a field of it is wrong.
    """
    form: FormData | None = None
    try:
        try:
            form = await request.form(max_files=MAX_DOCUMENTS, max_fields=1_000)
        except (MultiPartException, HTTPException) as error:
            detail = getattr(error, "detail", None) or getattr(error, "message", "")
            raise InvalidArgumentError.for_field("body", f"is not a form: {detail}") from None
        yield _text(form, "collection"), await _documents(form)
    finally:
        if form is not None:
            await asyncio.shield(form.close())


async def _documents(form: FormData) -> list[NewDocument]:
    for name in form:
        if name not in FORM_FIELDS:
            raise InvalidArgumentError.for_field(name[:100], "is not a field of this form")
    files = [each for each in form.getlist("file") if isinstance(each, UploadFile)]
    if not files or len(files) != len(form.getlist("file")):
        raise InvalidArgumentError.for_field("file", "send one or more files as `file` parts")
    if len(files) > 1:
        for name in _ONE_FILE_FIELDS:
            if name in form:
                raise InvalidArgumentError.for_field(name, "is for a single file only")
    metadata = _form_metadata(_text(form, "metadata"))
    acl = tuple(each for each in form.getlist("acl") if isinstance(each, str))
    return [await _document(form, file, metadata, acl) for file in files]


async def _document(
    form: FormData, file: UploadFile, metadata: Any, acl: tuple[str, ...]
) -> NewDocument:
    is_small = (file.size or 0) <= _IN_MEMORY_BYTES
    return NewDocument(
        content=await file.read() if is_small else b"",
        document_id=_text(form, "document_id"),
        uri=_text(form, "uri"),
        title=_text(form, "title"),
        # A browser guesses from the name; what it cannot name is recognised by content.
        content_type=_text(form, "content_type") or _known_type(file.content_type),
        file_name=file.filename or "",
        metadata=metadata,
        acl=acl,
        idempotency_key=_text(form, "idempotency_key"),
        file=None if is_small else FormFile(file),
    )


def _known_type(content_type: str | None) -> str:
    return "" if content_type in {None, "application/octet-stream"} else content_type or ""


def _text(form: FormData, name: str) -> str:
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
