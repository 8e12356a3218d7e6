"""Lets requests through limits: at the door by count, before work by what it will use."""

from __future__ import annotations

import random
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from services.gateway.ledger.events import Payer
from services.gateway.limits.allowance import Allowance, nothing
from services.gateway.limits.gauges import Demand, Lease, Reading
from services.gateway.limits.limiter import Settlement
from services.gateway.limits.policy import limits_of
from services.gateway.limits.rules import Limit, Period, Resource
from services.gateway.limits.tiers import TIER_NAMES
from services.rpc.deadline import remaining_seconds
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from services.gateway.identity import Caller
    from services.gateway.limits.limiter import Limiter
    from services.gateway.limits.rule_store import RuleStore
    from services.gateway.limits.rules import Rule
    from services.rpc.scope import Scope

POLICY_SECONDS = 1.0
"""How long a caller's limits are kept in memory."""

_MAX_POLICIES = 20_000
_LEASE_SECONDS = 60.0
_LEASE_MARGIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a request will use, or has used."""

    tokens: int = 0
    cost_nanos: int = 0
    documents: int = 0
    vectors: int = 0
    bytes: int = 0
    streams: int = 0

    def of(self, resource: Resource) -> int:
        """Returns the amount of one resource."""
        return self.cost_nanos if resource is Resource.COST else getattr(self, resource.value, 0)


class Stock(Protocol):
    """Knows what a tenant has stored."""

    async def stored(self, scope: Scope, resource: Resource) -> int:
        """Returns how much is stored now."""
        ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """What a request has reserved; whoever has it settles it."""

    limiter: Limiter
    lease: Lease
    demands: Sequence[Demand]
    is_shared: bool
    """Whether the shared gauges gave it."""

    def settle(self, actual: Amounts) -> None:
        """Puts what was used in place of what was reserved."""
        if not self.demands:
            return
        self.limiter.settle(
            self.lease,
            [
                Settlement(
                    each,
                    0.0
                    if each.limit.rule.period is Period.AT_ONCE
                    else float(actual.of(each.limit.rule.resource)),
                    self.is_shared,
                )
                for each in self.demands
            ],
        )


class Gate:
    """Knows the limits of callers and asks the limiter.

    Args:
        limiter: Counts.
        rules: Limits that somebody set.
        tiers: Limits that classes of tenants bring along.
        stock: What is stored; None: stored amounts are not limited here.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limiter: Limiter,
        rules: RuleStore,
        tiers: Mapping[str, tuple[Rule, ...]],
        stock: Stock | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limiter = limiter
        self._rules = rules
        self._stock = stock
        self._clock = clock
        self._policies: OrderedDict[tuple[str, ...], tuple[float, tuple[Limit, ...]]] = (
            OrderedDict()
        )
        self.tiers = tiers

    async def admit(self, caller: Caller) -> Allowance:
        """Counts one request; the allowance may say no."""
        limits = [
            each
            for each in await self.limits(payer_of(caller), TIER_NAMES[caller.scope.tenant_class])
            if each.rule.resource is Resource.REQUESTS
        ]
        if not limits:
            return nothing()
        demands = [self._limiter.demand(each, 1.0) for each in limits]
        # Requests are counted when they come: nothing is given back, so the lease never ends.
        lease = _lease(_LEASE_SECONDS)
        readings, is_shared = await self._limiter.take(demands, lease)
        if any(not each.is_rate for each in limits) and Allowance(tuple(readings)).is_allowed:
            windows = [each for each in demands if not each.limit.is_rate]
            self._limiter.settle(lease, [Settlement(each, 1.0, is_shared) for each in windows])
        return Allowance(tuple(readings))

    async def reserve(self, caller: Caller, expected: Amounts) -> Reservation:
        """Reserves what a request will use at most.

        Raises:
            ResourceExhaustedError: a hard limit has not enough left.
        """
        limits = await self.limits(payer_of(caller), TIER_NAMES[caller.scope.tenant_class])
        wanted = [each for each in limits if expected.of(each.rule.resource)]
        await self._check_stored(caller, wanted, expected)
        demands = [
            self._limiter.demand(each, float(expected.of(each.rule.resource)))
            for each in wanted
            if each.rule.period is not Period.STORED
        ]
        lease = _lease((remaining_seconds() or _LEASE_SECONDS) + _LEASE_MARGIN_SECONDS)
        is_shared = False
        if demands:
            with span("limits.reserve"):
                readings, is_shared = await self._limiter.take(demands, lease)
            Allowance(tuple(readings)).check()
        return Reservation(self._limiter, lease, demands, is_shared)

    async def look(self, payer: Payer, tier: str, scope: Scope) -> list[tuple[Limit, Reading]]:
        """Returns all limits of a caller with what they say, and takes nothing."""
        limits = await self.limits(payer, tier)
        demands = [
            self._limiter.demand(each, 0.0)
            for each in limits
            if each.rule.period is not Period.STORED
        ]
        readings: list[Reading] = []
        if demands:
            readings, _ = await self._limiter.take(demands, _lease(_LEASE_SECONDS))
        found = [(each.limit, reading) for each, reading in zip(demands, readings, strict=True)]
        for each in limits:
            if each.rule.period is Period.STORED and self._stock is not None:
                stored = await self._stock.stored(scope, each.rule.resource)
                left = each.capacity - stored
                found.append((each, Reading(each, left > 0, left, 0.0, 0.0)))
        return found

    async def limits(self, payer: Payer, tier: str) -> tuple[Limit, ...]:
        """Returns the limits of a caller."""
        key = (payer.tenant, payer.user, payer.key_id, tier)
        cached = self._policies.get(key)
        now = self._clock()
        if cached is not None and cached[0] > now:
            return cached[1]
        stored = await self._rules.of_tenant(payer.tenant)
        found = limits_of(payer, tier, self.tiers.get(tier, ()), stored)
        self._policies[key] = (now + POLICY_SECONDS, found)
        self._policies.move_to_end(key)
        while len(self._policies) > _MAX_POLICIES:
            self._policies.popitem(last=False)
        return found

    def remembered(self, payer: Payer) -> tuple[Limit, ...]:
        """Returns the limits of a caller as they were when it last asked; nothing if it did not."""
        for tier in self.tiers:
            cached = self._policies.get((payer.tenant, payer.user, payer.key_id, tier))
            if cached is not None:
                return cached[1]
        return ()

    async def raise_to(self, limit: Limit, used: float) -> None:
        """Lets a limit count what the ledger has, if that is more."""
        await self._limiter.raise_to(limit, used)

    def forget(self) -> None:
        """Looks limits up again: some were changed."""
        self._policies.clear()

    async def _check_stored(
        self, caller: Caller, limits: Iterable[Limit], expected: Amounts
    ) -> None:
        if self._stock is None:
            return
        readings = []
        for each in limits:
            if each.rule.period is Period.STORED:
                stored = await self._stock.stored(caller.scope, each.rule.resource)
                left = each.capacity - stored
                fits = expected.of(each.rule.resource) <= left
                readings.append(Reading(each, fits, left, 0.0, 0.0))
        Allowance(tuple(readings)).check()


def payer_of(caller: Caller) -> Payer:
    """Returns on whose account a caller acts."""
    user = getattr(caller, "user_id", "")
    actor = f"user:{user}" if user else caller.scope.actor
    return Payer(caller.scope.tenant, actor, caller.key_id)


def _lease(seconds: float) -> Lease:
    # Unique and no secret: the system's random numbers would cost a switch of threads.
    return Lease(f"{random.getrandbits(64):016x}", seconds)
