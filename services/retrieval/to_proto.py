"""Domain values to responses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import passage_pb2, usage_pb2, vector_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.filters.proto import value_to_proto

if TYPE_CHECKING:
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Chunk, Document
    from services.retrieval.queries import Answer, Passage, Scores


def collection(value: Collection) -> pb.Collection:
    """Returns a collection's message."""
    settings = value.settings
    return pb.Collection(
        name=value.name,
        settings=pb.CollectionSettings(
            dimensions=settings.dimensions,
            embedding_model=settings.embedding_model,
            embedding_model_revision=settings.embedding_model_revision,
            fields={name: int(kind) for name, kind in settings.fields.items()},  # pyright: ignore[reportArgumentType]
            index_type=int(settings.index_type),  # pyright: ignore[reportArgumentType]
            acl_policy=int(settings.acl_policy),  # pyright: ignore[reportArgumentType]
            language=settings.language,
            tier=pb.TIER_HOT,
            description=settings.description,
        ),
        created_at=timestamp(value.created_micros),
        generation=value.seq,
    )


def document(value: Document, *, dimensions: int, with_vectors: bool) -> pb.Document:
    """Returns a document's message with what was read of it."""
    return pb.Document(
        document_id=value.document_id,
        title=value.title,
        uri=value.uri,
        text=value.text,
        metadata={name: value_to_proto(each) for name, each in value.metadata.items()},
        acl=value.acl,
        chunks=[_chunk(each, dimensions, with_vectors=with_vectors) for each in value.chunks],
        content_hash=value.content_hash,
        version=value.version,
        committed_at=timestamp(value.committed_micros),
        expires_at=None if value.expires_micros is None else timestamp(value.expires_micros),
    )


def passage(value: Passage, name: str) -> passage_pb2.Passage:
    """Returns a passage's message.

    Args:
        value: The passage.
        name: Collection it lives in.
    """
    return passage_pb2.Passage(
        chunk_id=value.chunk_id,
        document_id=value.document_id,
        document_version=value.document_version,
        collection=name,
        ordinal=value.ordinal,
        start=value.start,
        end=value.end,
        text=value.text,
        title=value.title,
        uri=value.uri,
        heading_path=value.heading_path,
        metadata={key: value_to_proto(each) for key, each in value.metadata.items()},
        page=value.page,
    )


def answer(value: Answer, name: str, *, explain: bool) -> pb.SearchResponse:
    """Returns a search's message."""
    return pb.SearchResponse(
        passages=scored(value, name),
        explanation=explanation(value) if explain else None,
        degraded=value.degraded,
        usage=usage_pb2.Usage(vectors_scanned=value.vectors_scanned),
        generation=value.generation,
        visible_seq=value.visible_seq,
    )


def scored(value: Answer, name: str) -> list[passage_pb2.ScoredPassage]:
    """Returns the passages of an answer with their scores."""
    return [
        passage_pb2.ScoredPassage(passage=passage(each, name), scores=_scores(scores))
        for each, scores in value.passages
    ]


def explanation(value: Answer) -> pb.SearchExplanation:
    """Returns what a search did."""
    return pb.SearchExplanation(
        steps=[
            pb.PlanStep(
                segment=step.segment,
                plan=step.plan,
                why=step.why,
                row_count=step.row_count,
                allowed_count=step.allowed_count,
                duration_ms=step.duration_ms,
            )
            for step in value.steps
        ],
        allowed_count=value.allowed_count,
        dropped=value.dropped,
    )


def timestamp(micros: int) -> Timestamp:
    """Returns a point in time."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def _chunk(value: Chunk, dimensions: int, *, with_vectors: bool) -> pb.Chunk:
    vector = None
    if with_vectors:
        vector = vector_pb2.Vector(
            data=value.vector,
            element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
            dimensions=dimensions,
        )
    return pb.Chunk(
        chunk_id=value.chunk_id,
        start=value.start,
        end=value.end,
        heading_path=value.heading_path,
        page=value.page,
        vector=vector,
        token_codes=value.token_codes,
    )


def _scores(value: Scores) -> passage_pb2.PassageScores:
    return passage_pb2.PassageScores(
        dense=value.dense, keyword=value.keyword, fused=value.fused, final=value.final
    )
