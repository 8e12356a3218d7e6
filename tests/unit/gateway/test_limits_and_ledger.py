"""Rate limits without Valkey, and usage that adds up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from services.gateway.edge.limits import OPEN_SECONDS, Allowance, LocalBuckets, Rate, RateLimiter
from services.gateway.store import tables
from services.gateway.store.ledger import Ledger
from services.gateway.usage import PriceTable, Usage
from services.rpc.errors import ResourceExhaustedError
from services.sql.engine import open_engine
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter
from tests.kit.postgres import database_url

__all__ = ["database_url"]

RATE = Rate(per_second=2.0, burst=3)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class FlakyBuckets:
    def __init__(self) -> None:
        self.is_away = False
        self.calls = 0

    async def take(self, name: str, rate: Rate) -> Allowance:
        self.calls += 1
        if self.is_away:
            raise ConnectionRefusedError
        return Allowance(True, 99, 98, 0.0, 0.0)


async def test_bucket_empties_and_fills() -> None:
    clock = Clock()
    buckets = LocalBuckets(clock)
    taken = [await buckets.take("a", RATE) for _ in range(4)]
    assert [each.is_allowed for each in taken] == [True, True, True, False]
    assert [each.remaining for each in taken] == [2, 1, 0, 0]
    assert taken[-1].retry_after_seconds == pytest.approx(0.5)
    with pytest.raises(ResourceExhaustedError) as caught:
        taken[-1].check()
    assert caught.value.retry_after_seconds == pytest.approx(0.5)
    assert (await buckets.take("b", RATE)).is_allowed
    clock.now += 0.5
    assert (await buckets.take("a", RATE)).is_allowed
    assert not (await buckets.take("a", RATE)).is_allowed


async def test_local_buckets_take_over_and_give_back() -> None:
    clock, shared = Clock(), FlakyBuckets()
    limiter = RateLimiter(shared, RATE, clock)
    assert (await limiter.take("a")).limit == 99
    shared.is_away = True
    taken = [await limiter.take("a") for _ in range(4)]
    assert [each.is_allowed for each in taken] == [True, True, True, False]
    assert shared.calls == 2  # left alone after its first failure
    assert not limiter.is_shared
    clock.now += OPEN_SECONDS
    await limiter.take("a")
    assert shared.calls == 3
    shared.is_away = False
    clock.now += OPEN_SECONDS
    assert (await limiter.take("a")).limit == 99
    assert limiter.is_shared


async def test_usage_adds_up_over_writers_and_days(database_url: str) -> None:
    engine = open_engine(database_url)
    ensure_schema(engine, tables.metadata, tables.VERSION, component=tables.COMPONENT)
    now = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)
    prices = PriceTable(prompt=1.0, cached_prompt=0.1)
    usage = Usage(prompt_tokens=1_000_000, cached_prompt_tokens=500_000)
    async with (
        GroupWriter(engine) as one,
        GroupWriter(engine) as two,
        Reader(engine, 1) as reader,
    ):
        ledgers = [Ledger(reader, writer, prices, lambda: now) for writer in (one, two)]
        for ledger in ledgers:
            for _ in range(10):
                ledger.record("acme", "query", usage)
            ledger.record("other", "query")
        await asyncio.gather(*(ledger.flush() for ledger in ledgers))
        now = datetime(2026, 2, 1, tzinfo=UTC)
        ledgers[0].record("acme", "search")
        rows = await ledgers[0].rows("acme", "2026-01-01", "2026-02-28")
        january = await ledgers[1].rows("acme", "2026-01-01", "2026-01-31")
    engine.dispose()
    assert [(row.day, row.operation, row.request_count) for row in rows] == [
        ("2026-01-31", "query", 20),
        ("2026-02-01", "search", 1),
    ]
    assert january[0].usage.prompt_tokens == 20_000_000
    assert january[0].cost.amount == pytest.approx(20 * 0.55)
