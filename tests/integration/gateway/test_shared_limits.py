"""Limits that three gateways share: exact while Valkey answers, bounded while it does not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from services.gateway.limits.gauges import Lease
from services.gateway.limits.limiter import OPEN_SECONDS, Limiter, Settlement
from services.gateway.limits.rules import Limit, Mode, Period, Resource, Rule, Subject
from services.gateway.limits.valkey_gauges import ValkeyGauges
from tests.kit.valkey import Valkey, running_valkey

REPLICAS = 3


class NoSeeds:
    """A ledger with so much for every window."""

    def __init__(self, amount: float = 0.0) -> None:
        self.amount = amount

    async def used(self, limit: Limit) -> float:
        return self.amount


def limit(
    resource: Resource,
    period: Period,
    amount: int,
    burst: int | None = None,
    mode: Mode = Mode.HARD,
) -> Limit:
    rule = Rule(Subject.TENANT, resource, period, amount, burst, mode, tenant="acme")
    return Limit(rule, "acme", "acme", "tenant")


class Fleet:
    """Three replicas' limiters."""

    def __init__(self, limiters: list[Limiter]) -> None:
        self.limiters = limiters
        self.next_lease = 0

    async def take(
        self, which: Limit, *, replica: int, amount: float = 1.0, seconds: float = 60.0
    ) -> tuple[bool, Lease, Settlement]:
        self.next_lease += 1
        lease = Lease(f"lease-{self.next_lease}", seconds)
        limiter = self.limiters[replica]
        demand = limiter.demand(which, amount)
        (reading,), is_shared = await limiter.take([demand], lease)
        return reading.is_allowed, lease, Settlement(demand, amount, is_shared)

    async def count(self, which: Limit, tries: int) -> int:
        """Takes one at a time, from the replicas in turn, and returns how many passed."""
        passed = 0
        for index in range(tries):
            allowed, _, _ = await self.take(which, replica=index % REPLICAS)
            passed += allowed
        return passed


@contextlib.asynccontextmanager
async def fleet(
    valkey: Valkey, seeds: NoSeeds | None = None, timeout_seconds: float = 5.0
) -> AsyncIterator[Fleet]:
    async with contextlib.AsyncExitStack() as stack:
        limiters = []
        for _ in range(REPLICAS):
            gauges = ValkeyGauges(valkey.url, timeout_seconds=timeout_seconds)
            limiter = Limiter(gauges, seeds or NoSeeds(), replicas=REPLICAS)
            await stack.enter_async_context(limiter.running())
            limiters.append(limiter)
        yield Fleet(limiters)


# One an hour: what comes back during a test is nothing.
SLOW = limit(Resource.REQUESTS, Period.HOUR, 1, burst=30)


async def test_replicas_share_a_bucket_exactly(valkey: Valkey) -> None:
    async with fleet(valkey) as replicas:
        outcomes = await asyncio.gather(
            *(replicas.take(SLOW, replica=index % REPLICAS) for index in range(120))
        )
        assert sum(allowed for allowed, _, _ in outcomes) == 30


@pytest.mark.parametrize(
    "which",
    [
        limit(Resource.TOKENS, Period.MONTH, 30),
        limit(Resource.STREAMS, Period.AT_ONCE, 30),
        limit(Resource.DOCUMENTS, Period.DAY, 30),
    ],
    ids=lambda which: which.name,
)
async def test_replicas_share_a_counter_exactly(valkey: Valkey, which: Limit) -> None:
    async with fleet(valkey) as replicas:
        outcomes = await asyncio.gather(
            *(replicas.take(which, replica=index % REPLICAS) for index in range(120))
        )
        assert sum(allowed for allowed, _, _ in outcomes) == 30


async def test_all_or_none_is_taken(valkey: Valkey) -> None:
    wide, narrow = limit(Resource.TOKENS, Period.MONTH, 100), SLOW
    async with fleet(valkey) as replicas:
        limiter = replicas.limiters[0]
        lease = Lease("one", 60.0)
        demands = [limiter.demand(narrow, 1.0), limiter.demand(wide, 101.0)]
        readings, _ = await limiter.take(demands, lease)
        assert [each.is_allowed for each in readings] == [True, False]
        assert await replicas.count(narrow, 40) == 30


async def test_soft_and_shadow_limits_let_through_and_count(valkey: Valkey) -> None:
    soft = limit(Resource.REQUESTS, Period.HOUR, 1, burst=2, mode=Mode.SOFT)
    async with fleet(valkey) as replicas:
        outcomes = [(await replicas.take(soft, replica=0))[0] for _ in range(4)]
        assert outcomes == [True, True, False, False]


async def test_settling_puts_what_was_used_in_place_of_what_was_reserved(valkey: Valkey) -> None:
    which = limit(Resource.TOKENS, Period.MONTH, 100)
    async with fleet(valkey) as replicas:
        allowed, lease, settlement = await replicas.take(which, replica=0, amount=90)
        assert allowed
        assert not (await replicas.take(which, replica=1, amount=20))[0]
        replicas.limiters[0].settle(lease, [Settlement(settlement.demand, 15, True)])
        await until(lambda: replicas.take(which, replica=1, amount=80))
        assert not (await replicas.take(which, replica=2, amount=6))[0]
        assert (await replicas.take(which, replica=2, amount=5))[0]


async def test_a_reservation_of_a_replica_that_died_ends_by_itself(valkey: Valkey) -> None:
    which = limit(Resource.STREAMS, Period.AT_ONCE, 1)
    async with fleet(valkey) as replicas:
        assert (await replicas.take(which, replica=0, seconds=0.3))[0]
        assert not (await replicas.take(which, replica=1))[0]
        await asyncio.sleep(0.35)
        assert (await replicas.take(which, replica=1))[0]


async def test_a_counter_begins_with_what_the_ledger_has(valkey: Valkey) -> None:
    which = limit(Resource.COST, Period.MONTH, 30)
    async with fleet(valkey, NoSeeds(20)) as replicas:
        assert await replicas.count(which, 30) == 10


async def test_a_counter_catches_up_with_the_ledger(valkey: Valkey) -> None:
    which = limit(Resource.TOKENS, Period.MONTH, 30)
    async with fleet(valkey) as replicas:
        assert (await replicas.take(which, replica=0))[0]
        # A gateway that died had used 25; two others find it in the ledger.
        for limiter in replicas.limiters[:2]:
            await limiter.raise_to(which, 25)
        await replicas.limiters[0].raise_to(which, 10)
        assert await replicas.count(which, 30) == 4


async def test_what_waits_to_be_settled_is_settled_before_the_end(valkey: Valkey) -> None:
    which = limit(Resource.TOKENS, Period.MONTH, 30)
    async with fleet(valkey) as replicas:
        _, lease, settlement = await replicas.take(which, replica=0, amount=30)
        replicas.limiters[0].settle(lease, [Settlement(settlement.demand, 20, True)])
    async with fleet(valkey) as replicas:
        assert await replicas.count(which, 30) == 10


WINDOWS = [
    SLOW,
    limit(Resource.TOKENS, Period.MONTH, 30),
    limit(Resource.STREAMS, Period.AT_ONCE, 30),
]


@pytest.mark.parametrize("which", WINDOWS, ids=lambda which: which.name)
async def test_a_flush_lets_through_one_more_per_replica_at_most(
    valkey: Valkey, which: Limit
) -> None:
    async with fleet(valkey) as replicas:
        passed = await replicas.count(which, 15)
        with valkey.client() as client:
            client.flushall()
        passed += await replicas.count(which, 60)
        assert 30 <= passed <= 30 + REPLICAS


@pytest.mark.parametrize("which", WINDOWS, ids=lambda which: which.name)
async def test_a_frozen_valkey_is_bounded_and_quick(valkey: Valkey, which: Limit) -> None:
    async with fleet(valkey, timeout_seconds=0.3) as replicas:
        await beaten(replicas)
        passed = await replicas.count(which, 15)
        valkey.freeze()
        took = []
        for index in range(60):
            started = time.perf_counter()
            passed += (await replicas.take(which, replica=index % REPLICAS))[0]
            took.append(time.perf_counter() - started)
        # The first of each replica waits for the time-out; the others do not ask.
        assert sorted(took)[-1 - REPLICAS] < 0.02
        assert 27 <= passed <= 30 + REPLICAS
        valkey.thaw()
        await until_shared(replicas, which)
        passed += await replicas.count(which, 60)
        assert 27 <= passed <= 30 + REPLICAS


@pytest.mark.parametrize("which", WINDOWS, ids=lambda which: which.name)
async def test_a_killed_valkey_is_bounded_through_its_return(
    tmp_path_factory: pytest.TempPathFactory, which: Limit
) -> None:
    with running_valkey(tmp_path_factory.mktemp("first")) as first:
        async with fleet(first) as replicas:
            await beaten(replicas)
            passed = await replicas.count(which, 15)
            first.process.kill()
            first.process.wait()
            passed += await replicas.count(which, 60)
            assert 27 <= passed <= 30 + REPLICAS
            folder = tmp_path_factory.mktemp("second")
            with running_valkey(folder, port=first.port):
                await until_shared(replicas, which)
                passed += await replicas.count(which, 60)
            assert 27 <= passed <= 30 + REPLICAS


async def test_replicas_count_themselves(valkey: Valkey) -> None:
    async with fleet(valkey) as replicas:
        await beaten(replicas)
        assert [each._replicas for each in replicas.limiters] == [REPLICAS] * REPLICAS


async def test_windows_have_names_and_ends() -> None:
    now = datetime(2026, 12, 31, 18, 0, tzinfo=UTC)
    month, day = (limit(Resource.COST, each, 1) for each in (Period.MONTH, Period.DAY))
    assert (month.window(now), day.window(now)) == ("2026-12", "2026-12-31")
    assert month.reset_seconds(now) == day.reset_seconds(now) == 6 * 3_600


async def until(take: object, seconds: float = 5.0) -> None:
    give_up = time.monotonic() + seconds
    while not (await take())[0]:  # type: ignore[operator]
        assert time.monotonic() < give_up
        await asyncio.sleep(0.02)


async def until_shared(replicas: Fleet, which: Limit) -> None:
    """Waits until every replica asks Valkey again; a look takes nothing."""
    give_up = time.monotonic() + 5 * OPEN_SECONDS
    for replica, limiter in enumerate(replicas.limiters):
        while not limiter.is_shared:
            assert time.monotonic() < give_up
            await replicas.take(which, replica=replica, amount=0)
            await asyncio.sleep(0.05)


async def beaten(replicas: Fleet) -> None:
    """Waits until every replica has counted all."""
    for limiter in replicas.limiters * 2:
        assert limiter._shared is not None
        limiter._replicas = await limiter._shared.beat()
