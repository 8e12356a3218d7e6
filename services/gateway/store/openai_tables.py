"""Tables of what OpenAI's API keeps beside documents and collections."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

VERSION = 1
COMPONENT = "gateway_openai"

metadata = MetaData()

files = Table(
    "gateway_files",
    metadata,
    Column("file_id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("owner", String(256), nullable=False),
    Column("file_name", String(1024), nullable=False),
    Column("content_type", String(256), nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Index("gateway_files_by_time", "tenant", "created_at", "file_id"),
    Index("gateway_files_by_expiry", "expires_at"),
)

# In pieces, so that neither a database driver nor this process ever holds a whole large file.
file_pieces = Table(
    "gateway_file_pieces",
    metadata,
    Column("file_id", ForeignKey("gateway_files.file_id", ondelete="CASCADE"), primary_key=True),
    Column("ordinal", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# What a vector store has that its collection has not.
vector_stores = Table(
    "gateway_vector_stores",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("collection", String(64), primary_key=True),
    Column("name", String(512), nullable=False),
    Column("metadata", JSON, nullable=False),
)

file_batches = Table(
    "gateway_file_batches",
    metadata,
    Column("batch_id", String(64), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("entries", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("cancelled_at", String(32)),
)
