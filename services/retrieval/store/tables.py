"""Tables of the store. Both databases get the same shape.

Every committed write takes the next number of its tenant's counter, whose row it locks until it
commits: numbers become visible in their order, so who reads "all changes after n" misses none. A
document carries the number of its newest version, a deletion that of the delete; together they are
the log that views follow.
"""

from __future__ import annotations

from sqlalchemy import (
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
)

VERSION = 1
COMPONENT = "retrieval"

metadata = MetaData()
_key = BigInteger().with_variant(Integer, "sqlite")

tenants = Table(
    "retrieval_tenants",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

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
    UniqueConstraint("tenant", "name"),
    sqlite_autoincrement=True,  # ids are never used again
)

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
    Column("title", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("acl", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("expires_micros", BigInteger),
    Column("committed_micros", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Index("retrieval_documents_seq", "collection_id", "seq", "document_id"),
)

chunks = Table(
    "retrieval_chunks",
    metadata,
    Column("collection_id", _key, primary_key=True, autoincrement=False),
    Column("document_id", Text, primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("chunk_id", Text, nullable=False),
    Column("start_at", BigInteger, nullable=False),
    Column("end_at", BigInteger, nullable=False),
    Column("heading_path", Text, nullable=False),
    Column("page", Integer, nullable=False),
    Column("vector", LargeBinary, nullable=False),
    Column("token_codes", LargeBinary),
)

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
