"""Takes from gauges: the shared ones while they answer, this process's share of them while not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter as Metric
from prometheus_client import Gauge

from services.gateway.limits.gauges import (
    Answer,
    Ask,
    Bucket,
    Counter,
    Demand,
    Held,
    Lease,
    Reading,
)
from services.gateway.limits.rules import Mode, Period

if TYPE_CHECKING:
    from services.gateway.limits.rules import Limit
    from services.gateway.limits.valkey_gauges import ValkeyGauges

OPEN_SECONDS = 1.0
"""How long Valkey is left alone after it failed; then one request tries it again."""

BEAT_SECONDS = 2.0
"""How often replicas count themselves."""

_MAX_GAUGES = 100_000
_MAX_SETTLEMENTS = 50_000

_ALONE = Gauge(
    "cairn_gateway_limiter_is_local", "1 while limits are kept per replica because Valkey is away."
)
_REPLICAS = Gauge("cairn_gateway_limiter_replicas", "Replicas that share the limits.")
_AWAY = Metric("cairn_gateway_limiter_failures_total", "Times that Valkey did not answer.")


class Seeds(Protocol):
    """Knows what was used before a counter was made."""

    async def used(self, limit: Limit) -> float:
        """Returns what the ledger has for the window that counts now."""
        ...


@dataclass(frozen=True, slots=True)
class Settlement:
    """What was used in place of what was reserved."""

    demand: Demand
    actual: float
    is_shared: bool
    """Whether the shared gauge knows of the reservation."""


class Limiter:
    """Takes from all gauges or from none, and never fails a request for a missing Valkey.

    Args:
        shared: Gauges of all replicas; None: there are none.
        seeds: What counters begin with.
        replicas: How many replicas there are at least; alone, each takes its share.
        clock: Monotonic seconds.
        now: The time, for windows.
    """

    def __init__(
        self,
        shared: ValkeyGauges | None,
        seeds: Seeds,
        *,
        replicas: int = 1,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._shared = shared
        self._seeds = seeds
        self._least_replicas = replicas
        self._clock = clock
        self._now = now
        self._replicas = replicas
        self._closed_until = 0.0
        self._gauges: OrderedDict[str, Bucket | Counter] = OrderedDict()
        self._settlements: list[tuple[Lease, list[Settlement]]] = []
        self._has_settlements = asyncio.Event()
        _ALONE.set_function(lambda: not self.is_shared)
        _REPLICAS.set_function(lambda: self._replicas)

    @property
    def is_shared(self) -> bool:
        """Whether the gauges of all replicas are in use."""
        return self._shared is not None and self._closed_until == 0.0

    def demand(self, limit: Limit, amount: float) -> Demand:
        """Returns what is to be asked of the limit's gauge of now."""
        return Demand(limit, limit.gauge(self._now()), amount)

    async def take(self, demands: Sequence[Demand], lease: Lease) -> tuple[list[Reading], bool]:
        """Takes every amount, or none when a hard limit has not enough.

        Counters reserve under the lease; settle it.

        Returns:
            A reading for each demand, and whether the shared gauges gave them.
        """
        shared = self._open_gauges()
        if shared is not None:
            try:
                readings = await self._take_shared(shared, demands, lease)
            except OSError:
                self._closed_until = self._clock() + OPEN_SECONDS
                _AWAY.inc()
            else:
                self._closed_until = 0.0
                return readings, True
        return await self._take_alone(demands, lease), False

    def settle(self, lease: Lease, settlements: Sequence[Settlement]) -> None:
        """Puts what was used in place of what was reserved; the shared gauges hear of it soon."""
        told: list[Settlement] = []
        for given in settlements:
            each, gauge = given, self._gauge(given.demand)
            if isinstance(gauge, Bucket):
                gauge.level += each.demand.amount - each.actual
            else:
                held = gauge.leases.pop(lease.lease_id, None)
                each = replace(each, is_shared=held.is_shared if held else each.is_shared)
                if not each.is_shared:
                    gauge.spent += each.actual
            if each.is_shared:
                told.append(each)
        if told and len(self._settlements) < _MAX_SETTLEMENTS:
            self._settlements.append((lease, told))
            self._has_settlements.set()

    async def raise_to(self, limit: Limit, used: float) -> None:
        """Lets a window's counter have what the ledger has, if that is more.

        What a gateway that died had used is in the ledger, and its counter never heard of it.
        """
        demand = self.demand(limit, 0.0)
        gauge = self._gauge(demand)
        if not isinstance(gauge, Counter) or not gauge.is_seeded or gauge.used >= used:
            return
        gauge.used = max(gauge.used, used - gauge.spent)
        if self._shared is not None and self._clock() >= self._closed_until:
            with contextlib.suppress(OSError):
                await self._shared.raise_to(demand.gauge, used)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Settles and counts replicas while the block runs."""
        if self._shared is None:
            yield
            return
        async with self._shared.running(), asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in (self._settle_all(), self._beat())]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                await self._settle_waiting()

    def _open_gauges(self) -> ValkeyGauges | None:
        """Returns the shared gauges when this request may ask them."""
        if self._shared is None or self._clock() < self._closed_until:
            return None
        if self._closed_until:
            # One request tries; the others stay alone until it is back.
            self._closed_until = self._clock() + OPEN_SECONDS
        return self._shared

    async def _take_shared(
        self, shared: ValkeyGauges, demands: Sequence[Demand], lease: Lease
    ) -> list[Reading]:
        gauges = [self._gauge(each) for each in demands]
        reporting = [each for each in gauges if not each.is_reporting]
        asks = [self._ask(*each) for each in zip(demands, gauges, strict=True)]
        for each in reporting:
            each.is_reporting = True
        sent = [gauge.spent if isinstance(gauge, Counter) else 0.0 for gauge in gauges]
        try:
            answers = await shared.take(asks, lease.lease_id, lease.seconds)
            if answers is None:
                asks = [await self._with_seed(*each) for each in zip(demands, asks, strict=True)]
                answers = await shared.take(asks, lease.lease_id, lease.seconds)
            if answers is None:
                raise OSError("a counter wants its seed twice")
        finally:
            for each in reporting:
                each.is_reporting = False
        for gauge, ask, amount in zip(gauges, asks, sent, strict=True):
            if isinstance(gauge, Counter) and ask.how:
                gauge.spent -= amount
        is_denied = _is_denied(
            (demand, answer.is_allowed) for demand, answer in zip(demands, answers, strict=True)
        )
        now = self._clock()
        readings = []
        for demand, gauge, answer in zip(demands, gauges, answers, strict=True):
            await self._restore(shared, demand, gauge, answer)
            if isinstance(gauge, Bucket):
                gauge.follow(answer.value, answer.generation, now)
            else:
                gauge.follow(answer.value, answer.reserved, answer.generation)
                if demand.amount and not is_denied:
                    gauge.leases[lease.lease_id] = Held(
                        demand.amount, now + lease.seconds, is_shared=True
                    )
            readings.append(self._reading(demand, gauge, is_allowed=answer.is_allowed))
        return readings

    async def _restore(
        self, shared: ValkeyGauges, demand: Demand, gauge: Bucket | Counter, answer: Answer
    ) -> None:
        """Tells a counter of the reservations of this process that it does not know of."""
        if isinstance(gauge, Bucket) or not gauge.leases:
            return
        is_known = answer.generation == gauge.generation
        if is_known and not gauge.share:
            return
        now = self._clock()
        gauge.drop_ended(now)
        missing = {
            lease_id: held
            for lease_id, held in gauge.leases.items()
            if not (is_known and held.is_shared)
        }
        if missing:
            await shared.restore(
                demand.gauge,
                [(lease_id, held.amount, held.end - now) for lease_id, held in missing.items()],
            )
            gauge.leases |= {
                lease_id: replace(held, is_shared=True)
                for lease_id, held in missing.items()
                if lease_id in gauge.leases
            }

    async def _with_seed(self, demand: Demand, ask: Ask) -> Ask:
        if ask.is_bucket or ask.seed is not None:
            return ask
        return replace(ask, seed=await self._seeds.used(demand.limit))

    def _ask(self, demand: Demand, gauge: Bucket | Counter) -> Ask:
        limit, now = demand.limit, self._clock()
        how, hint, debt = "", 0.0, 0.0
        seed: float | None = None
        if isinstance(gauge, Bucket):
            gauge.refill(limit, now)
            if gauge.is_reporting:
                pass
            elif gauge.share:
                debt = gauge.idle - gauge.level
                how, hint = "owed", max(0.0, gauge.most(limit) - gauge.level)
            elif gauge.generation:
                how, hint = "level", gauge.level
        else:
            if limit.rule.period is Period.AT_ONCE:
                seed = 0.0
            if not gauge.is_reporting:
                debt = gauge.spent
                how, hint = "used", (gauge.used if gauge.is_seeded else 0.0) + gauge.spent
        return Ask(
            gauge=demand.gauge,
            is_bucket=isinstance(gauge, Bucket),
            amount=demand.amount,
            capacity=limit.capacity,
            per_second=max(1e-6, limit.per_second),
            is_enforced=limit.rule.mode is Mode.HARD,
            generation=gauge.generation,
            debt=debt,
            how=how,
            hint=hint,
            seed=seed,
        )

    async def _take_alone(self, demands: Sequence[Demand], lease: Lease) -> list[Reading]:
        replicas = max(self._replicas, self._least_replicas)
        for demand in demands:
            gauge = self._gauge(demand)
            if isinstance(gauge, Counter) and not gauge.is_seeded:
                if demand.limit.rule.period is not Period.AT_ONCE:
                    gauge.used = await self._seeds.used(demand.limit)
                gauge.is_seeded = True
        # No other request between here and the end: what is there is taken.
        now, outcomes = self._clock(), []
        for demand in demands:
            gauge = self._gauge(demand)
            if isinstance(gauge, Bucket):
                gauge.go_alone(demand.limit, replicas, now)
                outcomes.append(gauge.has(demand.amount, demand.limit))
            else:
                gauge.drop_ended(now)
                gauge.go_alone(replicas)
                left = gauge.left(demand.limit)
                outcomes.append(not demand.amount or demand.amount <= left)
        if not _is_denied(zip(demands, outcomes, strict=True)):
            for demand in demands:
                gauge = self._gauge(demand)
                if isinstance(gauge, Bucket):
                    gauge.level -= demand.amount
                elif demand.amount:
                    gauge.leases[lease.lease_id] = Held(
                        demand.amount, now + lease.seconds, is_shared=False
                    )
        return [
            self._reading(demand, self._gauge(demand), is_allowed=is_allowed)
            for demand, is_allowed in zip(demands, outcomes, strict=True)
        ]

    def _reading(self, demand: Demand, gauge: Bucket | Counter, *, is_allowed: bool) -> Reading:
        if isinstance(gauge, Bucket):
            return gauge.reading(demand.limit, demand.amount, is_allowed=is_allowed)
        reset = demand.limit.reset_seconds(self._now())
        return gauge.reading(demand.limit, reset, is_allowed=is_allowed)

    def _gauge(self, demand: Demand) -> Bucket | Counter:
        gauge = self._gauges.get(demand.gauge)
        if gauge is None:
            if demand.limit.is_rate:
                full = demand.limit.capacity
                gauge = Bucket(full, self._clock(), full)
            else:
                gauge = Counter()
            self._gauges[demand.gauge] = gauge
            while len(self._gauges) > _MAX_GAUGES:
                self._gauges.popitem(last=False)
        else:
            self._gauges.move_to_end(demand.gauge)
        return gauge

    async def _settle_all(self) -> None:
        assert self._shared is not None
        while True:
            await self._has_settlements.wait()
            self._has_settlements.clear()
            await self._settle_waiting()

    async def _settle_waiting(self) -> None:
        waiting, self._settlements = self._settlements, []
        await asyncio.gather(*(self._settle_shared(*each) for each in waiting))

    async def _settle_shared(self, lease: Lease, settlements: list[Settlement]) -> None:
        assert self._shared is not None
        told = [
            (each.demand.gauge, each.demand.limit.is_rate, each.demand.amount, each.actual)
            for each in settlements
        ]
        is_told = False
        if self._clock() >= self._closed_until:
            with contextlib.suppress(OSError):
                await self._shared.settle(told, lease.lease_id)
                is_told = True
        for each in settlements:
            gauge = self._gauge(each.demand)
            if isinstance(gauge, Bucket):
                continue
            if is_told:
                gauge.used += each.actual
            else:
                # The reservation ends by itself; what was used is reported with the next request.
                gauge.spent += each.actual

    async def _beat(self) -> None:
        assert self._shared is not None
        while True:
            with contextlib.suppress(OSError):
                self._replicas = max(1, await self._shared.beat())
            await asyncio.sleep(BEAT_SECONDS)


def _is_denied(outcomes: Iterable[tuple[Demand, bool]]) -> bool:
    return any(
        not is_allowed and demand.limit.rule.mode is Mode.HARD for demand, is_allowed in outcomes
    )
