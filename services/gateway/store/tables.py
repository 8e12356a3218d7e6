"""Tables of the gateway. Times are UTC, as text of one fixed form, which orders and compares."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    func,
    text,
)

VERSION = 2
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
    # Whose key it is; empty: nobody's.
    Column("user_id", String(256), nullable=False, server_default=""),
    # "user" for people and programs outside, "service" for callers of the installation itself.
    Column("kind", String(16), nullable=False, server_default="user"),
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
    Column("secret_id", String(16), nullable=False),
    # When it ends because another one took over.
    Column("expires_at", String(32)),
    Column("last_used_at", String(32)),
    Index("gateway_key_secrets_by_key", "key_id"),
)

# One row says that the first admin key was made; processes that start together race for it.
marks = Table(
    "gateway_marks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
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


def _add_owners_and_rotation(connection: Connection) -> None:
    for table, column in (
        (api_keys, "user_id VARCHAR(256) NOT NULL DEFAULT ''"),
        (api_keys, "kind VARCHAR(16) NOT NULL DEFAULT 'user'"),
        (key_secrets, "secret_id VARCHAR(16) NOT NULL DEFAULT ''"),
        (key_secrets, "expires_at VARCHAR(32)"),
        (key_secrets, "last_used_at VARCHAR(32)"),
    ):
        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column}"))
    connection.execute(
        key_secrets.update().values(secret_id=func.substr(key_secrets.c.secret_hash, 1, 12))
    )


UPGRADES = {1: _add_owners_and_rotation}
"""What leads from each older version to the next."""


def time_text(moment: datetime) -> str:
    """Returns the stored form of a time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_time(stored: str | None) -> datetime | None:
    """Returns the time of a stored form."""
    if stored is None:
        return None
    return datetime.strptime(stored, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
