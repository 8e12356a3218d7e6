"""What the pipeline answers with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.passages import ScoredPassage
    from services.gateway.usage import Cost, Usage


@dataclass(frozen=True, slots=True)
class Citation:
    """A place in a document that an answer rests on."""

    marker: int
    """Number in the answer: 1 for "[1]"."""
    document_id: str
    document_version: int
    chunk_id: str
    start: int
    """First character in the document's text, in Unicode code points."""
    end: int
    text: str
    """Exactly the document's text[start:end]."""
    uri: str
    title: str
    support: float
    """How well the span supports what cites it, 0..1."""


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """How well a sentence of an answer is carried."""

    start: int
    """First character in the answer, in Unicode code points."""
    end: int
    """Character after the last one."""
    support: float
    """0..1."""


@dataclass(frozen=True, slots=True)
class StageExplanation:
    """What one stage did."""

    stage: str
    candidates: tuple[ScoredPassage, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    """Reason per chunk that the stage dropped."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question: the fields of `cairn.gateway.v1.QueryResponse`, by its names."""

    answer: str
    citations: tuple[Citation, ...]
    passages: tuple[ScoredPassage, ...]
    refused: bool
    grounded: float
    degraded: tuple[str, ...]
    timings_ms: Mapping[str, float]
    usage: Usage
    cost: Cost
    trace_id: str
    cached: str
    engine: str
    model: str
    explanation: tuple[StageExplanation, ...]
    finish_reason: str
    cached_age_seconds: float = 0.0
    """Since a cached answer was written."""
    cached_similarity: float = 0.0
    """Cosine to the question that a semantic hit was written for."""
    support: float | None = None
    """How well the best text that was found answers, 0..1, refused or not; None: nobody said."""
    sentences: tuple[SentenceSupport, ...] = ()
    """How well each sentence is carried by what it cites; empty: refused."""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found: the fields of `cairn.gateway.v1.SearchResponse`, by its names."""

    passages: tuple[ScoredPassage, ...]
    degraded: tuple[str, ...]
    timings_ms: Mapping[str, float]
    usage: Usage
    trace_id: str
    explanation: tuple[StageExplanation, ...]
    cached: str = ""
    cached_age_seconds: float = 0.0
    """Since a cached result was found."""


@dataclass(frozen=True, slots=True)
class PassagesFound:
    """Event of a streamed answer: the passages it will be written from."""

    passages: tuple[ScoredPassage, ...]
    cached: str = ""
    """As in the answer that follows, like the two below."""
    cached_age_seconds: float = 0.0
    cached_similarity: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """Event of a streamed answer: more text."""

    text: str


def passages_of(answer: Answer) -> PassagesFound:
    """Returns the first event of an answer that is there already."""
    return PassagesFound(
        answer.passages, answer.cached, answer.cached_age_seconds, answer.cached_similarity
    )


AnswerEvent = PassagesFound | AnswerDelta | Answer
"""Passages, then deltas, then the whole answer."""
