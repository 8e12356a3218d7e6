"""Passages, metadata and usage between their messages and their domain values."""

from __future__ import annotations

import math
from collections.abc import Iterable

from cairn.types.v1 import passage_pb2, usage_pb2

from services.filters.proto import value_from_proto, value_to_proto
from services.gateway.passages import Metadata, Passage, ScoredPassage, Scores
from services.gateway.usage import Usage

_SCORES = ("dense", "keyword", "fused", "rerank")


def passages_from_proto(
    messages: Iterable[passage_pb2.ScoredPassage],
) -> tuple[ScoredPassage, ...]:
    """Returns the passages, in order."""
    return tuple(_scored_from_proto(message) for message in messages)


def passages_to_proto(
    passages: Iterable[ScoredPassage],
) -> list[passage_pb2.ScoredPassage]:
    """Returns the passages as messages, in order."""
    return [_scored_to_proto(each) for each in passages]


def metadata_from_proto(message: object, path: str = "metadata") -> Metadata:
    """Returns the values of a `map<string, MetadataValue>`.

    Raises:
        InvalidArgumentError: a value cannot be stored.
    """
    return {
        name: value_from_proto(value, f"{path}.{name}")
        for name, value in message.items()  # pyright: ignore[reportAttributeAccessIssue]
    }


def metadata_to_proto(metadata: Metadata) -> dict[str, object]:
    """Returns the values as messages."""
    return {name: value_to_proto(value) for name, value in metadata.items()}


def usage_from_proto(message: usage_pb2.Usage) -> Usage:
    """Returns the counts; negative ones count as 0."""
    return Usage(
        embedding_tokens=max(0, message.embedding_tokens),
        rerank_tokens=max(0, message.rerank_tokens),
        prompt_tokens=max(0, message.prompt_tokens),
        cached_prompt_tokens=max(0, message.cached_prompt_tokens),
        completion_tokens=max(0, message.completion_tokens),
        vectors_scanned=max(0, message.vectors_scanned),
        embedding_cache_hits=max(0, message.embedding_cache_hits),
    )


def usage_to_proto(usage: Usage) -> usage_pb2.Usage:
    """Returns the counts as a message."""
    return usage_pb2.Usage(
        embedding_tokens=usage.embedding_tokens,
        rerank_tokens=usage.rerank_tokens,
        prompt_tokens=usage.prompt_tokens,
        cached_prompt_tokens=usage.cached_prompt_tokens,
        completion_tokens=usage.completion_tokens,
        vectors_scanned=usage.vectors_scanned,
        embedding_cache_hits=usage.embedding_cache_hits,
    )


def _scored_from_proto(message: passage_pb2.ScoredPassage) -> ScoredPassage:
    # Without loops and names of arguments: it is done for each passage of each answer.
    passage, scores = message.passage, message.scores
    has, metadata = scores.HasField, passage.metadata
    return ScoredPassage(
        Passage(
            passage.chunk_id,
            passage.document_id,
            passage.document_version,
            passage.collection,
            passage.ordinal,
            passage.start,
            passage.end,
            passage.text,
            passage.title,
            passage.uri,
            tuple(passage.heading_path),
            metadata_from_proto(metadata) if metadata else {},
            passage.page,
        ),
        Scores(
            _finite(scores.dense) if has("dense") else None,
            _finite(scores.keyword) if has("keyword") else None,
            _finite(scores.fused) if has("fused") else None,
            _finite(scores.rerank) if has("rerank") else None,
            _finite(scores.final) or 0.0,
        ),
    )


def _scored_to_proto(each: ScoredPassage) -> passage_pb2.ScoredPassage:
    passage, scores = each.passage, each.scores
    message = passage_pb2.ScoredPassage(
        passage=passage_pb2.Passage(
            chunk_id=passage.chunk_id,
            document_id=passage.document_id,
            document_version=passage.document_version,
            collection=passage.collection,
            ordinal=passage.ordinal,
            start=passage.start,
            end=passage.end,
            text=passage.text,
            title=passage.title,
            uri=passage.uri,
            heading_path=passage.heading_path,
            page=passage.page,
        ),
        scores=passage_pb2.PassageScores(
            **{name: value for name in _SCORES if (value := getattr(scores, name)) is not None},
            final=scores.final,
        ),
    )
    for name, value in passage.metadata.items():
        message.passage.metadata[name].CopyFrom(value_to_proto(value))
    return message


def _finite(score: float) -> float | None:
    return score if math.isfinite(score) else None
