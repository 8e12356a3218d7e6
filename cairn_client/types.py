"""What goes to the gateway and comes back. Fields that are not known yet are passed over."""

from __future__ import annotations

import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Generic, Literal, TypeVar

T = TypeVar("T")

MetadataValue = str | int | float | bool | list[str] | None
Mode = Literal["hybrid", "dense", "keyword"]
Verification = Literal["drop", "annotate", "refuse"]


@dataclass(frozen=True, slots=True)
class Turn:
    """A former turn of a conversation."""

    speaker: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of a document; `text` is the document's text[start:end]."""

    chunk_id: str = ""
    document_id: str = ""
    document_version: int = 0
    collection: str = ""
    ordinal: int = 0
    start: int = 0
    end: int = 0
    text: str = ""
    title: str = ""
    uri: str = ""
    heading_path: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    page: int = 0


@dataclass(frozen=True, slots=True)
class Scores:
    """How a passage came to its place; None where it was not found that way."""

    dense: float | None = None
    keyword: float | None = None
    fused: float | None = None
    rerank: float | None = None
    final: float = 0.0


@dataclass(frozen=True, slots=True)
class ScoredPassage:
    """A passage and its scores."""

    passage: Passage = field(default_factory=Passage)
    scores: Scores = field(default_factory=Scores)


@dataclass(frozen=True, slots=True)
class Citation:
    """A place that an answer rests on; `text` is the document's text[start:end]."""

    marker: int = 0
    document_id: str = ""
    document_version: int = 0
    chunk_id: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    uri: str = ""
    title: str = ""
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What was consumed."""

    embedding_tokens: int = 0
    rerank_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    vectors_scanned: int = 0
    embedding_cache_hits: int = 0


@dataclass(frozen=True, slots=True)
class Cost:
    """A price."""

    amount: float = 0.0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage did, when it was asked to explain itself."""

    stage: str = ""
    candidates: tuple[ScoredPassage, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How well what it cites carries a sentence, `answer[start:end]`."""

    start: int = 0
    end: int = 0
    support: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with its citations. The last event of a stream, too."""

    answer: str = ""
    citations: tuple[Citation, ...] = ()
    passages: tuple[ScoredPassage, ...] = ()
    refused: bool = False
    grounded: float = 0.0
    degraded: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    cost: Cost = field(default_factory=Cost)
    trace_id: str = ""
    cached: str = ""
    """Where it came from: "" (computed), "exact" or "semantic"."""
    cached_age_seconds: float = 0.0
    cached_similarity: float = 0.0
    engine: str = ""
    model: str = ""
    explanation: tuple[Stage, ...] = ()
    finish_reason: str = ""
    support: float | None = None
    """How well the passages support the extractive engine's answer, 0 to 1; None: another engine
    answered."""
    sentences: tuple[SentenceSupport, ...] = ()
    """Empty when the answer is refused."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first."""

    passages: tuple[ScoredPassage, ...] = ()
    degraded: tuple[str, ...] = ()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    trace_id: str = ""
    explanation: tuple[Stage, ...] = ()
    cached: str = ""
    cached_age_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """Event of a stream: what the answer will be written from."""

    passages: tuple[ScoredPassage, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """Event of a stream: more text."""

    text: str = ""


AnswerEvent = PassagesFound | AnswerDelta | Answer


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document to take in: `text`, or `content` for bytes."""

    text: str | None = None
    content: bytes | None = None
    document_id: str = ""
    title: str = ""
    uri: str = ""
    content_type: str = ""
    file_name: str = ""
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    """Principals who may read it; empty: as the collection's policy says."""
    idempotency_key: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A document and how far it is."""

    document_id: str = ""
    collection: str = ""
    job_id: str = ""
    state: str = ""
    """ "queued", "running", "ready", "dead_letter" or "cancelled"."""
    stage: str = ""
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
    created_at: str | None = None
    updated_at: str | None = None
    version: int = 0
    text: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether its state will not change by itself."""
        return self.state in {"ready", "dead_letter", "cancelled"}


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one document; `document` is None when it was refused."""

    document: Document | None = None
    is_duplicate: bool = False
    is_unchanged: bool = False
    error_reason: str = ""
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection with its figures."""

    name: str = ""
    embedding_model: str = ""
    dimensions: int = 0
    fields: Mapping[str, str] = field(default_factory=dict)
    is_acl_required: bool = False
    language: str = ""
    description: str = ""
    created_at: str | None = None
    document_count: int = 0
    chunk_count: int = 0
    index_description: str = ""
    index_type: str = "auto"
    """Kind asked for: "auto", "flat", "hnsw", "hnsw_sq8", "ivf_flat", "ivf_sq8", "ivf_pq" or
    "rabitq"."""
    index: Mapping[str, Any] | None = None
    """The index in use: its kind, bytes per vector, measured loss of recall, sizes."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Entries of a list and the token of the next page; empty: this was the last."""

    entries: tuple[T, ...]
    next_page_token: str = ""


def read(kind: type[T], value: Any) -> T:
    """Returns a value of this module from its JSON; what is missing has its default."""
    given: dict[str, Any] = {}
    hints = _hints(kind)
    for each in fields(kind):  # pyright: ignore[reportArgumentType] - dataclasses only
        if each.name in value:
            given[each.name] = _convert(hints[each.name], value[each.name])
    return kind(**given)


@functools.cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_convert(inner, each) for each in value)
    kinds = [hint, *typing.get_args(hint)]
    found = next((kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)), None)
    return value if found is None else read(found, value)
