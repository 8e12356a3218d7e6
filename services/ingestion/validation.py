"""What a submission must look like. Errors name the field and say how to mend it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from services.filters.values import INT64_MAX, INT64_MIN, Value
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from services.ingestion.document import Content, DocumentHeader

MAX_ID_CHARACTERS = 512
MAX_TITLE_CHARACTERS = 4096
MAX_URI_CHARACTERS = 8192
MAX_NAME_CHARACTERS = 1024
MAX_KEY_CHARACTERS = 256
MAX_ACL_ENTRIES = 1000
MAX_PRINCIPAL_CHARACTERS = 256
MAX_METADATA_FIELDS = 128
MAX_FIELD_NAME_CHARACTERS = 128
MAX_KEYWORD_CHARACTERS = 8192
MAX_TAGS = 1000

_BUILT_IN_FIELDS = frozenset({"document_id", "uri"})
"""What filters know each document by: metadata has other names."""
_COLLECTION = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


def check_collection(name: str, field: str = "collection") -> None:
    """Refuses names that no collection can have.

    Raises:
        InvalidArgumentError: it is malformed.
    """
    if not _COLLECTION.match(name):
        raise InvalidArgumentError.for_field(
            field,
            "must be 1–64 of a–z, 0–9, '-' and '_', beginning with a letter or digit"
            if name
            else "is empty; name the collection",
        )


def check_header(header: DocumentHeader, content: Content, field: str) -> DocumentHeader:
    """Returns the header with its document id, derived where it is empty.

    Args:
        header: The header.
        content: The bytes, from which an id may have to be derived.
        field: Path of the header in the request, for errors.

    Raises:
        InvalidArgumentError: something in it is malformed.
    """
    for name, limit in (
        ("document_id", MAX_ID_CHARACTERS),
        ("title", MAX_TITLE_CHARACTERS),
        ("uri", MAX_URI_CHARACTERS),
        ("content_type", MAX_KEY_CHARACTERS),
        ("file_name", MAX_NAME_CHARACTERS),
        ("idempotency_key", MAX_KEY_CHARACTERS),
    ):
        check_text(getattr(header, name), limit, f"{field}.{name}")
    if header.document_id and header.document_id != header.document_id.strip():
        raise InvalidArgumentError.for_field(
            f"{field}.document_id", "must not begin or end with white space"
        )
    check_metadata(header.metadata, f"{field}.metadata")
    acl = check_acl(header.acl, f"{field}.acl")
    return replace(header, document_id=_document_id(header, content), acl=acl)


def check_content(content: Content, max_bytes: int, field: str) -> None:
    """Refuses empty and oversized documents.

    Raises:
        InvalidArgumentError: EMPTY_TEXT or TOO_LARGE.
    """
    if content.size_bytes == 0:
        raise InvalidArgumentError.for_field(field, "the document is empty", Reason.EMPTY_TEXT)
    if content.size_bytes > max_bytes:
        raise too_large(content.size_bytes, max_bytes, field)


def too_large(size_bytes: int, max_bytes: int, field: str) -> InvalidArgumentError:
    """Returns the error for a document over the limit."""
    error = InvalidArgumentError.for_field(
        field,
        f"the document has {size_bytes} bytes or more, {max_bytes} are allowed; split it",
        Reason.TOO_LARGE,
    )
    error.metadata |= {"limit": str(max_bytes), "size": str(size_bytes)}
    return error


def _document_id(header: DocumentHeader, content: Content) -> str:
    if header.document_id:
        return header.document_id
    uri = header.uri.strip()
    if uri and len(uri) <= MAX_ID_CHARACTERS:
        return uri
    return f"sha256-{content.digest[:40]}"


def check_text(text: str, limit: int, field: str) -> None:
    """Refuses texts that are too long or hold control characters.

    Raises:
        InvalidArgumentError: TOO_LARGE or INVALID_TEXT.
    """
    if len(text) > limit:
        raise InvalidArgumentError.for_field(
            field, f"has {len(text)} characters, {limit} are allowed", Reason.TOO_LARGE
        )
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise InvalidArgumentError.for_field(
            field, "must not hold control characters", Reason.INVALID_TEXT
        )


def check_metadata(metadata: Mapping[str, Value | None], field: str) -> None:
    """Refuses metadata that retrieval would not take.

    Raises:
        InvalidArgumentError: the violation names the value.
    """
    if len(metadata) > MAX_METADATA_FIELDS:
        raise InvalidArgumentError.for_field(
            field,
            f"has {len(metadata)} fields, {MAX_METADATA_FIELDS} are allowed",
            Reason.TOO_LARGE,
        )
    for name, value in metadata.items():
        where = f"{field}[{name[:MAX_FIELD_NAME_CHARACTERS]!r}]"
        if not name:
            raise InvalidArgumentError.for_field(field, "a field has no name")
        check_text(name, MAX_FIELD_NAME_CHARACTERS, where)
        if name in _BUILT_IN_FIELDS:
            raise InvalidArgumentError.for_field(where, "is a built-in field: choose another name")
        if isinstance(value, str):
            _check_keyword(value, where)
        elif isinstance(value, frozenset):
            if len(value) > MAX_TAGS:
                raise InvalidArgumentError.for_field(
                    where, f"has {len(value)} tags, {MAX_TAGS} are allowed", Reason.TOO_LARGE
                )
            for tag in value:
                _check_keyword(tag, where)
        elif (
            isinstance(value, int)
            and not isinstance(value, bool)
            and not INT64_MIN <= value <= INT64_MAX
        ):
            raise InvalidArgumentError.for_field(where, "does not fit into 64 bits")


def _check_keyword(text: str, field: str) -> None:
    if len(text) > MAX_KEYWORD_CHARACTERS:
        raise InvalidArgumentError.for_field(
            field,
            f"has {len(text)} characters, {MAX_KEYWORD_CHARACTERS} are allowed",
            Reason.TOO_LARGE,
        )


def check_acl(acl: tuple[str, ...], field: str) -> tuple[str, ...]:
    """Returns an access list, each principal once.

    Raises:
        InvalidArgumentError: it is too long, or one of them is no principal.
    """
    if len(acl) > MAX_ACL_ENTRIES:
        raise InvalidArgumentError.for_field(
            field, f"has {len(acl)} principals, {MAX_ACL_ENTRIES} are allowed", Reason.TOO_LARGE
        )
    for index, principal in enumerate(acl):
        where = f"{field}[{index}]"
        if not principal or principal != principal.strip():
            raise InvalidArgumentError.for_field(
                where, "must be a principal such as 'everyone', 'user:ID' or 'group:NAME'"
            )
        check_text(principal, MAX_PRINCIPAL_CHARACTERS, where)
    return tuple(dict.fromkeys(acl))
