"""Table of the limits that somebody set."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, MetaData, String, Table

VERSION = 1
COMPONENT = "gateway_limits"

metadata = MetaData()

rules = Table(
    "gateway_limit_rules",
    metadata,
    Column("tier", String(16), primary_key=True),
    Column("tenant", String(128), primary_key=True),
    Column("subject", String(16), primary_key=True),
    Column("subject_id", String(256), primary_key=True),
    Column("resource", String(16), primary_key=True),
    Column("period", String(16), primary_key=True),
    # Null lifts a wider rule.
    Column("amount", BigInteger),
    Column("burst", BigInteger),
    Column("mode", String(16), nullable=False),
    Column("updated_at", String(32), nullable=False),
    Column("updated_by", String(256), nullable=False),
)
