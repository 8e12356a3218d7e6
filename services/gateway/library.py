"""Documents and collections as the gateway shows them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from services.gateway.texts import check_collection, check_text
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from services.filters.values import FieldType
    from services.gateway.passages import Metadata

MAX_FIELDS = 256
STATES = ("queued", "running", "ready", "dead_letter", "cancelled")


@dataclass(frozen=True, slots=True)
class Document:
    """A document and how far it is; fields as in `cairn.gateway.v1.Document`."""

    document_id: str
    collection: str
    job_id: str = ""
    state: str = "ready"
    stage: str = "indexed"
    title: str = ""
    uri: str = ""
    content_type: str = ""
    size_bytes: int = 0
    chunk_count: int = 0
    attempt_count: int = 0
    failure_reason: str = ""
    failure_message: str = ""
    failure_stage: str = ""
    """Stage that was not reached; empty: no failure."""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    version: int = 0
    """Version in the index; 0: none yet."""
    text: str = ""
    metadata: Metadata = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """What retrieval has of a document that the caller may read."""

    document_id: str
    title: str
    uri: str
    text: str
    metadata: Metadata
    version: int
    chunk_count: int
    committed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a document that is searched by itself."""

    chunk_id: str
    ordinal: int
    """Place among the document's chunks, from 0."""
    start: int
    """First character in the document's text, in Unicode code points."""
    end: int
    text: str
    """Exactly the document's text[start:end]."""
    heading_path: tuple[str, ...]
    page: int
    """Page of the source it starts on, from 1; 0: none."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one submitted document."""

    document: Document | None
    """None when it was refused."""
    is_duplicate: bool = False
    is_unchanged: bool = False
    error_reason: str = ""
    error_message: str = ""


class IndexKind(enum.IntEnum):
    """Kind of a collection's vector index, numbered as in the contracts."""

    AUTO = 0
    """Chosen by size."""
    FLAT = 1
    HNSW = 2
    HNSW_SQ8 = 3
    IVF_FLAT = 4
    IVF_SQ8 = 5
    IVF_PQ = 6
    RABITQ = 7

    @property
    def label(self) -> str:
        """Its name in requests and answers."""
        return self.name.lower()

    @classmethod
    def of(cls, label: str) -> IndexKind:
        """Returns the kind of that name.

        Raises:
            KeyError: there is none.
        """
        return cls[label.upper()]


@dataclass(frozen=True, slots=True)
class CollectionIndex:
    """Figures of a collection's index; fields as in `cairn.gateway.v1.CollectionIndex`."""

    kind: IndexKind
    """In use."""
    bytes_per_vector: float
    """Bytes in memory, codes and graph included; 0: it is not in memory."""
    recall_loss: float | None
    """1 - recall@10 as measured when it was built; None: not measured."""
    view_bytes: int
    disk_bytes: int
    segment_count: int


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection; fields as in `cairn.gateway.v1.Collection`."""

    name: str
    embedding_model: str
    dimensions: int
    fields: Mapping[str, FieldType]
    is_acl_required: bool
    language: str
    description: str
    created_at: datetime | None
    document_count: int
    chunk_count: int
    index_description: str
    index_kind: IndexKind = IndexKind.AUTO
    """As asked for."""
    index: CollectionIndex | None = None


@dataclass(frozen=True, slots=True)
class CollectionChange:
    """What changes of a collection; None stays as it is."""

    index_kind: IndexKind | None = None
    description: str | None = None

    def check(self) -> None:
        """Passes a change that retrieval may judge.

        Raises:
            InvalidArgumentError: it changes nothing, or a field is wrong.
        """
        if self.index_kind is None and self.description is None:
            raise InvalidArgumentError.for_field("index_type", "say what to change")
        check_text("description", self.description or "", limit=2_000)


@dataclass(frozen=True, slots=True)
class OptimizeProgress:
    """How far an index that is built anew has come."""

    fraction: float
    """Part that is done, 0..1."""
    message: str
    collection: Collection | None = None
    """With the last step: what came of it."""


@dataclass(frozen=True, slots=True)
class NewCollection:
    """A collection to create."""

    name: str
    embedding_model: str = ""
    """Empty: the default one."""
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    is_acl_required: bool = False
    language: str = ""
    description: str = ""
    index_kind: IndexKind = IndexKind.AUTO

    def check(self) -> None:
        """Passes a collection that retrieval may judge.

        Raises:
            InvalidArgumentError: a field is wrong; the violation names it.
        """
        if not self.name:
            raise InvalidArgumentError.for_field("name", "must not be empty")
        check_collection(self.name, "name")
        check_text("embedding_model", self.embedding_model, limit=128)
        check_text("language", self.language, limit=64)
        check_text("description", self.description, limit=2_000)
        if len(self.fields) > MAX_FIELDS:
            raise InvalidArgumentError.for_field("fields", f"declare at most {MAX_FIELDS} fields")
        for name in self.fields:
            check_text("fields", name, limit=128, required=True)
