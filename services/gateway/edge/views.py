"""Bodies of responses, for OpenAPI: `render` writes what is described here (a test compares)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class View(BaseModel):
    """A response body; every field is always there."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ViolationView(View):
    """A field that is wrong."""

    field: str
    description: str


class ProblemView(View):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    reason: str
    """A `cairn.types.v1.ErrorReason` without its prefix."""
    violations: list[ViolationView]
    trace_id: str
    retry_after_seconds: float | None


class OpenAiErrorDetail(View):
    """What went wrong, in OpenAI's words."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAiErrorView(View):
    """An error as OpenAI's clients read it."""

    error: OpenAiErrorDetail


class UsageView(View):
    """What was consumed."""

    embedding_tokens: int
    rerank_tokens: int
    prompt_tokens: int
    cached_prompt_tokens: int
    completion_tokens: int
    vectors_scanned: int
    embedding_cache_hits: int


class CostView(View):
    """A price."""

    amount: float
    currency: str


class PassageView(View):
    """A chunk of a document; `text` is the document's text[start:end]."""

    chunk_id: str
    document_id: str
    document_version: int
    collection: str
    ordinal: int
    start: int
    end: int
    text: str
    title: str
    uri: str
    heading_path: list[str]
    metadata: dict[str, Any]
    page: int


class ScoresView(View):
    """How a passage came to its place; null where it was not found that way."""

    dense: float | None
    keyword: float | None
    fused: float | None
    rerank: float | None
    final: float


class ScoredPassageView(View):
    """A passage and its scores."""

    passage: PassageView
    scores: ScoresView


class CitationView(View):
    """A place in a document; `text` is the document's text[start:end]."""

    marker: int
    document_id: str
    document_version: int
    chunk_id: str
    start: int
    end: int
    text: str
    uri: str
    title: str
    support: float


class SentenceView(View):
    """A sentence: answer[start:end], and how well what it rests on carries it."""

    start: int
    end: int
    support: float


class StageView(View):
    """What a stage did."""

    stage: str
    candidates: list[ScoredPassageView]
    dropped: dict[str, str]
    notes: list[str]


class QueryView(View):
    """An answer."""

    answer: str
    citations: list[CitationView]
    passages: list[ScoredPassageView]
    refused: bool
    grounded: float
    degraded: list[str]
    timings_ms: dict[str, float]
    usage: UsageView
    cost: CostView
    trace_id: str
    cached: Literal["", "exact", "semantic"]
    cached_age_seconds: float
    cached_similarity: float
    engine: str
    model: str
    explanation: list[StageView]
    finish_reason: str
    support: float | None
    sentences: list[SentenceView]


class SearchView(View):
    """Passages, best first."""

    passages: list[ScoredPassageView]
    degraded: list[str]
    timings_ms: dict[str, float]
    usage: UsageView
    trace_id: str
    explanation: list[StageView]
    cached: Literal["", "exact"]
    cached_age_seconds: float


class RecommendView(View):
    """Best passage of each document."""

    passages: list[ScoredPassageView]
    degraded: list[str]
    timings_ms: dict[str, float]
    trace_id: str
    cached: Literal["", "exact"]
    cached_age_seconds: float


class DocumentView(View):
    """A document and how far it is."""

    document_id: str
    collection: str
    job_id: str
    state: str
    stage: str
    title: str
    uri: str
    content_type: str
    size_bytes: int
    chunk_count: int
    attempt_count: int
    failure_reason: str
    failure_message: str
    failure_stage: str
    created_at: str | None
    updated_at: str | None
    version: int
    text: str
    metadata: dict[str, Any]
    warnings: list[str]


class OneDocumentView(View):
    """A document."""

    document: DocumentView


class DocumentsView(View):
    """A page of documents."""

    documents: list[DocumentView]
    next_page_token: str


class ChunkView(View):
    """A part of a document; `text` is the document's text[start:end]."""

    chunk_id: str
    ordinal: int
    start: int
    end: int
    text: str
    heading_path: list[str]
    page: int


class ChunksView(View):
    """A page of a document's chunks, in their order."""

    chunks: list[ChunkView]
    next_page_token: str


class SubmissionView(View):
    """What became of one document; `document` is null when it was refused."""

    document: DocumentView | None
    is_duplicate: bool
    is_unchanged: bool
    error_reason: str
    error_message: str


class SubmissionsView(View):
    """One result per document, in order."""

    submissions: list[SubmissionView]


class CollectionIndexView(View):
    """The index in use."""

    index_type: str
    bytes_per_vector: float
    """Bytes in memory, codes and graph included; 0: it is not in memory."""
    recall_loss: float | None
    """1 - recall@10 against the exact answer, measured when it was built; null: not measured, as
    exact search loses nothing."""
    view_bytes: int
    """Bytes in memory of all that is searched."""
    disk_bytes: int
    segment_count: int


class CollectionView(View):
    """A collection."""

    name: str
    embedding_model: str
    dimensions: int
    fields: dict[str, str]
    is_acl_required: bool
    language: str
    description: str
    created_at: str | None
    document_count: int
    chunk_count: int
    index_description: str
    index_type: str
    """As asked for; "auto": chosen by size."""
    index: CollectionIndexView | None
    """Null right after the collection was created."""


class OneCollectionView(View):
    """A collection."""

    collection: CollectionView


class CollectionsView(View):
    """A page of collections."""

    collections: list[CollectionView]
    next_page_token: str


class FeedbackView(View):
    """The stored feedback."""

    feedback_id: str


class HealthView(View):
    """The process is alive."""

    status: Literal["ok"]


class ReadyView(View):
    """Whether requests can be served, and what is not there."""

    status: Literal["ready", "degraded", "not_ready", "draining"]
    not_ready: list[str]
    """Names of what does not answer."""
    components: dict[str, Literal["ready", "not_ready"]]
