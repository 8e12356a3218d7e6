"""Tables of the ledger. Money is in whole picos of the currency."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import BigInteger, Boolean, Column, Index, MetaData, String, Table

from services.gateway.usage import CostParts, Usage

VERSION = 1
COMPONENT = "gateway_ledger"
USAGE_COLUMNS = tuple(each.name for each in fields(Usage))
COST_COLUMNS = tuple(f"cost_{each.name}" for each in fields(CostParts))
AMOUNT_COLUMNS = ("document_count", "byte_count", "vector_count")
SUM_COLUMNS = ("request_count", "failed_count", *AMOUNT_COLUMNS, *USAGE_COLUMNS, *COST_COLUMNS)

metadata = MetaData()


def _counts(*names: str) -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in names]


# Every event once, for as long as it is kept; the sums stay.
events = Table(
    "gateway_usage_events",
    metadata,
    Column("event_id", String(32), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("user_id", String(256), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("collection", String(64), nullable=False),
    Column("operation", String(32), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("model", String(256), nullable=False),
    Column("trace_id", String(32), nullable=False),
    Column("is_estimated", Boolean, nullable=False),
    *_counts(*AMOUNT_COLUMNS, *USAGE_COLUMNS, *COST_COLUMNS),
    Index("gateway_usage_events_by_tenant", "tenant", "event_id"),
)

sums = Table(
    "gateway_usage_sums",
    metadata,
    Column("tenant", String(128), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("operation", String(32), primary_key=True),
    Column("collection", String(64), primary_key=True),
    Column("user_id", String(256), primary_key=True),
    Column("key_id", String(64), primary_key=True),
    *_counts(*SUM_COLUMNS),
)

alerts = Table(
    "gateway_usage_alerts",
    metadata,
    Column("alert_id", String(32), primary_key=True),
    Column("tenant", String(128), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("subject", String(16), nullable=False),
    Column("subject_id", String(256), nullable=False),
    Column("resource", String(16), nullable=False),
    Column("period", String(16), nullable=False),
    Column("day_or_month", String(10), nullable=False),
    Column("threshold_percent", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("limit_amount", BigInteger, nullable=False),
    Column("at", String(32), nullable=False),
    Index(
        "gateway_usage_alerts_once",
        "tenant",
        "kind",
        "subject",
        "subject_id",
        "resource",
        "day_or_month",
        "threshold_percent",
        unique=True,
    ),
)
