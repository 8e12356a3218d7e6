"""Tables of the sources. Times are integer microseconds since 1970 (UTC)."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

SCHEMA_VERSION = 1
COMPONENT = "ingestion_sources"

metadata = MetaData()

# SQLite numbers rows by itself only in a column that is spelled INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

sources = Table(
    "ingestion_sources",
    metadata,
    Column("source_key", _Number, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("name", String(64), nullable=False),
    Column("tenant_class", Integer, nullable=False),
    Column("settings_json", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # When it is gone through next; 0: only when asked.
    Column("due_us", BigInteger, nullable=False),
    # Number of the synchronisation that began last, and of the last that was asked for.
    Column("sync_number", BigInteger, nullable=False),
    Column("requested_number", BigInteger, nullable=False),
    Column("report_json", Text, nullable=False),
    Column("last_success_us", BigInteger, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    # Fencing token: rises with each claim and with each change of the settings.
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Index("ingestion_sources_name", "tenant", "name", unique=True),
    Index("ingestion_sources_due", "due_us"),
)

requests = Table(
    "ingestion_source_requests",
    metadata,
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("source_key", BigInteger, ForeignKey(sources.c.source_key), nullable=False, index=True),
    Column("paths_json", Text, nullable=False),
    Column("is_full", Boolean, nullable=False),
    Column("allow_empty", Boolean, nullable=False),
)

items = Table(
    "ingestion_source_items",
    metadata,
    Column("item_key", _Number, primary_key=True, autoincrement=True),
    Column("source_key", BigInteger, ForeignKey(sources.c.source_key), nullable=False),
    Column("path", Text, nullable=False),
    Column("collection", String(64), nullable=False),
    Column("document_id", String(512), nullable=False),
    Column("job_id", String(40), nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("placement", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_us", BigInteger, nullable=False),
    Column("submitted_us", BigInteger, nullable=False),
    # The last synchronisation of everything that saw it.
    Column("seen_number", BigInteger, nullable=False),
    Column("failure_reason", Text, nullable=False),
    Column("failure_message", Text, nullable=False),
    Column("failure_is_retryable", Boolean, nullable=False),
    Index("ingestion_source_items_path", "source_key", "path", unique=True),
    Index("ingestion_source_items_seen", "source_key", "seen_number"),
    Index("ingestion_source_items_job", "job_id"),
)

enrichment = Table(
    "ingestion_enrichment",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("collection", String(64), primary_key=True),
    Column("settings_json", Text, nullable=False),
)
