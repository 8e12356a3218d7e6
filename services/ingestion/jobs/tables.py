"""Tables of the queue. Times are integer microseconds since 1970 (UTC) in every database."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    text,
)

SCHEMA_VERSION = 1
COMPONENT = "ingestion"

metadata = MetaData()

# SQLite numbers rows by itself only in a column that is spelled INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

documents = Table(
    "ingestion_documents",
    metadata,
    Column("document_key", _Number, primary_key=True, autoincrement=True),
    Column("tenant", String(128), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("document_id", String(512), nullable=False),
    # Rises with each accepted job and with each deletion: whoever holds an older one is late.
    Column("generation", BigInteger, nullable=False),
    Column("is_deleted", Boolean, nullable=False),
    # What retrieval holds: written by the job that was indexed last.
    Column("indexed_generation", BigInteger, nullable=False),
    Column("indexed_version", BigInteger, nullable=False),
    Column("indexed_job_id", String(40), nullable=False),
    Column("indexed_fingerprint", String(64), nullable=False),
    # While set, a worker may be writing to retrieval: nobody deletes or writes before it ends.
    Column("indexing_token", BigInteger, nullable=False),
    Column("indexing_until_us", BigInteger, nullable=False),
    # Deletions are sent to retrieval again after this, in case a late write slipped in.
    Column("purge_at_us", BigInteger, nullable=False),
    Index("ingestion_documents_name", "tenant", "collection", "document_id", unique=True),
    Index(
        "ingestion_documents_purge",
        "purge_at_us",
        sqlite_where=text("purge_at_us > 0"),
        postgresql_where=text("purge_at_us > 0"),
    ),
    # A key that was used is never used again, as in PostgreSQL.
    sqlite_autoincrement=True,
)

jobs = Table(
    "ingestion_jobs",
    metadata,
    # Order of acceptance.
    Column("number", _Number, primary_key=True, autoincrement=True),
    Column("job_id", String(40), nullable=False, unique=True),
    Column("tenant", String(128), nullable=False),
    Column("tenant_class", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("collection", String(64), nullable=False),
    Column("document_id", String(512), nullable=False),
    Column("document_key", BigInteger, ForeignKey(documents.c.document_key), nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("is_latest", Boolean, nullable=False),
    Column("uri", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("file_name", Text, nullable=False),
    Column("declared_type", Text, nullable=False),
    Column("content_type", Text, nullable=False),
    Column("metadata_json", Text, nullable=False),
    Column("acl_json", Text, nullable=False),
    Column("idempotency_key", Text, nullable=True),
    Column("fingerprint", String(64), nullable=False),
    # Whose bytes these are: the job's own, or those of an earlier job that is run again.
    Column("content_id", String(40), nullable=False),
    Column("content_digest", String(64), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    # 0 HIGH, 1 NORMAL, 2 LOW: ascending, as the index is.
    Column("rank", Integer, nullable=False),
    Column("state", Integer, nullable=False),
    Column("stage", Integer, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("postponed_count", Integer, nullable=False),
    Column("next_attempt_us", BigInteger, nullable=False),
    Column("failure_reason", Text, nullable=False),
    Column("failure_message", Text, nullable=False),
    Column("failure_stage", Integer, nullable=False),
    Column("failure_is_retryable", Boolean, nullable=False),
    Column("lease_owner", String(64), nullable=False),
    # Fencing token: rises with each claim; writes with an older one are refused.
    Column("lease_token", BigInteger, nullable=False),
    Column("lease_until_us", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    # Rises with each change that a watcher cares about.
    Column("revision", BigInteger, nullable=False),
    Column("chunk_count", Integer, nullable=False),
    Column("reused_chunk_count", Integer, nullable=False),
    Column("document_version", BigInteger, nullable=False),
    Column("warnings_json", Text, nullable=False),
    Column("stage_seconds_json", Text, nullable=False),
    Column("traceparent", Text, nullable=False),
    Index("ingestion_jobs_claim", "state", "tenant", "rank", "number"),
    Index("ingestion_jobs_due", "state", "next_attempt_us"),
    Index("ingestion_jobs_lease", "state", "lease_until_us"),
    Index("ingestion_jobs_document", "document_key", "generation"),
    Index("ingestion_jobs_list", "tenant", "collection", "number"),
    Index("ingestion_jobs_state", "tenant", "state", "number"),
    Index("ingestion_jobs_idempotency", "tenant", "idempotency_key", unique=True),
    sqlite_autoincrement=True,
)

contents = Table(
    "ingestion_contents",
    metadata,
    Column("content_id", String(40), primary_key=True),
    Column("piece", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

artifacts = Table(
    "ingestion_artifacts",
    metadata,
    Column("job_id", String(40), primary_key=True),
    # "parsed", "chunks", "coded-vectors"
    Column("kind", String(16), primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

turns = Table(
    "ingestion_turns",
    metadata,
    Column("tenant", String(128), primary_key=True),
    # When a job of the tenant was claimed last: the tenant that waited longest is next.
    Column("served_us", BigInteger, nullable=False),
)
