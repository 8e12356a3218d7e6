"""What limits said to a request, and how callers are told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.gateway.limits.rules import (
    PERIOD_SECONDS,
    Mode,
    Period,
    Resource,
)
from services.rpc.errors import Reason, ResourceExhaustedError
from services.rpc.metrics import series

if TYPE_CHECKING:
    from services.gateway.limits.gauges import Reading
    from services.gateway.limits.rules import Limit

_LIMITED = Counter(
    "cairn_gateway_limited_total",
    "Requests over a limit: refused by hard ones, let through by soft and shadow ones.",
    ["limit", "scope", "mode"],
)
_UNITS = {Resource.BYTES: "content-bytes", Resource.STREAMS: "concurrent-requests"}
"""Units that the draft knows; requests are its default, others go unnamed."""
_WINDOW_SECONDS = {Period.DAY: 86_400, Period.MONTH: 2_592_000}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the limits said."""

    readings: tuple[Reading, ...]

    @property
    def told(self) -> tuple[Reading, ...]:
        """Readings that callers hear of: limits on trial are nobody's business."""
        return tuple(each for each in self.readings if each.limit.rule.mode is not Mode.SHADOW)

    @property
    def refused(self) -> Reading | None:
        """The reading that refuses: of several the one to wait for longest."""
        over = [
            each
            for each in self.readings
            if not each.is_allowed and each.limit.rule.mode is Mode.HARD
        ]
        return max(over, key=lambda each: each.retry_after_seconds, default=None)

    @property
    def is_allowed(self) -> bool:
        """Whether the request may pass."""
        return self.refused is None

    def headers(self, *, is_openai: bool = False) -> list[tuple[bytes, bytes]]:
        """Returns the fields of draft-ietf-httpapi-ratelimit-headers, and those of its forerunners.

        The forerunners' three tell of the limit that is nearest, since they can tell of one only.

        Args:
            is_openai: Whether also under the names that OpenAI's clients read.
        """
        told = self.told
        if not told:
            return []
        nearest = min(told, key=lambda each: each.remaining / max(1.0, each.limit.capacity))
        limit, left, reset = (
            str(number).encode()
            for number in (
                math.floor(nearest.limit.capacity),
                _whole(nearest.remaining),
                math.ceil(nearest.reset_seconds),
            )
        )
        openai = (
            (b"x-ratelimit-limit-requests", limit),
            (b"x-ratelimit-remaining-requests", left),
            (b"x-ratelimit-reset-requests", reset + b"s"),
        )
        soft = [each.limit.name for each in told if not each.is_allowed and not _is_hard(each)]
        return [
            (b"ratelimit-policy", ", ".join(policy_item(each.limit) for each in told).encode()),
            (b"ratelimit", ", ".join(_item(each) for each in told).encode()),
            (b"ratelimit-limit", limit),
            (b"ratelimit-remaining", left),
            (b"ratelimit-reset", reset),
            *(openai if is_openai else ()),
            *((b"x-cairn-limit-warning", name.encode()) for name in soft),
        ]

    def check(self) -> None:
        """Lets an allowed request pass.

        Raises:
            ResourceExhaustedError: it is over a hard limit.
        """
        for each in self.readings:
            if not each.is_allowed:
                rule = each.limit.rule
                name = f"{rule.resource}_{rule.period}"
                series(_LIMITED, name, rule.subject.value, rule.mode.value).inc()
        refused = self.refused
        if refused is not None:
            raise refusal(refused)


def refusal(reading: Reading) -> ResourceExhaustedError:
    """Returns the error for what a limit refused."""
    limit = reading.limit
    rule = limit.rule
    is_quota = rule.period in {Period.DAY, Period.MONTH, Period.STORED}
    per = "at once" if rule.period is Period.AT_ONCE else f"per {rule.period}"
    if rule.period is Period.STORED:
        per = "stored"
    mend = "delete some" if rule.period is Period.STORED else "try again later"
    return ResourceExhaustedError(
        Reason.QUOTA_EXCEEDED if is_quota else Reason.RATE_LIMITED,
        f"over the {rule.subject}'s limit of {rule.resource} {per}; {mend}, or ask for more",
        metadata={
            "limit": str(limit.amount),
            "policy": limit.name,
            "policy_item": policy_item(limit),
            "resource": rule.resource.value,
            "period": rule.period.value,
            "quota_subject": f"{rule.subject}:{limit.subject_id}",
            "remaining": str(_whole(reading.remaining)),
        },
        retry_after_seconds=None
        if rule.period is Period.STORED
        else max(0.001, reading.retry_after_seconds),
    )


def policy_item(limit: Limit) -> str:
    """Returns a limit as an item of `RateLimit-Policy`."""
    period = limit.rule.period
    parts = [f'"{limit.name}";q={math.floor(limit.capacity)}']
    if unit := _UNITS.get(limit.rule.resource):
        parts.append(f'qu="{unit}"')
    if period in PERIOD_SECONDS:
        # A bucket refills all the time: its window is what it takes to fill.
        parts.append(f"w={max(1, math.ceil(limit.capacity / max(1e-6, limit.per_second)))}")
    elif period in _WINDOW_SECONDS:
        parts.append(f"w={_WINDOW_SECONDS[period]}")
    return ";".join(parts)


def _item(reading: Reading) -> str:
    text = f'"{reading.limit.name}";r={_whole(reading.remaining)}'
    return f"{text};t={math.ceil(reading.reset_seconds)}"


def _whole(amount: float) -> int:
    return max(0, math.floor(amount + 1e-9))


def _is_hard(reading: Reading) -> bool:
    return reading.limit.rule.mode is Mode.HARD


def nothing() -> Allowance:
    """Returns what is said where no limit is."""
    return Allowance(())
