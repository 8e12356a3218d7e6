"""Domain values to responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import passage_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.filters.proto import value_to_proto
from services.retrieval import vectors_proto
from services.retrieval.collections import IndexParameters, Tier, TierPolicy

if TYPE_CHECKING:
    from services.retrieval.administration import Consistency, IndexFigures
    from services.retrieval.collections import Collection
    from services.retrieval.documents import Chunk, Document
    from services.retrieval.library import DocumentPage, PassagePage, Stats
    from services.retrieval.queries import Answer, Group, Passage
    from services.retrieval.snapshots.archive import Record
    from services.retrieval.store.counts import Quota


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
            tier=int(settings.tier),  # pyright: ignore[reportArgumentType]
            description=settings.description,
            index_parameters=index_parameters(settings.index_parameters),
            tier_policy=_tier_policy(settings.tier_policy),
            schema_policy=int(settings.schema_policy),  # pyright: ignore[reportArgumentType]
        ),
        created_at=timestamp(value.created_micros),
        generation=value.seq,
    )


def index_parameters(value: IndexParameters) -> pb.IndexParameters | None:
    """Returns the message of parameters; None when all are the service's choice."""
    return None if value == IndexParameters() else pb.IndexParameters(**asdict(value))


def _tier_policy(value: TierPolicy) -> pb.TierPolicy | None:
    if value == TierPolicy():
        return None
    return pb.TierPolicy(
        warm_after=_duration(value.warm_after_seconds),
        cold_after=_duration(value.cold_after_seconds),
    )


def _duration(seconds: float | None) -> Duration | None:
    if seconds is None:
        return None
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


def stats(
    value: Stats, figures: Sequence[IndexFigures], check: Consistency | None = None
) -> pb.CollectionStats:
    """Returns the message of a collection's figures on this replica."""
    sealed = [each for each in figures if each.spec is not None]
    rows = sum(each.rows for each in figures)
    resident = sum(each.resident_bytes for each in figures)
    largest = max(sealed or figures, key=lambda each: each.rows, default=None)
    losses = [each for each in sealed if each.recall_loss is not None]
    covered = sum(each.rows for each in losses)
    loss = sum((each.recall_loss or 0.0) * each.rows for each in losses)
    return pb.CollectionStats(
        document_count=value.documents,
        chunk_count=value.chunks,
        tombstone_count=value.tombstones,
        view_bytes=value.view_bytes,
        committed_seq=value.committed_seq,
        visible_seq=value.visible_seq,
        index_description=value.index,
        index_type=0 if largest is None else int(largest.index_type),  # pyright: ignore[reportArgumentType]
        bytes_per_vector=resident / rows if rows else 0.0,
        recall_loss=loss / covered if covered else None,
        segment_count=len(sealed),
        memtable_row_count=sum(each.rows for each in figures if each.spec is None),
        tier=int(largest.tier) if largest else int(Tier.COLD),  # pyright: ignore[reportArgumentType]
        disk_bytes=sum(each.disk_bytes for each in figures),
        snapshot_seq=value.saved_seq,
        stored_bytes=value.stored_bytes,
        consistency=None if check is None else consistency(check),
        indexes=[_index(each) for each in figures],
    )


def _index(value: IndexFigures) -> pb.IndexStats:
    spec = value.spec
    parameters = None
    if spec is not None:
        parameters = pb.IndexParameters(
            links=spec.links,
            build_candidates=spec.build_effort,
            lists=spec.lists,
            code_bytes=spec.code_bytes,
        )
    return pb.IndexStats(
        segment=value.segment,
        index_type=int(value.index_type),  # pyright: ignore[reportArgumentType]
        parameters=parameters,
        row_count=value.rows,
        tombstone_count=value.tombstones,
        bytes_per_vector=value.bytes_per_vector,
        recall_loss=value.recall_loss,
        resident_bytes=value.resident_bytes,
        disk_bytes=value.disk_bytes,
        tier=int(value.tier),  # pyright: ignore[reportArgumentType]
    )


def consistency(value: Consistency) -> pb.ConsistencyCheck:
    """Returns the message of a comparison."""
    stored, viewed = value.stored, value.viewed
    return pb.ConsistencyCheck(
        is_consistent=value.is_consistent,
        seq=value.seq,
        stored_document_count=stored.documents,
        view_document_count=viewed.documents,
        stored_chunk_count=stored.chunks,
        view_chunk_count=viewed.chunks,
        stored_hash=f"{stored.xor:016x}",
        view_hash=f"{viewed.xor:016x}",
        checked_at=timestamp(value.checked_micros),
    )


def snapshot(value: Record) -> pb.Snapshot:
    """Returns the message of a snapshot."""
    return pb.Snapshot(
        snapshot_id=value.snapshot_id,
        collection=value.collection,
        seq=value.seq,
        created_at=timestamp(value.created_micros),
        size_bytes=value.size_bytes,
        checksum=value.checksum,
        retention=_duration(value.retention_seconds),
    )


def quota(value: Quota) -> pb.Quota:
    """Returns the message of a quota."""
    return pb.Quota(max_vectors=value.max_vectors, max_bytes=value.max_bytes)


def document(value: Document, *, with_vectors: bool, with_codes: bool = False) -> pb.Document:
    """Returns a document's message with what was read of it.

    Args:
        value: The document.
        with_vectors: Whether chunks carry their vectors.
        with_codes: Whether they carry their token codes.
    """
    return pb.Document(
        document_id=value.document_id,
        title=value.title,
        uri=value.uri,
        text=value.text,
        metadata={name: value_to_proto(each) for name, each in value.metadata.items()},
        acl=value.acl,
        chunks=[
            _chunk(each, with_vectors=with_vectors, with_codes=with_codes) for each in value.chunks
        ],
        content_hash=value.content_hash,
        version=value.version,
        committed_at=timestamp(value.committed_micros),
        expires_at=None if value.expires_micros is None else timestamp(value.expires_micros),
    )


def passage(value: Passage, name: str, *, omit_text: bool = False) -> passage_pb2.Passage:
    """Returns a passage's message.

    Args:
        value: The passage.
        name: Collection it lives in.
        omit_text: Whether text, title, URI and headings are left out.
    """
    if omit_text:
        return passage_pb2.Passage(
            chunk_id=value.chunk_id,
            document_id=value.document_id,
            document_version=value.document_version,
            collection=name,
            ordinal=value.ordinal,
            start=value.start,
            end=value.end,
            metadata={key: value_to_proto(each) for key, each in value.metadata.items()},
            page=value.page,
        )
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


def passage_page(value: PassagePage, *, omit_text: bool) -> pb.ScrollResponse:
    """Returns the message of a page of chunks."""
    found = [passage(each, value.collection, omit_text=omit_text) for each in value.passages]
    if value.vectors is not None:
        for message, row in zip(found, value.vectors, strict=True):
            message.vector.CopyFrom(
                vectors_proto.to_message(row.astype("<f4", copy=False).tobytes())
            )
    return pb.ScrollResponse(passages=found, next_page_token=value.next_token)


def document_page(value: DocumentPage, *, with_vectors: bool) -> pb.ScrollResponse:
    """Returns the message of a page of documents."""
    return pb.ScrollResponse(
        documents=[document(each, with_vectors=with_vectors) for each in value.documents],
        next_page_token=value.next_token,
    )


def group(value: Group) -> pb.DocumentGroup:
    """Returns the message of a group of passages."""
    return pb.DocumentGroup(
        document_id=value.document_id, first_passage=value.first, passage_count=value.count
    )


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
                tier=int(step.tier),  # pyright: ignore[reportArgumentType]
                compared_count=step.compared,
                recall_class=int(step.recall),  # pyright: ignore[reportArgumentType]
                index_type=int(step.index_type),  # pyright: ignore[reportArgumentType]
                load_ms=step.load_ms,
            )
            for step in value.steps
        ],
        allowed_count=value.allowed_count,
        dropped=value.dropped,
    )


def timestamp(micros: int) -> Timestamp:
    """Returns a point in time."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def optional_timestamp(micros: int | None) -> Timestamp | None:
    """Returns a point in time; None for None."""
    return None if micros is None else timestamp(micros)


def _chunk(value: Chunk, *, with_vectors: bool, with_codes: bool) -> pb.Chunk:
    return pb.Chunk(
        chunk_id=value.chunk_id,
        start=value.start,
        end=value.end,
        heading_path=value.heading_path,
        page=value.page,
        vector=vectors_proto.to_message(value.vector) if with_vectors else None,
        token_codes=value.token_codes if with_codes else b"",
    )
