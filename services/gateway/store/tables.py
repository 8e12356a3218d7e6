"""Tables of the gateway. Times are UTC, as text of one fixed form, which orders and compares."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

VERSION = 1
COMPONENT = "gateway"

metadata = MetaData()

api_keys = Table(
    "gateway_api_keys",
    metadata,
    Column("key_id", String(32), primary_key=True),
    Column("tenant", String(128), nullable=False, index=True),
    Column("name", String(128), nullable=False),
    Column("role", Integer, nullable=False),
    Column("principals", JSON, nullable=False),
    Column("tenant_class", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("expires_at", String(32)),
    Column("revoked_at", String(32)),
    Column("last_used_at", String(32)),
)

# A key may have several live secrets while one takes over from another.
key_secrets = Table(
    "gateway_key_secrets",
    metadata,
    Column("secret_hash", String(64), primary_key=True),
    Column("key_id", ForeignKey("gateway_api_keys.key_id", ondelete="CASCADE"), nullable=False),
    Column("pepper_id", String(12), nullable=False),
    Column("created_at", String(32), nullable=False),
    Column("revoked_at", String(32)),
    Index("gateway_key_secrets_by_key", "key_id"),
)

# One row says that the first admin key was made; processes that start together race for it.
marks = Table(
    "gateway_marks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)

usage_days = Table(
    "gateway_usage_days",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("operation", String(32), primary_key=True),
    Column("request_count", BigInteger, nullable=False),
    Column("embedding_tokens", BigInteger, nullable=False),
    Column("rerank_tokens", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("cached_prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("vectors_scanned", BigInteger, nullable=False),
    Column("embedding_cache_hits", BigInteger, nullable=False),
    Column("cost", Float, nullable=False),
)

feedback = Table(
    "gateway_feedback",
    metadata,
    Column("feedback_id", String(32), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("rating", String(8), nullable=False),
    Column("comment", Text, nullable=False),
    Column("markers", JSON, nullable=False),
    Column("created_at", String(32), nullable=False),
    Index("gateway_feedback_by_trace", "tenant", "trace_id"),
)


def time_text(moment: datetime) -> str:
    """Returns the stored form of a time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(text: str | None) -> datetime | None:
    """Returns the time of a stored form."""
    if text is None:
        return None
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
