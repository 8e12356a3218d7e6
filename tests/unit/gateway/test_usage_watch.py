"""Budgets that run low and days out of the ordinary are noticed once, by whichever replica."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.gateway.ledger.alerts import AlertStore
from services.gateway.ledger.events import Payer
from services.gateway.ledger.ledger import Ledger
from services.gateway.ledger.schema import ensure_ledger
from services.gateway.limits.rules import Limit, Period, Resource, Rule, Subject
from services.gateway.limits.watch import Watch
from services.gateway.usage import PriceTable, Usage
from services.sql.engine import open_engine, sqlite_url
from services.sql.reader import Reader
from services.sql.writer import GroupWriter

ANN = Payer("acme", "user:ann", "k1")
BUDGET = Limit(
    Rule(Subject.USER, Resource.TOKENS, Period.MONTH, 1_000), "acme", "user:ann", "tenant"
)


class World:
    """A ledger and two replicas that watch it."""

    def __init__(self, reader: Reader, writer: GroupWriter) -> None:
        self.now = datetime(2026, 3, 10, 12, tzinfo=UTC)
        self.ledger = Ledger(reader, writer, PriceTable(), now=lambda: self.now)
        self.alerts = AlertStore(reader, writer)
        self.raised: list[float] = []
        self.watches = [
            Watch(self.ledger, self.alerts, lambda _: [BUDGET], self.raise_to, now=lambda: self.now)
            for _ in range(2)
        ]

    async def raise_to(self, limit: Limit, used: float) -> None:
        """Notes what counters are raised to."""
        self.raised.append(used)

    async def use(self, tokens: int, times: int = 1) -> list[int]:
        """Uses something and lets both replicas look; returns how much was new to each."""
        for _ in range(times):
            self.ledger.record(ANN, "query", Usage(prompt_tokens=tokens))
        batch = tuple(self.ledger._pending)
        await self.ledger.flush()
        for watch in self.watches:
            await watch.added(batch)
        return [await watch.look() for watch in self.watches]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    engine = open_engine(sqlite_url(tmp_path / "ledger.db"))
    ensure_ledger(engine)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(engine.dispose)
        writer = await stack.enter_async_context(GroupWriter(engine))
        yield World(await stack.enter_async_context(Reader(engine, 1)), writer)


async def test_a_budget_is_told_of_at_a_half_four_fifths_and_its_end(world: World) -> None:
    assert await world.use(499) == [0, 0]
    assert await world.use(1) == [1, 0]
    assert await world.use(400) == [1, 0]
    assert await world.use(1) == [0, 0]
    assert await world.use(200) == [1, 0]
    assert world.raised[-1] == 1_101
    found = await world.alerts.latest("acme")
    assert [(each.threshold_percent, each.used) for each in found] == [
        (100, 1_101),
        (80, 900),
        (50, 500),
    ]
    assert {(each.kind, each.subject_id, each.window) for each in found} == {
        ("budget", "user:ann", "2026-03")
    }
    world.now += timedelta(days=30)
    assert await world.use(600) == [1, 0]
    assert await world.alerts.latest("other") == ()


async def test_a_day_far_above_those_before_is_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.limits.watch.SPIKE_LEAST_REQUESTS", 20)
    world.watches = [
        Watch(world.ledger, world.alerts, lambda _: [], world.raise_to, now=lambda: world.now)
        for _ in range(2)
    ]
    for _ in range(4):
        assert await world.use(10, times=10) == [0, 0]
        world.now += timedelta(days=1)
    assert await world.use(1, times=29) == [0, 0]
    assert await world.use(1) == [1, 0]
    assert await world.use(300) == [1, 0]
    found = await world.alerts.latest("acme")
    assert [(each.kind, each.resource, each.limit) for each in found] == [
        ("spike", "tokens", 100),
        ("spike", "requests", 10),
    ]
