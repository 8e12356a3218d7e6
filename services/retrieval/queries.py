"""What can be asked, and what is answered."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from services.filters.ast import Filter
from services.filters.values import Value
from services.retrieval.collections import IndexType, Tier
from services.retrieval.vectors.spec import RecallClass as RecallClass  # noqa: PLC0414 - of searches

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SearchMode(enum.IntEnum):
    """How passages are looked for, numbered as in the contract."""

    DENSE = 1
    KEYWORD = 2
    HYBRID = 3


class FusionMethod(enum.IntEnum):
    """How lists are fused, numbered as in the contract."""

    Z_SCORE = 1
    MIN_MAX = 2
    RRF = 3


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for."""

    texts: tuple[tuple[str, float], ...] = ()
    """Texts with their weights; empty: no words are looked for."""
    vector: NDArray[np.float32] | None = None
    """Sum of weighted unit vectors; its product with a unit vector is the mixed cosine."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How to look."""

    mode: SearchMode
    top_k: int = 10
    filter: Filter | None = None
    fusion: FusionMethod = FusionMethod.Z_SCORE
    dense_weight: float = 0.5
    candidates: int = 100
    """Passages taken from each list of a hybrid search."""
    recall: RecallClass = RecallClass.HIGH
    score_threshold: float | None = None
    max_per_document: int = 0
    """0: no limit."""
    diversity: float = 0.0
    """0: relevance only; 1: variety only."""
    min_seq: int = 0
    include_metadata: bool = False
    filter_key: str = ""
    """What tells filters apart, for caches; empty: no filter."""
    omit_text: bool = False
    """Passages go out without text, title, URI and headings."""
    include_vectors: bool = False
    token_codes_top_k: int = 0
    """Passages, from the best, that come with their token codes."""
    group_size: int = 0
    """Passages of each document at most, `top_k` documents wanted; 0: no groups."""
    rank_constant: int = 60
    """Added to ranks by reciprocal rank fusion."""

    @property
    def per_document(self) -> int:
        """Passages of one document at most; 0: no limit."""
        return self.group_size or self.max_per_document


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What was done in one segment."""

    segment: str
    plan: str
    why: str
    row_count: int
    allowed_count: int
    duration_ms: float
    tier: Tier = Tier.HOT
    compared: int = 0
    """Rows compared with the queries, over both passes."""
    recall: RecallClass = RecallClass.HIGH
    index_type: IndexType = IndexType.AUTO
    load_ms: float = 0.0
    """Spent loading the segment for this search."""


@dataclass(frozen=True, slots=True)
class Scores:
    """How a hit came to its place; None where it was not found by that way."""

    final: float
    dense: float | None = None
    keyword: float | None = None
    fused: float | None = None


@dataclass(slots=True)
class Hits:
    """Chunks found for one query, best first, as columns; NaN where a score is absent."""

    rows: NDArray[np.int64]
    """Chunk rows in the view they were found in."""
    final: NDArray[np.float64]
    dense: NDArray[np.float64] | None = None
    keyword: NDArray[np.float64] | None = None
    fused: NDArray[np.float64] | None = None

    def take(self, places: NDArray[Any] | slice) -> Hits:
        """Returns the hits at some places."""
        return Hits(
            self.rows[places],
            self.final[places],
            None if self.dense is None else self.dense[places],
            None if self.keyword is None else self.keyword[places],
            None if self.fused is None else self.fused[places],
        )

    @property
    def is_dense_only(self) -> bool:
        """Whether the dense scores are all there are."""
        return self.dense is not None and self.fused is None

    def scores(self) -> list[Scores]:
        """Returns the scores, hit by hit."""
        count = len(self.rows)
        columns = [_column(each, count) for each in (self.dense, self.keyword, self.fused)]
        return [
            Scores(final, *others)
            for final, *others in zip(self.final.tolist(), *columns, strict=True)
        ]


def _column(values: NDArray[np.float64] | None, count: int) -> list[float | None]:
    if values is None:
        return [None] * count
    return [None if math.isnan(each) else each for each in values.tolist()]


@dataclass(slots=True)
class Passage:
    """A chunk with its text. Not frozen: it is made for every chunk found; never changed."""

    document_id: str
    document_version: int
    chunk_id: str
    ordinal: int
    start: int
    end: int
    text: str
    title: str
    uri: str
    heading_path: tuple[str, ...]
    page: int
    metadata: Mapping[str, Value | None]
    rendered: dict[str, bytes] = field(default_factory=dict, compare=False, repr=False)
    """What those who send it out made of it, so that it is made once."""


@dataclass(frozen=True, slots=True)
class Group:
    """Passages of one document among those of an answer."""

    document_id: str
    first: int
    """Place of its first passage."""
    count: int


@dataclass(slots=True)
class Answer:
    """What one query found."""

    passages: list[Passage]
    """Best first."""
    hits: Hits
    """Their rows and scores."""
    steps: list[PlanStep]
    allowed_count: int
    dropped: dict[str, int]
    vectors_scanned: int
    collection: str
    """Own name of the collection that was searched."""
    generation: int
    visible_seq: int
    is_current: bool = False
    """Whether this is the truth of `generation`, nothing acknowledged before is missing."""
    valid_until_micros: int | None = None
    """When a document of the collection ceases to be readable next; None: none does."""
    degraded: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] | None = None
    """(passages, dimensions) unit vectors, when they were asked for."""
    token_codes: list[bytes] = field(default_factory=list)
    """Of the first passages, as many as were asked for."""
    groups: list[Group] = field(default_factory=list)
