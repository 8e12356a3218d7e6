"""Bodies of responses of OpenAI's API, for the description. What is ours is said to be."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from services.gateway.edge.views import CitationView


class OpenAiView(BaseModel):
    """A response body."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)


class ModelView(OpenAiView):
    """A model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsView(OpenAiView):
    """Models."""

    object: Literal["list"]
    data: list[ModelView]


class EmbeddingView(OpenAiView):
    """A vector: numbers, or their bytes in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsView(OpenAiView):
    """Vectors."""

    object: Literal["list"]
    data: list[EmbeddingView]
    model: str
    usage: dict[str, Any]


class PlaceView(OpenAiView):
    """Where a passage is."""

    chunk_id: str
    document_id: str
    start: int
    end: int
    score: float


class ChatMessageView(OpenAiView):
    """The answer; the lower fields are ours, and there for answers from documents only."""

    role: Literal["assistant"]
    content: str
    refusal: None
    citations: list[CitationView] = []
    passages: list[PlaceView] = []
    refused: bool = False
    grounded: float = 0.0
    degraded: list[str] = []
    cached: str = ""


class ChatChoiceView(OpenAiView):
    """The one choice."""

    index: int
    message: ChatMessageView
    logprobs: None
    finish_reason: Literal["stop", "length"]


class ChatCompletionView(OpenAiView):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoiceView]
    usage: dict[str, Any]
    system_fingerprint: str


class ResponseView(OpenAiView):
    """A response: a file_search_call and a message for answers from documents."""

    id: str
    object: Literal["response"]
    created_at: int
    status: Literal["completed", "incomplete", "failed", "in_progress"]
    model: str
    output: list[dict[str, Any]]
    usage: dict[str, Any] | None


class FileView(OpenAiView):
    """A kept file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["processed"]


class FilesView(OpenAiView):
    """A page of files."""

    object: Literal["list"]
    data: list[FileView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedObjectView(OpenAiView):
    """What was deleted."""

    id: str
    object: str
    deleted: bool


class FileCountsView(OpenAiView):
    """How many files are how far."""

    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStoreView(OpenAiView):
    """A vector store: a collection."""

    id: str
    object: Literal["vector_store"]
    created_at: int
    name: str
    status: Literal["completed", "in_progress"]
    file_counts: FileCountsView
    usage_bytes: int
    metadata: dict[str, str]
    last_active_at: int | None


class VectorStoresView(OpenAiView):
    """A page of vector stores."""

    object: Literal["list"]
    data: list[VectorStoreView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VectorStoreFileView(OpenAiView):
    """A file of a vector store: a document."""

    id: str
    object: Literal["vector_store.file"]
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    last_error: dict[str, str] | None
    usage_bytes: int
    attributes: dict[str, str | float | bool]


class VectorStoreFilesView(OpenAiView):
    """A page of files."""

    object: Literal["list"]
    data: list[VectorStoreFileView]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileTextView(OpenAiView):
    """The text of a file as it was taken in."""

    object: Literal["vector_store.file_content.page"]
    data: list[dict[str, str]]
    has_more: bool
    next_page: None


class FileBatchView(OpenAiView):
    """Files that were added together."""

    id: str
    object: Literal["vector_store.files_batch"]
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    file_counts: FileCountsView


class SearchHitView(OpenAiView):
    """A passage."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[dict[str, str]]


class SearchPageView(OpenAiView):
    """Passages, best first."""

    object: Literal["vector_store.search_results.page"]
    search_query: list[str]
    data: list[SearchHitView]
    has_more: bool
    next_page: None
