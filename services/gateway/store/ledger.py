"""What each tenant used, per day and operation. Rows add up over replicas and restarts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prometheus_client import Counter
from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite

from services.gateway.store.tables import usage_days
from services.gateway.usage import Cost, Usage
from services.rpc.errors import ServiceError
from services.rpc.logs import get_logger

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.gateway.usage import PriceTable
    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

FLUSH_SECONDS = 1.0
"""Rows gather this long, so that a request never waits for the disk on their account."""

_MAX_ROWS = 1_000
_COUNTS = tuple(field.name for field in fields(Usage))
_METERED = Counter("cairn_gateway_metered_requests_total", "Requests metered.", ["operation"])


@dataclass(frozen=True, slots=True)
class UsageRow:
    """What one operation used on one day."""

    day: str
    """UTC, "YYYY-MM-DD"."""
    operation: str
    request_count: int
    usage: Usage
    cost: Cost


class Ledger:
    """Meters requests.

    Args:
        reader: For queries.
        writer: For rows.
        prices: What usage costs.
        now: The time.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        prices: PriceTable,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._prices = prices
        self._now = now
        self._pending: dict[tuple[str, str, str], tuple[int, Usage]] = {}

    def record(self, tenant: str, operation: str, usage: Usage | None = None) -> None:
        """Meters one request; it is in the store at the latest `FLUSH_SECONDS` later."""
        key = (tenant, self._now().strftime("%Y-%m-%d"), operation)
        count, total = self._pending.get(key, (0, Usage()))
        self._pending[key] = (count + 1, total + (usage or Usage()))
        _METERED.labels(operation).inc()

    async def flush(self) -> None:
        """Writes what has gathered.

        Raises:
            ServiceError: the store does not take it; nothing is lost.
        """
        pending, self._pending = self._pending, {}
        if not pending:
            return
        rows = [
            {
                "tenant": tenant,
                "day": day,
                "operation": operation,
                "request_count": count,
                **asdict(usage),
                "cost": self._prices.cost(usage).amount,
            }
            for (tenant, day, operation), (count, usage) in pending.items()
        ]
        try:
            await self._writer.run(lambda connection: _add(connection, rows))
        except ServiceError:
            for key, (count, usage) in pending.items():
                now_count, now_usage = self._pending.get(key, (0, Usage()))
                self._pending[key] = (now_count + count, now_usage + usage)
            raise

    async def rows(self, tenant: str, from_day: str, to_day: str) -> tuple[UsageRow, ...]:
        """Returns the rows of a tenant between two days, both included, in order."""
        await self.flush()
        query = (
            select(usage_days)
            .where(
                usage_days.c.tenant == tenant,
                usage_days.c.day >= from_day,
                usage_days.c.day <= to_day,
            )
            .order_by(usage_days.c.day, usage_days.c.operation)
            .limit(10 * _MAX_ROWS)
        )
        found = await self._reader.run(lambda connection: connection.execute(query).all())
        return tuple(
            UsageRow(
                day=row.day,
                operation=row.operation,
                request_count=row.request_count,
                usage=Usage(**{name: getattr(row, name) for name in _COUNTS}),
                cost=Cost(row.cost, self._prices.currency),
            )
            for row in found
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flushes regularly while the block runs, and once more at its end."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._flush_regularly())
            try:
                yield
            finally:
                task.cancel()
        with contextlib.suppress(ServiceError):
            await self.flush()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            try:
                await self.flush()
            except ServiceError as error:
                get_logger().warning("usage not written yet", reason=error.reason.value)


def _add(connection: Connection, rows: list[dict[str, Any]]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    insert = dialect.insert(usage_days)
    sums = {
        name: usage_days.c[name] + insert.excluded[name]
        for name in ("request_count", *_COUNTS, "cost")
    }
    connection.execute(
        insert.on_conflict_do_update(index_elements=["tenant", "day", "operation"], set_=sums), rows
    )
