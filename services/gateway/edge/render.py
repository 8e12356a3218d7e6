"""Domain values as JSON: the names of the protobuf messages, every field always present."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from services.filters.values import Timestamp, format_timestamp
from services.gateway.usage import USAGE_VALUES, Usage

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.gateway.answer import Answer, Citation, SearchResult, StageExplanation
    from services.gateway.library import Chunk, Collection, CollectionIndex, Document, Submission
    from services.gateway.passages import Metadata, ScoredPassage

Json = dict[str, Any]


def render_answer(answer: Answer) -> Json:
    """Returns a `QueryResponse`."""
    return {
        "answer": answer.answer,
        "citations": [render_citation(each) for each in answer.citations],
        "passages": [render_passage(each) for each in answer.passages],
        "refused": answer.refused,
        "grounded": answer.grounded,
        "degraded": list(answer.degraded),
        "timings_ms": dict(answer.timings_ms),
        "usage": render_usage(answer.usage),
        "cost": {"amount": answer.cost.amount, "currency": answer.cost.currency},
        "trace_id": answer.trace_id,
        "cached": answer.cached,
        "cached_age_seconds": answer.cached_age_seconds,
        "cached_similarity": answer.cached_similarity,
        "engine": answer.engine,
        "model": answer.model,
        "explanation": [_explanation(each) for each in answer.explanation],
        "finish_reason": answer.finish_reason,
        "support": answer.support,
        "sentences": [
            {"start": each.start, "end": each.end, "support": each.support}
            for each in answer.sentences
        ],
    }


def render_search(result: SearchResult) -> Json:
    """Returns a `SearchResponse`."""
    return {
        "passages": [render_passage(each) for each in result.passages],
        "degraded": list(result.degraded),
        "timings_ms": dict(result.timings_ms),
        "usage": render_usage(result.usage),
        "trace_id": result.trace_id,
        "explanation": [_explanation(each) for each in result.explanation],
        "cached": result.cached,
        "cached_age_seconds": result.cached_age_seconds,
    }


def render_recommendations(result: SearchResult) -> Json:
    """Returns a `RecommendResponse`."""
    return {
        "passages": [render_passage(each) for each in result.passages],
        "degraded": list(result.degraded),
        "timings_ms": dict(result.timings_ms),
        "trace_id": result.trace_id,
        "cached": result.cached,
        "cached_age_seconds": result.cached_age_seconds,
    }


def render_usage(usage: Usage) -> Json:
    """Returns a `Usage`."""
    return dict(zip(Usage.__match_args__, USAGE_VALUES(usage), strict=True))


def render_citation(citation: Citation) -> Json:
    """Returns a `Citation`."""
    return {
        "marker": citation.marker,
        "document_id": citation.document_id,
        "document_version": citation.document_version,
        "chunk_id": citation.chunk_id,
        "start": citation.start,
        "end": citation.end,
        "text": citation.text,
        "uri": citation.uri,
        "title": citation.title,
        "support": citation.support,
    }


def render_passage(each: ScoredPassage) -> Json:
    """Returns a `ScoredPassage`; scores that there are none of are null."""
    passage, scores = each.passage, each.scores
    return {
        "passage": {
            "chunk_id": passage.chunk_id,
            "document_id": passage.document_id,
            "document_version": passage.document_version,
            "collection": passage.collection,
            "ordinal": passage.ordinal,
            "start": passage.start,
            "end": passage.end,
            "text": passage.text,
            "title": passage.title,
            "uri": passage.uri,
            "heading_path": list(passage.heading_path),
            "metadata": render_metadata(passage.metadata),
            "page": passage.page,
        },
        "scores": {
            "dense": scores.dense,
            "keyword": scores.keyword,
            "fused": scores.fused,
            "rerank": scores.rerank,
            "final": scores.final,
        },
    }


def render_place(each: ScoredPassage) -> Json:
    """Returns where a passage is, without its text."""
    passage = each.passage
    return {
        "chunk_id": passage.chunk_id,
        "document_id": passage.document_id,
        "start": passage.start,
        "end": passage.end,
        "score": each.scores.final,
    }


def render_metadata(metadata: Metadata) -> Json:
    """Returns metadata in JSON's own types; times as RFC 3339 text."""
    return {name: _value(value) for name, value in metadata.items()}


def render_document(document: Document) -> Json:
    """Returns a `Document`."""
    return {
        "document_id": document.document_id,
        "collection": document.collection,
        "job_id": document.job_id,
        "state": document.state,
        "stage": document.stage,
        "title": document.title,
        "uri": document.uri,
        "content_type": document.content_type,
        "size_bytes": document.size_bytes,
        "chunk_count": document.chunk_count,
        "attempt_count": document.attempt_count,
        "failure_reason": document.failure_reason,
        "failure_message": document.failure_message,
        "failure_stage": document.failure_stage,
        "created_at": render_time(document.created_at),
        "updated_at": render_time(document.updated_at),
        "version": document.version,
        "text": document.text,
        "metadata": render_metadata(document.metadata),
        "warnings": list(document.warnings),
    }


def render_chunk(chunk: Chunk) -> Json:
    """Returns a chunk."""
    return {
        "chunk_id": chunk.chunk_id,
        "ordinal": chunk.ordinal,
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "heading_path": list(chunk.heading_path),
        "page": chunk.page,
    }


def render_submission(submission: Submission) -> Json:
    """Returns a `Submission`."""
    document = submission.document
    return {
        "document": render_document(document) if document is not None else None,
        "is_duplicate": submission.is_duplicate,
        "is_unchanged": submission.is_unchanged,
        "error_reason": submission.error_reason,
        "error_message": submission.error_message,
    }


def _index(index: CollectionIndex | None) -> Json | None:
    if index is None:
        return None
    return {
        "index_type": index.kind.label,
        "bytes_per_vector": round(index.bytes_per_vector, 1),
        "recall_loss": None if index.recall_loss is None else round(index.recall_loss, 4),
        "view_bytes": index.view_bytes,
        "disk_bytes": index.disk_bytes,
        "segment_count": index.segment_count,
    }


def render_collection(collection: Collection) -> Json:
    """Returns a `Collection`."""
    return {
        "name": collection.name,
        "embedding_model": collection.embedding_model,
        "dimensions": collection.dimensions,
        "fields": {name: kind.name.lower() for name, kind in collection.fields.items()},
        "is_acl_required": collection.is_acl_required,
        "language": collection.language,
        "description": collection.description,
        "created_at": render_time(collection.created_at),
        "document_count": collection.document_count,
        "chunk_count": collection.chunk_count,
        "index_description": collection.index_description,
        "index_type": collection.index_kind.label,
        "index": _index(collection.index),
    }


def _explanation(each: StageExplanation) -> Json:
    return {
        "stage": each.stage,
        "candidates": [render_passage(candidate) for candidate in each.candidates],
        "dropped": dict(each.dropped),
        "notes": list(each.notes),
    }


def _value(value: Value | None) -> Any:
    if isinstance(value, Timestamp):
        return format_timestamp(value)
    if isinstance(value, frozenset):
        return sorted(value)
    return value


def render_time(moment: datetime | None) -> str | None:
    """Returns a point in time as RFC 3339 text, in UTC."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat().replace("+00:00", "Z")
