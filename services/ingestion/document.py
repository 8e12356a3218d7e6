"""A submitted document as the service knows it, before anything of it is parsed."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.filters.values import FieldType, Timestamp, Value, type_of
from services.ingestion.spool import SpoolFile


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


PIECE_BYTES = 1 << 20
"""Bytes of one stored piece."""

SPOOL_BYTES = 4 << 20
"""From so many bytes on a document that is being received lies on disk."""

_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a document in pieces, so that a large one is never joined in memory."""

    pieces: Iterable[bytes]
    """In order; can be gone through again and again, and may be read from disk each time."""
    digest: str
    """SHA-256 of the bytes, in hex."""
    size_bytes: int
    head: bytes = b""
    """The first bytes, enough to recognise a type by."""


class ContentCollector:
    """Gathers the bytes of a document as they come and cuts them into pieces.

    Args:
        spool_folder: Where a large document lies meanwhile; None: all of it stays in memory.
    """

    def __init__(self, spool_folder: Path | None = None) -> None:
        self._spool_folder = spool_folder
        self._spool: SpoolFile | None = None
        self._pieces: list[bytes] = []
        self._open = bytearray()
        self._digest = hashlib.sha256()
        self._head = b""
        self.size_bytes = 0

    def add(self, data: bytes) -> None:
        """Takes the next bytes; blocks for the disk when the document is large.

        Raises:
            ResourceExhaustedError: the disk is full.
        """
        self._digest.update(data)
        self.size_bytes += len(data)
        if len(self._head) < _HEAD_BYTES:
            self._head += data[: _HEAD_BYTES - len(self._head)]
        if self._spool is not None:
            self._spool.append(data)
            return
        if not self._open and len(data) == PIECE_BYTES:
            self._pieces.append(data)
        else:
            self._open.extend(data)
            while len(self._open) >= PIECE_BYTES:
                self._pieces.append(bytes(self._open[:PIECE_BYTES]))
                del self._open[:PIECE_BYTES]
        if self._spool_folder is not None and self.size_bytes > SPOOL_BYTES:
            self._move_to(SpoolFile(self._spool_folder, PIECE_BYTES))

    def _move_to(self, spool: SpoolFile) -> None:
        for piece in (*self._pieces, self._open):
            spool.append(piece)
        self._pieces.clear()
        self._open.clear()
        self._spool = spool

    def finish(self) -> Content:
        """Returns all that was added."""
        if self._open:
            self._pieces.append(bytes(self._open))
            self._open.clear()
        pieces = tuple(self._pieces) if self._spool is None else self._spool
        return Content(pieces, self._digest.hexdigest(), self.size_bytes, self._head)


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
