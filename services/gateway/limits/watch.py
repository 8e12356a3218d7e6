"""Notices budgets that run low and days that are out of the ordinary."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway.ledger.alerts import Alert, AlertStore
from services.gateway.ledger.sums import UsageFilter, UsageSum
from services.gateway.limits.ledger_seeds import amount_of, filter_of
from services.gateway.limits.rules import Period, Resource, Subject
from services.rpc.errors import ServiceError

if TYPE_CHECKING:
    from services.gateway.ledger.events import Payer, UsageEvent
    from services.gateway.ledger.ledger import Ledger
    from services.gateway.limits.rules import Limit

CHECK_SECONDS = 5.0
"""How often the budgets of one who uses something are looked at."""

THRESHOLDS_PERCENT = (50, 80, 100)
"""Parts of a budget that are told of."""

SPIKE_FACTOR = 3
"""A day is out of the ordinary at so many times the mean of the days before."""
SPIKE_DAYS = 7
SPIKE_LEAST_REQUESTS = 1_000
"""Below so many requests a day nothing is out of the ordinary."""
SPIKE_LEAST_DAYS = 3
"""Days with use that a mean is made of at least."""

_MAX_SEEN = 20_000
_PICOS_PER_NANO = 1_000

LimitsOf = Callable[["Payer"], "Sequence[Limit]"]
RaiseTo = Callable[["Limit", float], Awaitable[None]]


class Watch:
    """Looks at those who used something, a few seconds after they did.

    Args:
        ledger: What was used.
        alerts: Where what is noticed goes.
        limits_of: Limits of a payer, as they were when it last asked.
        raise_to: Lets a limit count what the ledger has, if that is more.
        now: The time.
    """

    def __init__(
        self,
        ledger: Ledger,
        alerts: AlertStore,
        limits_of: LimitsOf,
        raise_to: RaiseTo,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._ledger = ledger
        self._alerts = alerts
        self._limits_of = limits_of
        self._raise_to = raise_to
        self._now = now
        self._active: set[Payer] = set()
        self._told: set[Alert] = set()

    async def added(self, batch: Sequence[UsageEvent]) -> None:
        """Notes who used something; the next `look` looks at them."""
        self._active |= {event.payer for event in batch}

    async def look(self) -> int:
        """Looks at those who used something; returns how many alerts were new.

        Raises:
            ServiceError: the store does not answer.
        """
        payers, self._active = self._active, set()
        found: set[Alert] = set()
        totals: dict[UsageFilter, UsageSum] = {}
        for payer in payers:
            for limit in self._limits_of(payer):
                found |= set(await self._budget(limit, totals))
        for tenant in {payer.tenant for payer in payers}:
            found |= set(await self._spikes(tenant))
        # What was told before is in the store: no need to try it each time.
        fresh = [each for each in found if _name(each) not in self._told]
        if not fresh:
            return 0
        count = await self._alerts.add(fresh)
        if len(self._told) > _MAX_SEEN:
            self._told.clear()
        self._told |= {_name(each) for each in fresh}
        return count

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks regularly while the block runs."""

        async def look_regularly() -> None:
            while True:
                await asyncio.sleep(CHECK_SECONDS)
                with contextlib.suppress(ServiceError):
                    await self.look()

        async with asyncio.TaskGroup() as group:
            task = group.create_task(look_regularly())
            try:
                yield
            finally:
                task.cancel()

    async def _budget(self, limit: Limit, totals: dict[UsageFilter, UsageSum]) -> list[Alert]:
        if limit.rule.period not in {Period.DAY, Period.MONTH} or not limit.amount:
            return []
        now = self._now()
        which = filter_of(limit, now)
        if which not in totals:
            totals[which] = await self._ledger.stored_total(which)
        used = amount_of(totals[which], limit)
        await self._raise_to(limit, used)
        return [
            Alert(
                tenant=limit.tenant,
                kind="budget",
                subject=limit.rule.subject.value,
                subject_id=limit.subject_id,
                resource=limit.rule.resource.value,
                period=limit.rule.period.value,
                window=limit.window(now),
                threshold_percent=percent,
                used=int(used),
                limit=limit.amount,
            )
            for percent in THRESHOLDS_PERCENT
            if used * 100 >= limit.amount * percent
        ]

    async def _spikes(self, tenant: str) -> list[Alert]:
        today = self._now().strftime("%Y-%m-%d")
        first = (self._now() - timedelta(days=SPIKE_DAYS)).strftime("%Y-%m-%d")
        rows = await self._ledger.stored_rows(UsageFilter(first, today, tenant), ("day",))
        before = [row for row in rows if row.day != today]
        (day,) = [row for row in rows if row.day == today] or [None]
        if day is None or len(before) < SPIKE_LEAST_DAYS:
            return []
        found = []
        for resource, figure in (
            (Resource.REQUESTS, lambda row: row.request_count),
            (Resource.TOKENS, lambda row: row.usage.tokens),
            (Resource.COST, lambda row: row.cost.total // _PICOS_PER_NANO),
        ):
            mean = sum(map(figure, before)) / len(before)
            used = figure(day)
            if day.request_count >= SPIKE_LEAST_REQUESTS and mean and used >= SPIKE_FACTOR * mean:
                found.append(
                    Alert(
                        tenant=tenant,
                        kind="spike",
                        subject=Subject.TENANT.value,
                        subject_id=tenant,
                        resource=resource.value,
                        period=Period.DAY.value,
                        window=today,
                        threshold_percent=SPIKE_FACTOR * 100,
                        used=used,
                        limit=int(mean),
                    )
                )
        return found


def _name(alert: Alert) -> Alert:
    """Returns what tells an alert from others: all but how far it had come."""
    return replace(alert, used=0, limit=0)
