"""Options of a search by OpenAI's names, and passages as its hits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import Field

from services.filters.values import Timestamp, format_timestamp
from services.gateway.edge.openai.bodies import OpenAiBody
from services.gateway.requests import Mode
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    from services.gateway.passages import Metadata, ScoredPassage

_WITHOUT = frozenset({"none"})


class HybridSearch(OpenAiBody):
    """Weights of meaning and words."""

    embedding_weight: float = Field(ge=0)
    text_weight: float = Field(ge=0)


class RankingOptions(OpenAiBody):
    """How passages are ordered."""

    ranker: str | None = Field(default=None, max_length=128)
    """"none" or absent: as the search found them; any other: re-ranked."""
    score_threshold: float | None = Field(default=None, ge=0, le=1)
    """Least score of a hit."""
    hybrid_search: HybridSearch | None = None
    """Equal weights, or one of them 0: by meaning or by words alone."""

    @property
    def rerank(self) -> bool:
        """Whether the hits are re-ranked."""
        return self.ranker is not None and self.ranker not in _WITHOUT

    def mode(self) -> Mode:
        """Returns the way of searching.

        Raises:
            InvalidArgumentError: weights that are not offered.
        """
        weights = self.hybrid_search
        if weights is None:
            return Mode.HYBRID
        if weights.embedding_weight == weights.text_weight > 0:
            return Mode.HYBRID
        if weights.embedding_weight == 0 < weights.text_weight:
            return Mode.KEYWORD
        if weights.text_weight == 0 < weights.embedding_weight:
            return Mode.DENSE
        raise InvalidArgumentError.for_field(
            "ranking_options.hybrid_search", "weights must be equal, or one of them 0"
        )


def score_of(each: ScoredPassage) -> float:
    """Returns a score between 0 and 1 that orders as ours does; it compares within one search."""
    return 1 / (1 + math.exp(-max(-60.0, min(60.0, each.scores.final))))


def file_name_of(uri: str, title: str, document_id: str) -> str:
    """Returns what a document is called where a file name is expected."""
    return uri.rstrip("/").rsplit("/", 1)[-1] or title or document_id


def render_attributes(metadata: Metadata) -> dict[str, str | float | bool]:
    """Returns metadata as attributes: texts, numbers and truths."""
    attributes: dict[str, str | float | bool] = {}
    for name, value in metadata.items():
        if isinstance(value, Timestamp):
            attributes[name] = format_timestamp(value)
        elif isinstance(value, frozenset):
            attributes[name] = ", ".join(sorted(value))
        elif value is not None:
            attributes[name] = value
    return attributes


def render_hit(each: ScoredPassage) -> dict[str, Any]:
    """Returns a passage as the results of file_search have it; the lower fields are ours."""
    passage = each.passage
    return {
        "file_id": passage.document_id,
        "filename": file_name_of(passage.uri, passage.title, passage.document_id),
        "score": score_of(each),
        "attributes": render_attributes(passage.metadata),
        "chunk_id": passage.chunk_id,
        "start": passage.start,
        "end": passage.end,
    }
