"""Leads older databases to today's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from services.retrieval.documents import Chunk, Document
from services.retrieval.store import codec, counts, tables
from services.retrieval.store.documents import code_rows, document_row
from services.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from services.sql.schema import Upgrade

_ADDED = {
    "retrieval_tenants": ("max_vectors BIGINT", "max_bytes BIGINT"),
    "retrieval_collections": tuple(
        f"{name} BIGINT NOT NULL DEFAULT 0"
        for name in (
            "document_count",
            "chunk_count",
            "vector_bytes",
            "text_bytes",
            "code_bytes",
            "checksum_xor",
            "checksum_sum",
        )
    ),
}
_FORMER = text(
    "SELECT * FROM retrieval_documents_1 WHERE collection_id = :collection ORDER BY document_id"
)
_FORMER_CHUNKS = text(
    """
    SELECT chunk_id, start_at, end_at, vector, heading_path, page, token_codes
    FROM retrieval_chunks WHERE collection_id = :collection AND document_id = :document
    ORDER BY ordinal
    """
)


def _pack_chunks(connection: Connection) -> None:
    """From one row for each chunk to one for each document, with counts for each collection."""
    for table, columns in _ADDED.items():
        for column in columns:
            connection.execute(text(f"ALTER TABLE {table} ADD COLUMN {column}"))
    connection.execute(text("DROP INDEX retrieval_documents_seq"))
    connection.execute(text("ALTER TABLE retrieval_documents RENAME TO retrieval_documents_1"))
    tables.metadata.create_all(connection)
    for collection_id in list(connection.scalars(text("SELECT id FROM retrieval_collections"))):
        for row in connection.execute(_FORMER, {"collection": collection_id}).mappings():
            document = _document(connection, row)
            packed = document_row(
                collection_id, document, row["version"], row["seq"], row["committed_micros"]
            )
            bulk.insert(connection, tables.documents, [packed])
            bulk.insert(connection, tables.token_codes, code_rows(collection_id, [document]))
        counts.restore(connection, collection_id)
    for table in ("retrieval_chunks", "retrieval_documents_1"):
        connection.execute(text(f"DROP TABLE {table}"))


def _document(connection: Connection, row: RowMapping) -> Document:
    chunks = connection.execute(
        _FORMER_CHUNKS, {"collection": row["collection_id"], "document": row["document_id"]}
    )
    return Document(
        document_id=row["document_id"],
        title=row["title"],
        uri=row["uri"],
        text=row["text"],
        metadata=codec.load_metadata(row["metadata"]),
        acl=codec.load_acl(row["acl"]),
        chunks=tuple(
            Chunk(
                chunk_id=chunk[0],
                start=chunk[1],
                end=chunk[2],
                vector=bytes(chunk[3]),
                heading_path=codec.load_texts(chunk[4]),
                page=chunk[5],
                token_codes=bytes(chunk[6] or b""),
            )
            for chunk in chunks
        ),
        content_hash=row["content_hash"],
        expires_micros=row["expires_micros"],
    )


UPGRADES: Mapping[int, Upgrade] = {1: _pack_chunks}
"""For each older version what leads to the next."""
