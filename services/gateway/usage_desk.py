"""What callers may see of what was used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway.identity import Caller, Operation
from services.gateway.identity.tenancy import is_home, managed_tenant
from services.gateway.ledger.ledger import is_event_id
from services.gateway.ledger.sums import DIMENSIONS, MAX_ROWS, UsageFilter, UsageSum
from services.gateway.pages import Page, page_size_of
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from services.gateway.ledger.alerts import Alert, AlertStore
    from services.gateway.ledger.events import UsageEvent
    from services.gateway.ledger.ledger import Ledger

_DAYS = 30


@dataclass(frozen=True, slots=True)
class UsageAsk:
    """Which usage; empty does not restrict."""

    from_day: str = ""
    """Empty: 30 days ago."""
    to_day: str = ""
    """Included; empty: today."""
    tenant: str = ""
    """Empty: the caller's own."""
    user: str = ""
    key_id: str = ""
    collection: str = ""
    operation: str = ""


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Sums by some dimensions, and over all."""

    rows: tuple[UsageSum, ...]
    total: UsageSum


class UsageDesk:
    """Shows the ledger.

    Args:
        ledger: The ledger.
        alerts: What was noticed about it.
        now: The time.
    """

    def __init__(self, ledger: Ledger, alerts: AlertStore) -> None:
        self._ledger = ledger
        self._alerts = alerts
        self.prices = ledger.prices

    async def report(
        self, caller: Caller, ask: UsageAsk, group_by: Sequence[str] = ()
    ) -> UsageReport:
        """Returns what was used; by day and operation unless said.

        With "tenant" among the dimensions, admins of the home tenant see all tenants.

        Raises:
            InvalidArgumentError: a field is wrong, or there would be too many rows.
        """
        caller.require(Operation.READ_USAGE)
        which = _filter(caller, ask)
        dimensions = tuple(dict.fromkeys(group_by)) or ("day", "operation")
        for index, name in enumerate(dimensions):
            if name not in DIMENSIONS:
                raise InvalidArgumentError.for_field(
                    f"group_by[{index}]", f"must be one of {', '.join(DIMENSIONS)}"
                )
        if "tenant" in dimensions and not ask.tenant and is_home(caller):
            which = replace(which, tenant="")
        rows = await self._ledger.rows(which, dimensions)
        if len(rows) >= MAX_ROWS:
            raise InvalidArgumentError.for_field(
                "from_day",
                f"there are over {MAX_ROWS} rows; ask for fewer days or dimensions",
                Reason.TOO_LARGE,
            )
        return UsageReport(rows, await self._ledger.total(which))

    async def events(
        self, caller: Caller, ask: UsageAsk, page_size: int = 0, page_token: str = ""
    ) -> Page[UsageEvent]:
        """Returns single metered requests, the latest first.

        Raises:
            InvalidArgumentError: a field is wrong.
        """
        caller.require(Operation.READ_USAGE)
        which = _filter(caller, ask)
        if page_token and not is_event_id(page_token):
            raise InvalidArgumentError.for_field(
                "page_token", "is not one that was given out", Reason.INVALID_PAGE_TOKEN
            )
        size = page_size_of(page_size)
        found = await self._ledger.events(which, page_token, size)
        return Page(found, found[-1].event_id if len(found) == size else "")

    async def alerts(self, caller: Caller, tenant: str = "") -> tuple[Alert, ...]:
        """Returns what was noticed of budgets and spikes, the latest first."""
        caller.require(Operation.READ_USAGE)
        return await self._alerts.latest(managed_tenant(caller, tenant))

    async def check(self, caller: Caller, tenant: str = "") -> tuple[str, tuple[str, ...]]:
        """Compares sums with single requests: the first day compared, and the days that differ."""
        caller.require(Operation.READ_USAGE)
        return await self._ledger.check(managed_tenant(caller, tenant))


def _filter(caller: Caller, ask: UsageAsk) -> UsageFilter:
    today = datetime.now(UTC)
    last = _day("to_day", ask.to_day) or today.strftime("%Y-%m-%d")
    first = _day("from_day", ask.from_day) or (today - timedelta(days=_DAYS)).strftime("%Y-%m-%d")
    if first > last:
        raise InvalidArgumentError.for_field("from_day", "must not be after to_day")
    return UsageFilter(
        from_day=first,
        to_day=last,
        tenant=managed_tenant(caller, ask.tenant),
        user=check_text("user", ask.user, limit=256),
        key_id=check_text("key_id", ask.key_id, limit=64),
        collection=check_text("collection", ask.collection, limit=64),
        operation=check_text("operation", ask.operation, limit=32),
    )


def _day(field: str, text: str) -> str:
    if not text:
        return ""
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).strftime("%Y-%m-%d")
    except ValueError:
        raise InvalidArgumentError.for_field(field, "must be a day, YYYY-MM-DD") from None
