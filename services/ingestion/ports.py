"""What ingestion needs of other services, in its own words. All calls raise `ServiceError`s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.rpc.scope import Scope


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """An embedding model."""

    name: str
    revision: str
    dimensions: int
    max_tokens: int
    """Tokens of one text at most, special tokens included."""
    gives_token_codes: bool = False
    """Whether texts can be embedded with token codes for late interaction."""


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """Vectors of some texts."""

    vectors: tuple[bytes, ...]
    """Little-endian float32, one per text; empty where the text was refused."""
    refusals: Mapping[int, str]
    """Why texts were refused, by their positions."""
    revision: str
    token_codes: tuple[bytes, ...] = ()
    """One per text; none where they were not asked for, or the model gives none."""


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as retrieval knows it."""

    name: str
    """Its own name, also when it was asked for by an alias."""
    dimensions: int
    embedding_model: str
    embedding_model_revision: str
    is_acl_required: bool = False


@dataclass(frozen=True, slots=True)
class IndexedChunk:
    """A chunk with its vector."""

    chunk_id: str
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int
    vector: bytes
    """Little-endian float32."""
    token_codes: bytes = b""
    """For late interaction; empty: none, what is found is then read when it is reranked."""


@dataclass(frozen=True, slots=True)
class IndexDocument:
    """One version of a document as it is written to retrieval, or read from there."""

    document_id: str
    title: str
    uri: str
    text: str
    content_hash: str
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    acl: tuple[str, ...] = ()
    chunks: tuple[IndexedChunk, ...] = ()
    version: int = 0
    """Assigned by retrieval; 0 in what is written."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """An acknowledged deletion."""

    count: int
    seq: int


class Embedder(Protocol):
    """The embedding service."""

    async def model(self, scope: Scope, name: str) -> ModelInfo:
        """Returns a loaded model; the default one for an empty name.

        Raises:
            NotFoundError: it is not loaded.
        """
        ...

    async def count_tokens(self, scope: Scope, model: str, texts: Sequence[str]) -> list[int]:
        """Returns the tokens of each text, special tokens included."""
        ...

    async def embed(
        self,
        scope: Scope,
        model: str,
        texts: Sequence[str],
        *,
        is_urgent: bool = False,
        with_codes: bool = False,
    ) -> EmbeddedTexts:
        """Returns the vectors of document texts; texts over the model's limit are refused.

        `is_urgent` goes before the bulk: for a few texts that someone waits for. `with_codes` asks
        for their token codes as well.
        """
        ...


class Index(Protocol):
    """The retrieval service."""

    async def find_collection(self, scope: Scope, name: str) -> CollectionInfo | None:
        """Returns a collection by name or alias, or None when there is none."""
        ...

    async def create_collection(self, scope: Scope, name: str, model: ModelInfo) -> CollectionInfo:
        """Creates a collection for the vectors of a model; an equal one may exist."""
        ...

    async def upsert(
        self,
        scope: Scope,
        collection: str,
        documents: Sequence[IndexDocument],
        expected_version: int,
        timeout_seconds: float,
    ) -> list[int]:
        """Writes documents, all or none, and returns their versions.

        Args:
            scope: Whose collection it is.
            collection: Its name.
            documents: The documents.
            expected_version: Version each must have now; -1: it must not exist; 0: any.
            timeout_seconds: Longest wait for the acknowledgement.

        Raises:
            AbortedError: one has another version.
        """
        ...

    async def get_documents(
        self,
        scope: Scope,
        collection: str,
        document_ids: Sequence[str],
        *,
        with_chunks: bool = False,
        with_codes: bool = False,
    ) -> list[IndexDocument]:
        """Returns those of the documents that exist and the scope's principals may read.

        Text, chunks and vectors come only `with_chunks`, the chunks' token codes only `with_codes`.
        """
        ...

    async def delete(self, scope: Scope, collection: str, document_ids: Sequence[str]) -> Deleted:
        """Deletes documents; a collection that does not exist holds none."""
        ...

    async def delete_matching(self, scope: Scope, collection: str, document_filter: Any) -> Deleted:
        """Deletes all documents that match a filter (`services.filters`)."""
        ...

    async def matching_ids(self, scope: Scope, collection: str, document_filter: Any) -> list[str]:
        """Returns the ids of the documents that match a filter and the principals may read."""
        ...
