"""What changed after a sequence number: the log that views follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from services.filters.values import Value
from services.retrieval.store import codec
from services.retrieval.store.tables import collections, deletions, tenants

_DOCUMENTS_PER_PART = 256


@dataclass(frozen=True, slots=True)
class ChunkState:
    """What a view needs of a chunk; its ordinal is its place in the document."""

    start: int
    end: int
    heading_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DocumentState:
    """What a view needs of a document."""

    document_id: str
    version: int
    title: str
    uri: str
    text: str
    metadata: dict[str, Value | None]
    acl: tuple[str, ...]
    expires_micros: int | None
    chunks: tuple[ChunkState, ...]
    vectors: bytes
    """Those of all chunks one after the other, little-endian float32, as they were sent."""


@dataclass(frozen=True, slots=True)
class Change:
    """One committed write of a collection, as the process that made it knows it."""

    previous_seq: int
    """Newest write of the collection before this one."""
    seq: int
    """Its number; all of the tenant's writes up to it are committed."""
    written: Sequence[DocumentState] = ()
    deleted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Position:
    """How far the log has come, in one consistent read."""

    seq: int
    """Newest write of the collection."""
    tenant_seq: int
    """Newest write of its tenant, in whichever collection."""


def positions(connection: Connection, ids: Sequence[int]) -> dict[int, Position]:
    """Returns where the logs of the collections stand; deleted ones are missing."""
    rows = connection.execute(
        select(collections.c.id, collections.c.seq, tenants.c.seq)
        .join(tenants, tenants.c.tenant == collections.c.tenant)
        .where(collections.c.id.in_(ids))
    )
    return {row[0]: Position(row[1], row[2]) for row in rows}


def deleted_after(connection: Connection, collection_id: int, seq: int) -> list[str]:
    """Returns the documents deleted after a number; some may have been written again since."""
    query = select(deletions.c.document_id).where(
        deletions.c.collection_id == collection_id, deletions.c.seq > seq
    )
    return list(connection.scalars(query))


_DOCUMENTS = text(
    """
    SELECT document_id, seq, version, title, uri, text, metadata, acl, expires_micros
    FROM retrieval_documents
    WHERE collection_id = :collection AND (seq, document_id) > (:seq, :document)
    ORDER BY seq, document_id LIMIT :part
    """
)
_CHUNKS = text(
    """
    WITH part AS (
      SELECT document_id FROM retrieval_documents
      WHERE collection_id = :collection AND (seq, document_id) > (:seq, :document)
      ORDER BY seq, document_id LIMIT :part
    )
    SELECT c.document_id, c.start_at, c.end_at, c.heading_path, c.vector
    FROM part JOIN retrieval_chunks c
      ON c.collection_id = :collection AND c.document_id = part.document_id
    ORDER BY c.document_id, c.ordinal
    """
)


def written_after(
    connection: Connection, collection_id: int, seq: int
) -> Iterator[list[DocumentState]]:
    """Yields the documents whose newest version was written after a number, part by part.

    Run it inside one snapshot transaction: then all parts together are one state of the collection.
    """
    # A document id is at least one character: "" sorts before all of the next number's.
    last_seq, last_id = seq + 1, ""
    while True:
        where = {
            "collection": collection_id,
            "seq": last_seq,
            "document": last_id,
            "part": _DOCUMENTS_PER_PART,
        }
        rows = connection.execute(_DOCUMENTS, where).all()
        if not rows:
            return
        parts: dict[str, list[ChunkState]] = {}
        vectors: dict[str, list[bytes]] = {}
        for row in connection.execute(_CHUNKS, where):
            chunk = ChunkState(row[1], row[2], codec.load_texts(row[3]))
            parts.setdefault(row[0], []).append(chunk)
            vectors.setdefault(row[0], []).append(bytes(row[4]))
        yield [
            DocumentState(
                document_id=row.document_id,
                version=row.version,
                title=row.title,
                uri=row.uri,
                text=row.text,
                metadata=codec.load_metadata(row.metadata),
                acl=codec.load_texts(row.acl),
                expires_micros=row.expires_micros,
                chunks=tuple(parts.get(row.document_id, ())),
                vectors=b"".join(vectors.get(row.document_id, ())),
            )
            for row in rows
        ]
        last_seq, last_id = rows[-1].seq, rows[-1].document_id
