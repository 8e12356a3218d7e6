"""What may be limited, for whom, over which time."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NANOS = 10**9
"""Limits count money in whole thousand-millionths of the currency."""


class Resource(enum.StrEnum):
    """What is limited."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    """All that models read and wrote on a request's behalf."""
    DOCUMENTS = "documents"
    VECTORS = "vectors"
    BYTES = "bytes"
    STREAMS = "streams"
    COST = "cost"


class Period(enum.StrEnum):
    """Over which time."""

    SECOND = "second"
    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    """A calendar day, UTC."""
    MONTH = "month"
    """A calendar month, UTC."""
    AT_ONCE = "at_once"
    """What is under way at one time."""
    STORED = "stored"
    """What is kept."""


class Subject(enum.StrEnum):
    """Whose use is counted."""

    KEY = "key"
    USER = "user"
    TENANT = "tenant"


class Mode(enum.StrEnum):
    """What becomes of a request over the limit."""

    HARD = "hard"
    """It is refused."""
    SOFT = "soft"
    """It passes; the caller is told, and it is counted and alerted."""
    SHADOW = "shadow"
    """It passes; only metrics tell, so that a limit can be tried before it bites."""


PERIOD_SECONDS = {Period.SECOND: 1.0, Period.MINUTE: 60.0, Period.HOUR: 3_600.0}
"""Periods that refill all the time; the others have windows or none."""

_RATES = frozenset(PERIOD_SECONDS)
_WINDOWS = frozenset({Period.DAY, Period.MONTH})
PERIODS_OF = {
    Resource.REQUESTS: _RATES | _WINDOWS,
    Resource.TOKENS: _RATES | _WINDOWS,
    Resource.DOCUMENTS: _RATES | _WINDOWS | {Period.STORED},
    Resource.VECTORS: _WINDOWS | {Period.STORED},
    Resource.BYTES: _WINDOWS | {Period.STORED},
    Resource.STREAMS: frozenset({Period.AT_ONCE}),
    Resource.COST: _WINDOWS,
}
"""Which periods make sense for which resource."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit as it was set."""

    subject: Subject
    resource: Resource
    period: Period
    amount: int | None
    """None: no limit, where a wider rule has one. Money in nanos."""
    burst: int | None = None
    """Of rates: what may come at once; None: the amount."""
    mode: Mode = Mode.HARD
    tier: str = ""
    """Tier that the rule belongs to, or ""."""
    tenant: str = ""
    """Tenant that the rule belongs to, or "" for a tier's."""
    subject_id: str = ""
    """Key or user; "": each of them."""
    updated_at: str = ""
    updated_by: str = ""

    @property
    def place(self) -> tuple[Subject, Resource, Period]:
        """What it limits: a narrower rule for the same place goes before a wider one."""
        return self.subject, self.resource, self.period


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule as it applies to one subject."""

    rule: Rule
    tenant: str
    subject_id: str
    source: str
    """ "tier", "tenant", "user" or "key": where the rule was set."""
    amount: int = field(init=False)
    """The limit."""
    capacity: float = field(init=False)
    """Most at one time: the burst of a rate, the amount of the others."""
    per_second: float = field(init=False)
    """What comes back each second; 0 where nothing does."""
    is_rate: bool = field(init=False)
    """Whether it refills all the time."""
    name: str = field(init=False)
    """Name for headers and metrics, "key-requests-second"."""

    def __post_init__(self) -> None:
        # Asked for many times a request, and the same for as long as the limit holds.
        rule, seconds = self.rule, PERIOD_SECONDS.get(self.rule.period)
        amount = rule.amount or 0
        for name, value in (
            ("amount", amount),
            ("capacity", float(amount if rule.burst is None else rule.burst)),
            ("per_second", amount / seconds if seconds else 0.0),
            ("is_rate", seconds is not None),
            ("name", f"{rule.subject}-{rule.resource}-{rule.period}"),
        ):
            object.__setattr__(self, name, value)

    def window(self, now: datetime) -> str:
        """Returns the calendar window that counts now; "" where there is none."""
        if self.rule.period is Period.DAY:
            return now.strftime("%Y-%m-%d")
        return now.strftime("%Y-%m") if self.rule.period is Period.MONTH else ""

    def gauge(self, now: datetime) -> str:
        """Returns the name of what counts it. A tenant's gauges lie together in a cluster."""
        parts = (self.subject_id, self.rule.resource, self.rule.period, self.window(now))
        return f"{{{self.tenant}}}:{self.rule.subject}:{':'.join(parts)}"

    def reset_seconds(self, now: datetime) -> float:
        """Returns the time until the window ends; 0 where there is none."""
        if self.rule.period is Period.DAY:
            end = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        elif self.rule.period is Period.MONTH:
            end = month_end(now)
        else:
            return 0.0
        return (end - now).total_seconds()


def month_end(now: datetime) -> datetime:
    """Returns the beginning of the next month."""
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return datetime(year, month, 1, tzinfo=UTC)


def window_days(period: Period, now: datetime) -> tuple[str, str]:
    """Returns the first and the last day of the window that counts now."""
    day = now.strftime("%Y-%m-%d")
    return (now.strftime("%Y-%m-01"), day) if period is Period.MONTH else (day, day)
