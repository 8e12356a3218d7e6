"""What counters begin with: what the ledger has for their window."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.gateway.ledger.sums import UsageFilter, UsageSum
from services.gateway.limits.rules import Period, Resource, Subject, window_days

if TYPE_CHECKING:
    from services.gateway.ledger.ledger import Ledger
    from services.gateway.limits.rules import Limit

_PICOS_PER_NANO = 1_000


class LedgerSeeds:
    """Reads the ledger's sums.

    Args:
        ledger: The ledger.
        now: The time.
    """

    def __init__(
        self, ledger: Ledger, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._ledger = ledger
        self._now = now

    async def used(self, limit: Limit) -> float:
        """Returns what the ledger has for the window that counts now."""
        if limit.rule.period not in {Period.DAY, Period.MONTH}:
            return 0.0
        return amount_of(await self._ledger.total(filter_of(limit, self._now())), limit)


def filter_of(limit: Limit, now: datetime) -> UsageFilter:
    """Returns which usage counts for a limit."""
    first, last = window_days(limit.rule.period, now)
    return UsageFilter(
        from_day=first,
        to_day=last,
        tenant=limit.tenant,
        user=limit.subject_id if limit.rule.subject is Subject.USER else "",
        key_id=limit.subject_id if limit.rule.subject is Subject.KEY else "",
    )


def amount_of(total: UsageSum, limit: Limit) -> float:
    """Returns what a sum has of the resource that is limited."""
    amounts: dict[Resource, float] = {
        Resource.REQUESTS: total.request_count,
        Resource.TOKENS: total.usage.tokens,
        Resource.DOCUMENTS: total.document_count,
        Resource.VECTORS: total.vector_count,
        Resource.BYTES: total.byte_count,
        Resource.COST: math.ceil(total.cost.total / _PICOS_PER_NANO),
    }
    return float(amounts.get(limit.rule.resource, 0.0))
