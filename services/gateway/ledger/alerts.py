"""What was noticed about usage: budgets that run out, days that are out of the ordinary."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from services.gateway.ledger.tables import alerts as table
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Row

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

_MOST = 200
_NOTICED = Counter(
    "cairn_gateway_usage_alerts_total",
    "Budgets that ran low and days out of the ordinary.",
    ["kind"],
)


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing that was noticed, once for all replicas."""

    tenant: str
    kind: str
    """ "budget": a part of a budget is used; "spike": a day is far above those before it."""
    subject: str
    subject_id: str
    resource: str
    period: str
    window: str
    """Month or day that it was noticed for."""
    threshold_percent: int
    """Part of the budget that was passed; of spikes, the day in percent of the days before."""
    used: int
    limit: int
    """The budget; of spikes, the mean of the days before. Money in nanos."""
    alert_id: str = ""
    at: str = ""


class AlertStore:
    """Keeps alerts, each once.

    Args:
        reader: For look-ups.
        writer: For new ones.
    """

    def __init__(self, reader: Reader, writer: GroupWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def add(self, found: Sequence[Alert]) -> int:
        """Adds those that are new; returns how many were."""
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

        def insert(connection: Connection) -> list[Alert]:
            dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
            fresh = []
            for each in found:
                statement = dialect.insert(table).values(**_row(each, at)).on_conflict_do_nothing()
                if connection.execute(statement).rowcount:
                    fresh.append(each)
            return fresh

        fresh = await self._writer.run(insert)
        for each in fresh:
            _NOTICED.labels(each.kind).inc()
            get_logger().warning(
                "usage alert",
                kind=each.kind,
                subject=each.subject,
                resource=each.resource,
                window=each.window,
                percent=each.threshold_percent,
            )
        return len(fresh)

    async def latest(self, tenant: str) -> tuple[Alert, ...]:
        """Returns the latest alerts of a tenant, the latest first."""
        query = (
            select(table)
            .where(table.c.tenant == tenant)
            .order_by(table.c.at.desc(), table.c.alert_id)
            .limit(_MOST)
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return tuple(_alert(row) for row in rows)


def _row(alert: Alert, at: str) -> dict[str, Any]:
    return {
        "alert_id": secrets.token_hex(16),
        "tenant": alert.tenant,
        "kind": alert.kind,
        "subject": alert.subject,
        "subject_id": alert.subject_id,
        "resource": alert.resource,
        "period": alert.period,
        "day_or_month": alert.window,
        "threshold_percent": alert.threshold_percent,
        "used": alert.used,
        "limit_amount": alert.limit,
        "at": at,
    }


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        tenant=row.tenant,
        kind=row.kind,
        subject=row.subject,
        subject_id=row.subject_id,
        resource=row.resource,
        period=row.period,
        window=row.day_or_month,
        threshold_percent=row.threshold_percent,
        used=row.used,
        limit=row.limit_amount,
        alert_id=row.alert_id,
        at=row.at,
    )
