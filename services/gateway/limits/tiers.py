"""Limits that a tenant's class brings along, before anybody sets others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from services.gateway.limits.rules import Period, Resource, Rule, Subject
from services.rpc.scope import TenantClass

TIER_NAMES = {
    TenantClass.FREE: "free",
    TenantClass.STANDARD: "standard",
    TenantClass.PREMIUM: "premium",
}

_PREMIUM_TIMES = 5
"""A premium key's rate, in rates of a standard one."""
_FREE_PART = 10
"""A free key's rate: this part of a standard one."""


def tier_rules(per_second: float, burst: int) -> Mapping[str, tuple[Rule, ...]]:
    """Returns the limits of each tier.

    Args:
        per_second: Requests per second that come back to a standard key's bucket.
        burst: Requests in its full bucket.
    """

    def requests(times: float) -> Rule:
        # By the minute where a second would have less than one.
        seconds, period = (1, Period.SECOND) if per_second * times >= 1 else (60, Period.MINUTE)
        amount = max(1, round(per_second * times * seconds))
        return Rule(Subject.KEY, Resource.REQUESTS, period, amount, max(1, round(burst * times)))

    def streams(amount: int) -> Rule:
        return Rule(Subject.TENANT, Resource.STREAMS, Period.AT_ONCE, amount)

    free = (
        requests(1 / _FREE_PART),
        streams(8),
        Rule(Subject.TENANT, Resource.TOKENS, Period.MINUTE, 100_000),
        Rule(Subject.TENANT, Resource.TOKENS, Period.MONTH, 10_000_000),
        Rule(Subject.TENANT, Resource.DOCUMENTS, Period.DAY, 1_000),
        Rule(Subject.TENANT, Resource.BYTES, Period.DAY, 1_000_000_000),
        Rule(Subject.TENANT, Resource.VECTORS, Period.STORED, 100_000),
    )
    tiers = {
        "free": free,
        "standard": (requests(1), streams(256)),
        "premium": (requests(_PREMIUM_TIMES), streams(1_024)),
    }
    return {
        name: tuple(replace(rule, tier=name) for rule in rules) for name, rules in tiers.items()
    }
