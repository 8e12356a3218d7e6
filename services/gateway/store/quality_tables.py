"""Tables of what is known about the quality of answers."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, MetaData, String, Table

VERSION = 1
COMPONENT = "gateway_quality"

metadata = MetaData()

calibrations = Table(
    "gateway_calibrations",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("collection", String(256), primary_key=True),
    Column("min_support", Float, nullable=False),
    # Counts and rates that it was found from.
    Column("figures", JSON, nullable=False),
    Column("updated_at", String(32), nullable=False),
)

# What the answer that a rating is about was made of.
feedback_origins = Table(
    "gateway_feedback_origins",
    metadata,
    Column("feedback_id", String(32), primary_key=True),
    # Keyed: equal questions of a tenant have equal hashes, and nobody reads them back.
    Column("query_hash", String(64), nullable=False),
    Column("versions", JSON, nullable=False),
)
