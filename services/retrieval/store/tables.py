"""Tables of the store. Both databases get the same shape.

Every committed write takes the next number of its tenant's counter, whose row it locks until it
commits: numbers become visible in their order, so who reads "all changes after n" misses none. A
document carries the number of its newest version, a deletion that of the delete; together they are
the log that views follow.

A document is one row: its chunks are packed into one column and their vectors into another, the
last one, so that who wants the text of a hit never touches them. Only the token codes of chunks,
several times as large as the vectors, lie by themselves: they are read for a few candidates.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    event,
)

VERSION = 2
COMPONENT = "retrieval"

metadata = MetaData()
_key = BigInteger().with_variant(Integer, "sqlite")

tenants = Table(
    "retrieval_tenants",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("max_vectors", BigInteger),
    Column("max_bytes", BigInteger),
)
"""The counter of each tenant, and what it may store at most; NULL: the service's default."""

catalog = Table(
    "retrieval_catalog",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("version", BigInteger, nullable=False),
)
"""One row; its version rises when collections, their fields or aliases change."""

collections = Table(
    "retrieval_collections",
    metadata,
    Column("id", _key, primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("settings", Text, nullable=False),
    Column("fields", Text, nullable=False),
    Column("created_micros", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("document_count", BigInteger, nullable=False, server_default="0"),
    Column("chunk_count", BigInteger, nullable=False, server_default="0"),
    Column("vector_bytes", BigInteger, nullable=False, server_default="0"),
    Column("text_bytes", BigInteger, nullable=False, server_default="0"),
    Column("code_bytes", BigInteger, nullable=False, server_default="0"),
    Column("checksum_xor", BigInteger, nullable=False, server_default="0"),
    Column("checksum_sum", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("tenant", "name"),
    sqlite_autoincrement=True,  # ids are never used again
)
"""The counts and the checksum are those of the collection's documents at `seq`."""

aliases = Table(
    "retrieval_aliases",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("collection_id", _key, ForeignKey("retrieval_collections.id"), nullable=False),
)

documents = Table(
    "retrieval_documents",
    metadata,
    Column("collection_id", _key, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("text_bytes", BigInteger, nullable=False),
    Column("code_bytes", BigInteger, nullable=False),
    Column("expires_micros", BigInteger),
    Column("committed_micros", BigInteger, nullable=False),
    Column("title", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("acl", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("chunks", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),
    Column("vectors", LargeBinary, nullable=False),
    Index("retrieval_documents_seq", "collection_id", "seq", "document_id"),
)
"""`chunks` is what `chunk_table` packs; `vectors` holds theirs one after the other, float32."""

Index(
    "retrieval_documents_expiry",
    documents.c.expires_micros,
    sqlite_where=documents.c.expires_micros.is_not(None),
    postgresql_where=documents.c.expires_micros.is_not(None),
)

# Floats do not compress: PostgreSQL is not to try.
event.listen(
    documents,
    "after_create",
    DDL("ALTER TABLE retrieval_documents ALTER COLUMN vectors SET STORAGE EXTERNAL").execute_if(
        dialect="postgresql"
    ),
)

token_codes = Table(
    "retrieval_token_codes",
    metadata,
    Column("collection_id", _key, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("codes", LargeBinary, nullable=False),
)
"""Compressed token vectors of the chunks that have any."""

deletions = Table(
    "retrieval_deletions",
    metadata,
    Column("collection_id", _key, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Index("retrieval_deletions_seq", "collection_id", "seq"),
)
"""The newest deletion of each document that was ever deleted, with the version it had."""

dropped = Table(
    "retrieval_dropped",
    metadata,
    Column("collection_id", _key, primary_key=True, autoincrement=False),
)
"""Collections that do not exist any more and whose documents are still to be deleted."""
