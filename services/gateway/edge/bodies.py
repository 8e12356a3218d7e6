"""Bodies of requests, as OpenAPI describes them. Types only: meaning is checked in `requests`."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.filters.values import INT64_MAX, INT64_MIN, FieldType, Value, parse_timestamp
from services.gateway.library import CollectionChange, IndexKind, NewCollection
from services.gateway.requests import (
    HISTORY_WEIGHT,
    Mode,
    NewDocument,
    Question,
    RecommendAsk,
    SearchAsk,
    Speaker,
    Turn,
    Verification,
)
from services.gateway.store.feedback import Feedback
from services.rpc.errors import InvalidArgumentError, Reason

IndexType = Literal["auto", "flat", "hnsw", "hnsw_sq8", "ivf_flat", "ivf_sq8", "ivf_pq", "rabitq"]
"""Kinds of vector indexes."""


class Body(BaseModel):
    """A request body: unknown fields and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


TimeoutMs = Annotated[int | None, Field(ge=1, le=3_600_000)]


class TurnBody(Body):
    """A former turn of the conversation."""

    speaker: Literal["user", "assistant"]
    text: str


class QueryBody(Body):
    """A question."""

    query: str
    """The question."""
    collection: str = ""
    """Collection or alias; empty: "default"."""
    history: list[TurnBody] = Field(default_factory=list, max_length=50)
    """Former turns, oldest first."""
    filter: str = ""
    """Condition on metadata."""
    top_k: int = Field(default=0, ge=0, le=50)
    """Passages to answer from; 0: 5."""
    mode: Literal["hybrid", "dense", "keyword"] = "hybrid"
    rerank: bool = True
    model: str = ""
    """Model to answer with; empty: the default chain."""
    max_tokens: int = Field(default=0, ge=0, le=32_768)
    """Tokens to write at most; 0: the engine's default."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    verification: Literal["drop", "annotate", "refuse"] = "drop"
    """What becomes of markers whose passage does not support the sentence."""
    explain: bool = False
    bypass_cache: bool = False
    stream: bool = False
    """Whether the answer comes as server-sent events."""
    timeout_ms: TimeoutMs = None
    """Lowers the deadline."""

    def question(self) -> Question:
        """Returns the checked question.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        return Question.checked(
            self.query,
            collection=self.collection,
            history=[Turn(Speaker(turn.speaker), turn.text) for turn in self.history],
            filter_text=self.filter,
            top_k=self.top_k,
            mode=Mode(self.mode),
            rerank=self.rerank,
            model=self.model,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            verification=Verification(self.verification),
            explain=self.explain,
            bypass_cache=self.bypass_cache,
        )


class SearchBody(Body):
    """A search."""

    query: str
    collection: str = ""
    history: list[TurnBody] = Field(default_factory=list, max_length=50)
    """Former turns, oldest first: what the query leaves unsaid is taken from the turn before."""
    filter: str = ""
    top_k: int = Field(default=0, ge=0, le=1_000)
    """Passages at most; 0: 10."""
    mode: Literal["hybrid", "dense", "keyword"] = "hybrid"
    rerank: bool = False
    max_per_document: int = Field(default=0, ge=0, le=1_000)
    """Passages of one document at most; 0: no limit."""
    explain: bool = False
    timeout_ms: TimeoutMs = None

    def ask(self) -> SearchAsk:
        """Returns the checked search.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        return SearchAsk.checked(
            self.query,
            collection=self.collection,
            history=[Turn(Speaker(turn.speaker), turn.text) for turn in self.history],
            filter_text=self.filter,
            top_k=self.top_k,
            mode=Mode(self.mode),
            rerank=self.rerank,
            max_per_document=self.max_per_document,
            explain=self.explain,
        )


class RecommendBody(Body):
    """Documents to be like and unlike, and what a person liked and disliked before."""

    positive_ids: list[str] = Field(default_factory=list)
    """May be empty where liked_ids is not."""
    collection: str = ""
    negative_ids: list[str] = Field(default_factory=list)
    filter: str = ""
    top_k: int = Field(default=0, ge=0, le=1_000)
    """Documents at most; 0: 10."""
    liked_ids: list[str] = Field(default_factory=list)
    """History: candidates are put in a new order by their likeness to these."""
    disliked_ids: list[str] = Field(default_factory=list)
    history_weight: float = Field(default=HISTORY_WEIGHT, ge=0, le=1)
    """Share of the history in the new order."""
    diversity: float = Field(default=0.0, ge=0, le=1)
    """Variety against relevance; 0: relevance only."""
    candidates: int = Field(default=0, ge=0, le=1_000)
    """Candidates that are put in a new order; 0: 50, or top_k where that is more."""
    timeout_ms: TimeoutMs = None

    def ask(self) -> RecommendAsk:
        """Returns the checked request.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        return RecommendAsk.checked(
            collection=self.collection,
            positive_ids=self.positive_ids,
            negative_ids=self.negative_ids,
            filter_text=self.filter,
            top_k=self.top_k,
            liked_ids=self.liked_ids,
            disliked_ids=self.disliked_ids,
            history_weight=self.history_weight,
            diversity=self.diversity,
            candidates=self.candidates,
        )


class TimestampValue(Body):
    """A point in time, RFC 3339."""

    timestamp: str


MetadataValue = str | int | float | bool | list[str] | TimestampValue | None


class DocumentBody(Body):
    """A document to take in: `text`, or `content_base64` for bytes."""

    document_id: str = ""
    """Identifier in the collection; empty: derived from uri, or from the content."""
    uri: str = ""
    title: str = ""
    content_type: str = ""
    """MIME type; empty: recognised."""
    file_name: str = ""
    metadata: dict[str, MetadataValue] = Field(default_factory=dict, max_length=256)
    acl: list[str] = Field(default_factory=list, max_length=256)
    """Principals who may read it; empty: as the collection's policy says."""
    idempotency_key: str = ""
    text: str | None = None
    content_base64: str | None = None

    def document(self, path: str) -> NewDocument:
        """Returns the document.

        Raises:
            InvalidArgumentError: content or metadata cannot be read.
        """
        has_name = self.content_type or self.file_name or self.uri
        return NewDocument(
            content=self._content(path),
            document_id=self.document_id,
            uri=self.uri,
            title=self.title,
            content_type=self.content_type or ("" if has_name else self._plain()),
            file_name=self.file_name,
            metadata=read_metadata(self.metadata, f"{path}.metadata"),
            acl=tuple(self.acl),
            idempotency_key=self.idempotency_key,
        )

    def _plain(self) -> str:
        return "text/plain" if self.text is not None else ""

    def _content(self, path: str) -> bytes:
        if (self.text is None) == (self.content_base64 is None):
            raise InvalidArgumentError.for_field(
                path, "must have either text or content_base64", Reason.EMPTY_TEXT
            )
        if self.text is not None:
            return self.text.encode()
        try:
            return base64.b64decode(self.content_base64 or "", validate=True)
        except (binascii.Error, ValueError):
            raise InvalidArgumentError.for_field(
                f"{path}.content_base64", "is not base64"
            ) from None


class SubmitDocumentsBody(Body):
    """Documents to take in."""

    documents: list[DocumentBody] = Field(min_length=1, max_length=256)
    collection: str = ""


class CollectionBody(Body):
    """A collection to create."""

    name: str
    embedding_model: str = ""
    """Empty: the default one."""
    fields: dict[str, Literal["keyword", "integer", "float", "bool", "timestamp", "tags"]] = Field(
        default_factory=dict
    )
    """Types of metadata fields; others are inferred."""
    is_acl_required: bool = False
    """Whether documents without an access list are refused."""
    language: str = ""
    """Snowball language of the keyword index; empty: "english"."""
    description: str = ""
    index_type: IndexType = "auto"
    """Kind of the vector index; "auto": chosen by size."""

    def collection(self) -> NewCollection:
        """Returns the collection."""
        return NewCollection(
            name=self.name,
            embedding_model=self.embedding_model,
            fields={name: FieldType[kind.upper()] for name, kind in self.fields.items()},
            is_acl_required=self.is_acl_required,
            language=self.language,
            description=self.description,
            index_kind=IndexKind.of(self.index_type),
        )


class CollectionChangeBody(Body):
    """What to change of a collection; what is absent stays."""

    index_type: IndexType | None = None
    """Kind of the vector index from now on; what is built keeps its own until it is merged or
    optimized."""
    description: str | None = None

    def change(self) -> CollectionChange:
        """Returns the change."""
        kind = None if self.index_type is None else IndexKind.of(self.index_type)
        return CollectionChange(kind, self.description)


class OptimizeBody(Body):
    """How an index is built anew."""

    index_type: IndexType = "auto"
    """Kind from now on; "auto": as it is set."""

    @property
    def kind(self) -> IndexKind:
        """The kind."""
        return IndexKind.of(self.index_type)


class FeedbackBody(Body):
    """What a person thinks of an answer."""

    trace_id: str
    rating: Literal["up", "down"]
    comment: str = ""
    markers: list[int] = Field(default_factory=list, max_length=100)

    def feedback(self) -> Feedback:
        """Returns the checked feedback.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        return Feedback.checked(
            trace_id=self.trace_id,
            rating=self.rating,
            comment=self.comment,
            markers=self.markers,
        )


def read_metadata(given: dict[str, MetadataValue], path: str) -> dict[str, Value | None]:
    """Returns typed metadata.

    Raises:
        InvalidArgumentError: a value cannot be stored.
    """
    values: dict[str, Value | None] = {}
    for name, value in given.items():
        if isinstance(value, TimestampValue):
            moment = parse_timestamp(value.timestamp)
            if moment is None:
                raise InvalidArgumentError.for_field(
                    f"{path}.{name}", "must be a date or time such as 2026-01-01T00:00:00Z"
                )
            values[name] = moment
        elif isinstance(value, list):
            values[name] = frozenset(value)
        elif isinstance(value, int) and not INT64_MIN <= value <= INT64_MAX:
            raise InvalidArgumentError.for_field(f"{path}.{name}", "does not fit into 64 bits")
        else:
            values[name] = value
    return values
