"""A submitted document as the service knows it, before anything of it is parsed."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.filters.values import FieldType, Timestamp, Value, type_of


class Priority(enum.IntEnum):
    """Order among the jobs of a tenant; higher goes first."""

    LOW = 1
    NORMAL = 2
    HIGH = 3


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """Names one document."""

    tenant: str
    collection: str
    document_id: str


@dataclass(frozen=True, slots=True)
class DocumentHeader:
    """What a submitter says about a document besides its bytes."""

    document_id: str = ""
    """Identifier in the collection; empty: derived."""
    uri: str = ""
    title: str = ""
    content_type: str = ""
    """MIME type; empty: recognised from name and content."""
    file_name: str = ""
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    idempotency_key: str = ""
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a document in pieces, so that a large one is never joined in memory."""

    pieces: tuple[bytes, ...]
    digest: str
    """SHA-256 of the bytes, in hex."""
    size_bytes: int

    @property
    def head(self) -> bytes:
        """The first bytes, enough to recognise a type by."""
        return self.pieces[0][:4096] if self.pieces else b""


PIECE_BYTES = 1 << 20
"""Bytes of one stored piece."""


class ContentCollector:
    """Gathers the bytes of a document as they come and cuts them into pieces."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._open = bytearray()
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def add(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._digest.update(data)
        self.size_bytes += len(data)
        if not self._open and len(data) <= PIECE_BYTES:
            self._pieces.append(data) if len(data) == PIECE_BYTES else self._open.extend(data)
            return
        self._open.extend(data)
        while len(self._open) >= PIECE_BYTES:
            self._pieces.append(bytes(self._open[:PIECE_BYTES]))
            del self._open[:PIECE_BYTES]

    def finish(self) -> Content:
        """Returns all that was added."""
        if self._open:
            self._pieces.append(bytes(self._open))
            self._open.clear()
        return Content(tuple(self._pieces), self._digest.hexdigest(), self.size_bytes)


def content_of(data: bytes) -> Content:
    """Returns the content that consists of `data`."""
    collector = ContentCollector()
    collector.add(data)
    return collector.finish()


def fingerprint(key: DocumentKey, header: DocumentHeader, content: Content) -> str:
    """Returns a hash over all that shapes the indexed document: equal means nothing to do."""
    parts = {
        "collection": key.collection,
        "document_id": key.document_id,
        "uri": header.uri,
        "title": header.title,
        "content_type": header.content_type,
        "file_name": header.file_name,
        "metadata": json.loads(metadata_to_json(header.metadata)),
        "acl": sorted(header.acl),
        "content": content.digest,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def metadata_to_json(metadata: Mapping[str, Value | None]) -> str:
    """Writes typed metadata as JSON: each value with its type's name."""
    return json.dumps({name: _tagged(value) for name, value in sorted(metadata.items())})


def metadata_from_json(text: str) -> dict[str, Value | None]:
    """Reads what `metadata_to_json` wrote."""
    return {name: _untagged(kind, value) for name, (kind, value) in json.loads(text).items()}


def _tagged(value: Value | None) -> tuple[str, object]:
    if value is None:
        return "NULL", None
    if isinstance(value, Timestamp):
        return FieldType.TIMESTAMP.name, value.micros
    if isinstance(value, frozenset):
        return FieldType.TAGS.name, sorted(value)
    return type_of(value).name, value


def _untagged(kind: str, value: Any) -> Value | None:
    if kind == FieldType.TIMESTAMP.name:
        return Timestamp(value)
    if kind == FieldType.TAGS.name:
        return frozenset(value)
    return value
