"""Documents of a write to domain values, checked field by field.

What comes is nearly always in order, so each document is read once, by a short look that finds all
in order or something odd. Only what is odd is read again field by field, for an error that names
the field. The two agree on what is in order; a test holds them against each other.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence

import numpy as np
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from services.filters.proto import timestamp_from_proto, value_from_proto
from services.filters.values import Value
from services.retrieval import checks, limits, settings_proto, vectors_proto
from services.retrieval.documents import Chunk, Document
from services.rpc.errors import InvalidArgumentError

_SHORT_ACL_ENTRIES = 8
"""Access lists up to this length are remembered as they were checked: many documents share them."""
_VECTORS_AT_ONCE = 1024
"""Vectors that are copied into one array to be looked at."""


def expected_versions(request: pb.UpsertRequest) -> Sequence[int]:
    """Returns the version that each document must have, or nothing."""
    versions = request.expected_versions
    if not versions:
        return ()
    if request.expected_version:
        raise InvalidArgumentError.for_field(
            "expected_versions", "give either expected_version or expected_versions"
        )
    if len(versions) != len(request.documents):
        raise InvalidArgumentError.for_field(
            "expected_versions",
            f"has {len(versions)} entries for {len(request.documents)} documents",
        )
    return tuple(versions)


def documents(messages: Sequence[pb.Document]) -> list[Document]:
    """Returns the documents of a write; vectors are held against the collection later."""
    if not messages:
        raise InvalidArgumentError.for_field("documents", "must hold at least one document")
    checks.size(len(messages), limits.MAX_DOCUMENTS_PER_BATCH, "documents", "documents")
    chunk_count = sum(len(message.chunks) for message in messages)
    checks.size(chunk_count, limits.MAX_CHUNKS_PER_BATCH, "documents", "chunks")
    found = _read(messages)
    checks.unique([each.document_id for each in found], "documents[{index}].document_id", "id")
    return found


def _read(messages: Sequence[pb.Document]) -> list[Document]:
    """Returns the documents, of which only the odd ones are read field by field."""
    found: list[Document] = []
    plain: dict[int, list[bytes]] = {}  # vectors of the plain documents, by their places
    for place, message in enumerate(messages):
        vectors: list[bytes] = []
        document = _plain_document(message, vectors)
        if document is None:
            document = _document(message, f"documents[{place}]")
        else:
            plain[place] = vectors
        found.append(document)
    if not _are_plain([vector for vectors in plain.values() for vector in vectors]):
        for place, vectors in plain.items():
            if not _are_plain(vectors):
                found[place] = _document(messages[place], f"documents[{place}]")
    return found


def _are_plain(vectors: Sequence[bytes]) -> bool:
    """Whether float32 vectors, none of them empty, are of one length, finite and not zero."""
    for first in range(0, len(vectors), _VECTORS_AT_ONCE):
        part = vectors[first : first + _VECTORS_AT_ONCE]
        if len({len(each) for each in part}) > 1:
            return False
        numbers = np.frombuffer(b"".join(part), "<f4").reshape(len(part), -1)
        if not np.isfinite(numbers).all() or not numbers.any(axis=1).all():
            return False
    return True


def _plain_document(message: pb.Document, vectors: list[bytes]) -> Document | None:
    """Returns a document if it is plainly in order, its vectors aside, which join the list."""
    document_id, title, uri = message.document_id, message.title, message.uri
    body, content_hash = message.text, message.content_hash
    if (
        not 0 < len(document_id) <= limits.MAX_DOCUMENT_ID_CHARACTERS
        or len(title) > limits.MAX_TITLE_CHARACTERS
        or len(uri) > limits.MAX_URI_CHARACTERS
        or len(body) > limits.MAX_TEXT_CHARACTERS
        or len(content_hash) > limits.MAX_CONTENT_HASH_CHARACTERS
        or "\0" in body
        or "\0" in document_id + title + uri + content_hash
        or message.HasField("expires_at")
        or message.HasField("time_to_live")
    ):
        return None
    principals = tuple(message.acl)
    acl = (_known_acl if len(principals) <= _SHORT_ACL_ENTRIES else _plain_acl)(principals)
    metadata = _plain_metadata(message)
    chunks = _plain_chunks(message.chunks, len(body), vectors)
    if acl is None or metadata is None or chunks is None:
        return None
    return Document(document_id, title, uri, body, metadata, acl, chunks, content_hash)


def _plain_chunks(
    messages: Sequence[pb.Chunk], text_length: int, vectors: list[bytes]
) -> tuple[Chunk, ...] | None:
    found: list[Chunk] = []
    for message in messages:
        chunk_id, start, end, page = message.chunk_id, message.start, message.end, message.page
        vector, headings, codes = message.vector, tuple(message.heading_path), message.token_codes
        data = vector.data
        if (
            not 0 < len(chunk_id) <= limits.MAX_CHUNK_ID_CHARACTERS
            or "\0" in chunk_id
            or not 0 <= start <= end <= text_length
            or page < 0
            or len(codes) > limits.MAX_TOKEN_CODES_BYTES
            or vector.element_type not in vectors_proto.FLOAT32
            or not 0 < len(data) <= 4 * limits.MAX_DIMENSIONS
            or len(data) != 4 * vector.dimensions
            or (headings and not _are_headings(headings))
        ):
            return None
        vectors.append(data)
        found.append(Chunk(chunk_id, start, end, data, headings, page, codes))
    if len(found) > 1 and len({each.chunk_id for each in found}) < len(found):
        return None
    return tuple(found)


def _are_headings(headings: tuple[str, ...]) -> bool:
    return (
        len(headings) <= limits.MAX_HEADINGS
        and max(map(len, headings)) <= limits.MAX_HEADING_CHARACTERS
        and "\0" not in "".join(headings)
    )


def _plain_metadata(message: pb.Document) -> dict[str, Value | None] | None:
    fields = message.metadata
    if len(fields) > limits.MAX_METADATA_FIELDS:
        return None
    found: dict[str, Value | None] = {}
    try:
        for name, each in fields.items():
            value = value_from_proto(each, name)
            if isinstance(value, str):
                if len(value) > limits.MAX_KEYWORD_CHARACTERS:
                    return None
            elif isinstance(value, frozenset) and (
                len(value) > limits.MAX_TAGS
                or max(map(len, value), default=0) > limits.MAX_KEYWORD_CHARACTERS
            ):
                return None
            found[_field_name(name)] = value
    except InvalidArgumentError:
        return None  # its message has not the path that the long look gives it
    return found


@functools.lru_cache(maxsize=4096)
def _field_name(name: str) -> str:
    return settings_proto.field_name(name, "metadata")


def _plain_acl(principals: tuple[str, ...]) -> tuple[str, ...] | None:
    if len(principals) > limits.MAX_ACL_ENTRIES:
        return None
    for each in principals:
        if not 0 < len(each) <= limits.MAX_PRINCIPAL_CHARACTERS or "\0" in each:
            return None
    return tuple(dict.fromkeys(principals))


_known_acl = functools.lru_cache(maxsize=1024)(_plain_acl)


def _document(message: pb.Document, path: str) -> Document:
    title = checks.text(message.title, f"{path}.title", limits.MAX_TITLE_CHARACTERS)
    body = checks.text(message.text, f"{path}.text", limits.MAX_TEXT_CHARACTERS)
    expires = None
    if message.HasField("expires_at"):
        expires = timestamp_from_proto(message.expires_at, f"{path}.expires_at").micros
    if message.HasField("time_to_live"):
        at = f"{path}.time_to_live"
        if expires is not None:
            raise InvalidArgumentError.for_field(at, "give either expires_at or time_to_live")
        expires = time.time_ns() // 1000 + round(
            settings_proto.duration(message.time_to_live, at) * 1e6
        )
    chunks = tuple(
        _chunk(each, f"{path}.chunks[{i}]", len(body)) for i, each in enumerate(message.chunks)
    )
    checks.unique(
        [each.chunk_id for each in chunks], f"{path}.chunks[{{index}}].chunk_id", "chunk id"
    )
    return Document(
        document_id=checks.text(
            message.document_id,
            f"{path}.document_id",
            limits.MAX_DOCUMENT_ID_CHARACTERS,
            is_required=True,
        ),
        title=title,
        uri=checks.text(message.uri, f"{path}.uri", limits.MAX_URI_CHARACTERS),
        text=body,
        metadata=_metadata(message, f"{path}.metadata"),
        acl=_acl(message.acl, f"{path}.acl"),
        chunks=chunks,
        content_hash=checks.text(
            message.content_hash, f"{path}.content_hash", limits.MAX_CONTENT_HASH_CHARACTERS
        ),
        expires_micros=expires,
    )


def _chunk(message: pb.Chunk, path: str, text_length: int) -> Chunk:
    if not 0 <= message.start <= message.end <= text_length:
        raise InvalidArgumentError.for_field(
            f"{path}.end",
            f"the chunk [{message.start}, {message.end}) must lie in the document's text of "
            f"{text_length} characters",
        )
    if message.page < 0:
        raise InvalidArgumentError.for_field(f"{path}.page", "must not be negative")
    checks.size(len(message.heading_path), limits.MAX_HEADINGS, f"{path}.heading_path", "headings")
    codes_path = f"{path}.token_codes"
    checks.size(len(message.token_codes), limits.MAX_TOKEN_CODES_BYTES, codes_path, "bytes")
    return Chunk(
        chunk_id=checks.text(
            message.chunk_id,
            f"{path}.chunk_id",
            limits.MAX_CHUNK_ID_CHARACTERS,
            is_required=True,
        ),
        start=message.start,
        end=message.end,
        vector=vectors_proto.from_message(message.vector, f"{path}.vector")
        .astype("<f4", copy=False)
        .tobytes(),
        heading_path=tuple(
            checks.text(each, f"{path}.heading_path[{i}]", limits.MAX_HEADING_CHARACTERS)
            for i, each in enumerate(message.heading_path)
        ),
        page=message.page,
        token_codes=message.token_codes,
    )


def _metadata(message: pb.Document, path: str) -> dict[str, Value | None]:
    checks.size(len(message.metadata), limits.MAX_METADATA_FIELDS, path, "fields")
    found: dict[str, Value | None] = {}
    for name, each in message.metadata.items():
        at = f"{path}[{name!r}]"
        value = value_from_proto(each, at)
        if isinstance(value, str):
            checks.size(len(value), limits.MAX_KEYWORD_CHARACTERS, at, "characters")
        elif isinstance(value, frozenset):
            checks.size(len(value), limits.MAX_TAGS, at, "tags")
            longest = max(map(len, value), default=0)
            checks.size(longest, limits.MAX_KEYWORD_CHARACTERS, at, "characters in a tag")
        found[settings_proto.field_name(name, path)] = value
    return found


def _acl(principals: Sequence[str], path: str) -> tuple[str, ...]:
    checks.size(len(principals), limits.MAX_ACL_ENTRIES, path, "principals")
    return tuple(
        checks.text(each, f"{path}[{i}]", limits.MAX_PRINCIPAL_CHARACTERS, is_required=True)
        for i, each in enumerate(dict.fromkeys(principals))
    )
