"""What the pipeline needs from other services, in the pipeline's own words."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.gateway.usage import Usage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.filters.ast import Filter
    from services.gateway.library import Chunk
    from services.gateway.passages import ScoredPassage
    from services.gateway.requests import Mode, RecommendAsk, Turn
    from services.rpc.scope import Scope


@dataclass(frozen=True, slots=True)
class Vector:
    """A vector as the embedding service sent it; the gateway never looks inside."""

    data: bytes
    element_type: int
    dimensions: int
    scale: float = 0.0


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors of texts, in order."""

    vectors: tuple[Vector, ...]
    model: str
    usage: Usage


class Embedder(Protocol):
    """Turns queries into vectors."""

    async def embed_queries(self, scope: Scope, texts: Sequence[str], model: str) -> Embedded:
        """Returns one vector per text; an empty model means the default one."""
        ...


@dataclass(frozen=True, slots=True)
class Reranked:
    """Scores of passages against a query, in order; they compare within one call only."""

    scores: tuple[float, ...]
    usage: Usage
    read_count: int = 0
    """Passages that were read for it; the others were scored by their token codes."""
    unusable_count: int = 0
    """Token codes that were of no use: of another model or revision, or damaged."""


class Reranker(Protocol):
    """Scores passages against a query."""

    async def rerank(
        self,
        scope: Scope,
        query: str,
        passages: Sequence[str],
        *,
        codes: Sequence[bytes] = (),
        model: str = "",
        cross_encoder: str = "",
    ) -> Reranked:
        """Returns one score per passage, higher is more relevant.

        Args:
            scope: On whose behalf.
            query: What to score against.
            passages: Their texts, in the form they were embedded in.
            codes: Their stored token codes, one each, empty for none; or none at all.
            model: Embedding model that the codes come from; empty: the default one.
            cross_encoder: Model that reads query and passage together, in place of late
                interaction; empty: none does.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncodedTokens:
    """Token vectors of texts, in order."""

    rows: tuple[NDArray, ...]
    """(tokens, dimensions) each, rows of length 1, float32."""
    usage: Usage


class TokenEncoder(Protocol):
    """Gives the vector of each token of texts, in their context."""

    async def encode_tokens(self, scope: Scope, texts: Sequence[str]) -> EncodedTokens:
        """Returns the token vectors of each text."""
        ...


@dataclass(frozen=True, slots=True)
class WeightedQuery:
    """One reading of the question and its share of the score."""

    text: str
    weight: float
    """Shares of one search add up to 1."""
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """What to ask retrieval for."""

    collection: str
    queries: tuple[WeightedQuery, ...]
    mode: Mode
    top_k: int
    filter: Filter | None = None
    max_per_document: int = 0
    embedding_model: str = ""
    explain: bool = False
    token_codes_top_k: int = 0
    """So many passages, from the best, come with their token codes."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """What retrieval found."""

    passages: tuple[ScoredPassage, ...]
    degraded: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    generation: int = 0
    """Generation of the collection that was searched."""
    is_current: bool = False
    """Whether this is the truth of that generation."""
    valid_until: float | None = None
    """Seconds since 1970 when a document of the collection ends; None: none does."""
    vector: Vector | None = None
    """Of the question as it was asked; None: it was searched for by words only."""
    token_codes: tuple[bytes, ...] = ()
    """Of the first passages, in order, empty for one that has none; they go no further than the
    reranker."""
    embedding_model: str = ""
    """Name of the model whose vectors were compared; empty: none were."""


@dataclass(frozen=True, slots=True)
class StoredChunks:
    """A document as it is stored now."""

    version: int
    chunks: tuple[Chunk, ...]
    """In their order."""


class Retriever(Protocol):
    """Finds passages within a scope."""

    async def search(self, scope: Scope, plan: SearchPlan) -> Retrieved:
        """Returns passages, best first."""
        ...

    async def embedding_model(self, scope: Scope, collection: str) -> str:
        """Returns the name of the model whose vectors the collection holds."""
        ...

    async def recommend(self, scope: Scope, ask: RecommendAsk) -> Retrieved:
        """Returns the best passage of each document, the given ones left out."""
        ...

    async def stored_chunks(
        self, scope: Scope, collection: str, document_ids: Sequence[str]
    ) -> Mapping[str, StoredChunks]:
        """Returns the chunks of the documents that may be read, by document."""
        ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are picked beyond the temperature, and what form they take."""

    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    json_schema: str = ""
    """JSON Schema that the text is valid under; empty: free text."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What to write from."""

    query: str
    history: tuple[Turn, ...]
    instructions: str
    passages: tuple[ScoredPassage, ...]
    model: str
    max_tokens: int | None
    temperature: float | None
    request_id: str
    sampling: Sampling = field(default_factory=Sampling)
    min_support: float | None = None
    """Least support of an answer that copies, 0..1; None: what the engine is set up to ask for."""
    is_live: bool = True
    """Whether somebody reads the text while it is written: small pieces are gathered then, and it
    cannot be begun anew."""
    token_codes: Mapping[tuple[str, str], bytes] = field(default_factory=dict)
    """Stored token vectors of passages, by document and chunk."""

    @property
    def characters(self) -> int:
        """Length of all that the model reads, roughly."""
        texts = (*(turn.text for turn in self.history), *(p.passage.text for p in self.passages))
        return len(self.query) + len(self.instructions) + sum(map(len, texts))


@dataclass(frozen=True, slots=True)
class Started:
    """The engine begins."""

    engine: str
    model: str
    usage: Usage = field(default_factory=Usage)
    """What reading the prompt took; nothing: not known yet."""


@dataclass(frozen=True, slots=True)
class Wrote:
    """The engine wrote more text."""

    text: str
    completion_tokens: int = 0
    """Tokens of it; 0: not known."""


@dataclass(frozen=True, slots=True)
class Quote:
    """A verbatim span of a passage that a marker stands for."""

    marker: int
    passage_index: int
    start: int
    """First character in the passage's text."""
    end: int
    support: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The engine ended."""

    text: str
    finish_reason: str
    """ "stop", "length", "refused" or "deadline"."""
    engine: str
    model: str
    usage: Usage
    fallback_reason: str = ""
    quotes: tuple[Quote, ...] = ()
    support: float | None = None
    """How well the best that an engine that copies found answers the question, 0..1, refused or
    not; None: the engine does not say."""
    left_out_repeats: int = 0
    """Stretches that repeated the instructions and were left out."""


class Generator(Protocol):
    """Writes answers."""

    def generate(
        self, scope: Scope, prompt: Prompt, timeout_seconds: float
    ) -> AsyncGenerator[Started | Wrote | Finished]:
        """Yields Started, any number of Wrote, then Finished. Closing it stops the engine."""
        ...
