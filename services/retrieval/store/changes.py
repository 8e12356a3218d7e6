"""What changed after a sequence number: the log that views follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, text

from services.filters.values import Value
from services.retrieval.store import chunk_table, codec
from services.retrieval.store.checksum import Checksum, to_unsigned
from services.retrieval.store.chunk_table import ChunkEntry
from services.retrieval.store.tables import collections, deletions, tenants

_DOCUMENTS_PER_PART = 256
_BYTES_PER_PART = 16 << 20
_ROWS_AT_ONCE = 64
"""Rows that PostgreSQL sends at a time."""


@dataclass(slots=True)
class DocumentState:
    """What a view needs of a document. Not frozen for speed, as `documents.Document` is not."""

    document_id: str
    version: int
    title: str
    uri: str
    text: str
    metadata: Mapping[str, Value | None]
    acl: tuple[str, ...]
    expires_micros: int | None
    chunks: Sequence[ChunkEntry]
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
    checksum: Checksum
    """Of the collection's documents at `seq`."""


def positions(connection: Connection, ids: Sequence[int]) -> dict[int, Position]:
    """Returns where the logs of the collections stand; deleted ones are missing."""
    rows = connection.execute(
        select(
            collections.c.id,
            collections.c.seq,
            tenants.c.seq,
            collections.c.document_count,
            collections.c.chunk_count,
            collections.c.checksum_xor,
            collections.c.checksum_sum,
        )
        .join(tenants, tenants.c.tenant == collections.c.tenant)
        .where(collections.c.id.in_(ids))
    )
    return {
        row[0]: Position(
            row[1],
            row[2],
            Checksum(row[3], row[4], to_unsigned(row[5]), to_unsigned(row[6])),
        )
        for row in rows
    }


def deleted_after(connection: Connection, collection_id: int, seq: int) -> list[str]:
    """Returns the documents deleted after a number; some may have been written again since."""
    query = select(deletions.c.document_id).where(
        deletions.c.collection_id == collection_id, deletions.c.seq > seq
    )
    return list(connection.scalars(query))


_WRITTEN = text(
    """
    SELECT document_id, version, chunk_count, expires_micros, title, uri, metadata, acl,
           chunks, text, vectors
    FROM retrieval_documents
    WHERE collection_id = :collection AND seq > :seq
    ORDER BY seq, document_id
    """
)


def written_after(
    connection: Connection, collection_id: int, seq: int
) -> Iterator[list[DocumentState]]:
    """Yields the documents whose newest version was written after a number, part by part.

    Run it inside one snapshot transaction: then all parts together are one state of the collection.
    What is in memory at a time is bounded by a part of it.
    """
    rows = connection.execute(
        _WRITTEN,
        {"collection": collection_id, "seq": seq},
        execution_options={"stream_results": True, "max_row_buffer": _ROWS_AT_ONCE},
    )
    part: list[DocumentState] = []
    nbytes = 0
    for row in rows:
        part.append(_state(row))
        nbytes += len(row[9]) + len(row[10])
        if len(part) == _DOCUMENTS_PER_PART or nbytes > _BYTES_PER_PART:
            yield part
            part, nbytes = [], 0
    if part:
        yield part


def _state(row: Any) -> DocumentState:
    (document_id, version, count, expires, title, uri, metadata, acl, chunks, body, vectors) = row
    return DocumentState(
        document_id,
        version,
        title,
        uri,
        body,
        codec.load_metadata(metadata),
        codec.load_acl(acl),
        expires,
        chunk_table.unpack(chunks, count),
        vectors,
    )
