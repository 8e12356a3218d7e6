"""What can be asked, and what is answered."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from services.filters.ast import Filter
from services.filters.values import Value

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


class RecallClass(enum.IntEnum):
    """How much of the truth must be found, numbered as in the contract."""

    EXACT = 1
    HIGH = 2
    FAST = 3


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


@dataclass(frozen=True, slots=True)
class PlanStep:
    """What was done in one segment."""

    segment: str
    plan: str
    why: str
    row_count: int
    allowed_count: int
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Scores:
    """How a hit came to its place; None where it was not found by that way."""

    final: float
    dense: float | None = None
    keyword: float | None = None
    fused: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk found, before its text was read."""

    row: int
    """Chunk row in the view it was found in."""
    scores: Scores


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk with its text."""

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


@dataclass(slots=True)
class Answer:
    """What one query found."""

    passages: list[tuple[Passage, Scores]]
    steps: list[PlanStep]
    allowed_count: int
    dropped: dict[str, int]
    vectors_scanned: int
    collection: str
    """Own name of the collection that was searched."""
    generation: int
    visible_seq: int
    degraded: list[str] = field(default_factory=list)
