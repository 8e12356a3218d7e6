"""What stands between the gateway and each service behind it; see `services.rpc.guard`."""

from __future__ import annotations

from collections.abc import Mapping

from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.breaker import BreakerRules
from services.rpc.channel import may_have_replicas
from services.rpc.guard import Guard
from services.rpc.retry_budget import RetryBudget

_NEVER = 1.1
"""A share that nothing reaches."""

EMBEDDING = BreakerRules(slow_seconds=3.0, slow_share=_NEVER)
RETRIEVAL = BreakerRules(slow_seconds=3.0, slow_share=_NEVER)
"""There is no rung below it: slow is better than none."""
GENERATION = BreakerRules(slow_seconds=4.0, slow_share=_NEVER)
INGESTION = BreakerRules(slow_seconds=30.0, slow_share=_NEVER)
"""Uploads take their time."""

_MOST_CALLS = {"embedding": 256, "retrieval": 512, "generation": 512, "ingestion": 128}


def guards(targets: Mapping[str, str]) -> dict[str, Guard]:
    """Returns a guard for each service of `targets`; they share one budget of repetitions.

    Without embedding questions are still answered well, by words and in the first order; so the
    calls of the others are repeated first.
    """
    budget = RetryBudget("gateway")
    rules = {
        "embedding": EMBEDDING,
        "retrieval": RETRIEVAL,
        "generation": GENERATION,
        "ingestion": INGESTION,
    }
    return {
        name: Guard(
            name,
            budget,
            is_essential=name != "embedding",
            is_replicated=may_have_replicas(targets[name]),
            rules=rules[name],
            limit=AdaptiveLimit(least=16, start=most, most=most),
        )
        for name, most in _MOST_CALLS.items()
    }
