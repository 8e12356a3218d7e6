"""Tables of the audit log, with a version of their own."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, MetaData, String, Table, Text

VERSION = 1
COMPONENT = "gateway_audit"

metadata = MetaData()

# One chain per tenant; the tenant "" is the installation's own.
entries = Table(
    "gateway_audit_entries",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", String(32), nullable=False),
    Column("actor", String(264), nullable=False),
    Column("action", String(32), nullable=False),
    Column("outcome", String(32), nullable=False),
    # The entry as it was hashed: the columns beside it only serve to find it.
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    Index("gateway_audit_entries_by_actor", "tenant", "actor", "seq"),
)

# The end of each chain, from which it goes on: replicas take turns by its row.
heads = Table(
    "gateway_audit_heads",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    # Entries up to this one were removed when they were too old; the hash of the last of them.
    Column("floor_seq", BigInteger, nullable=False),
    Column("floor_hash", String(64), nullable=False),
    # Keyed hash over floor and tenant: a chain cannot be cut by moving its floor.
    Column("floor_proof", String(64), nullable=False),
)
