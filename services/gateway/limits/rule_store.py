"""Limits in SQL, so that they outlive everything that counts them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, or_, select

from services.gateway.limits.rules import Mode, Period, Resource, Rule, Subject
from services.gateway.limits.tables import rules as table

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

CACHE_SECONDS = 3.0
"""A changed limit holds everywhere after this time."""

_CACHE_ENTRIES = 10_000
MAX_RULES = 10_000
"""Rules of one tenant."""


class RuleStore:
    """Keeps limits.

    Args:
        reader: For look-ups.
        writer: For changes.
        clock: Monotonic seconds, for the cache.
    """

    def __init__(
        self, reader: Reader, writer: GroupWriter, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, tuple[Rule, ...]]] = OrderedDict()

    async def of_tenant(self, tenant: str) -> tuple[Rule, ...]:
        """Returns what was set for the tenant and for tiers, `CACHE_SECONDS` old at most."""
        cached = self._cache.get(tenant)
        now = self._clock()
        if cached is not None and cached[0] > now:
            return cached[1]
        found = await self.listed(tenant)
        self._cache[tenant] = (now + CACHE_SECONDS, found)
        self._cache.move_to_end(tenant)
        while len(self._cache) > _CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return found

    async def listed(self, tenant: str) -> tuple[Rule, ...]:
        """Returns what was set for the tenant and for tiers, as it is now."""
        query = (
            select(table)
            .where(or_(table.c.tenant == tenant, table.c.tier != ""))
            .order_by(
                table.c.tier,
                table.c.subject,
                table.c.subject_id,
                table.c.resource,
                table.c.period,
            )
            .limit(MAX_RULES)
        )
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return tuple(_rule(row) for row in rows)

    async def put(self, rule: Rule) -> None:
        """Sets a limit in place of the one that was there."""

        def replace(connection: Connection) -> None:
            connection.execute(delete(table).where(_is(rule)))
            connection.execute(
                table.insert().values(
                    tier=rule.tier,
                    tenant=rule.tenant,
                    subject=rule.subject.value,
                    subject_id=rule.subject_id,
                    resource=rule.resource.value,
                    period=rule.period.value,
                    amount=rule.amount,
                    burst=rule.burst,
                    mode=rule.mode.value,
                    updated_at=rule.updated_at,
                    updated_by=rule.updated_by,
                )
            )

        await self._writer.run(replace)
        self._cache.clear()

    async def remove(self, rule: Rule) -> bool:
        """Removes what was set; says whether there was something."""
        count = await self._writer.run(
            lambda connection: connection.execute(delete(table).where(_is(rule))).rowcount
        )
        self._cache.clear()
        return bool(count)


def _is(rule: Rule) -> ColumnElement[bool]:
    return and_(
        table.c.tier == rule.tier,
        table.c.tenant == rule.tenant,
        table.c.subject == rule.subject.value,
        table.c.subject_id == rule.subject_id,
        table.c.resource == rule.resource.value,
        table.c.period == rule.period.value,
    )


def _rule(row: Row[Any]) -> Rule:
    return Rule(
        subject=Subject(row.subject),
        resource=Resource(row.resource),
        period=Period(row.period),
        amount=row.amount,
        burst=row.burst,
        mode=Mode(row.mode),
        tier=row.tier,
        tenant=row.tenant,
        subject_id=row.subject_id,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )
