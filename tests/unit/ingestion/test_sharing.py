"""Calls that many make at once become few, and each caller gets what is his."""

from __future__ import annotations

import asyncio

import pytest

from services.ingestion.sharing import SharedCalls


class Service:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[int]]] = []
        self.gate = asyncio.Event()

    async def run(self, key, items):
        self.calls.append((key, list(items)))
        await self.gate.wait()
        return [ValueError(str(item)) if item < 0 else item * 10 for item in items]


async def started(count: int, service: Service) -> None:
    async with asyncio.timeout(5):
        while len(service.calls) < count:
            await asyncio.sleep(0)


async def test_who_comes_meanwhile_shares_the_next_call():
    service = Service()
    shared = SharedCalls(service.run, most=3)
    asks = [asyncio.create_task(shared.ask("a", n)) for n in range(6)]
    await started(1, service)
    late = asyncio.create_task(shared.ask("a", 6))
    service.gate.set()
    assert await asyncio.gather(*asks, late) == [0, 10, 20, 30, 40, 50, 60]
    assert [len(items) for _, items in service.calls] == [3, 3, 1]


async def test_as_many_calls_of_a_key_are_under_way_as_may_be():
    service = Service()
    shared = SharedCalls(service.run, most=2, calls_at_once=2)
    asks = [asyncio.create_task(shared.ask("a", n)) for n in range(8)]
    await started(2, service)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(service.calls) == 2
    other = asyncio.create_task(shared.ask("b", 8))
    await started(3, service)
    service.gate.set()
    assert await asyncio.gather(*asks, other) == [n * 10 for n in range(9)]
    assert sorted(n for key, items in service.calls for n in items if key == "a") == list(range(8))
    # Nothing is kept of keys that nobody asks for.
    assert await shared.ask("a", 9) == 90


async def test_each_error_reaches_the_one_it_concerns():
    service = Service()
    service.gate.set()
    shared = SharedCalls(service.run, most=3, calls_at_once=2)
    good, bad = await asyncio.gather(
        shared.ask("a", 1), shared.ask("a", -1), return_exceptions=True
    )
    assert good == 10
    assert isinstance(bad, ValueError)


async def test_a_caller_that_gave_up_takes_no_part():
    service = Service()
    shared = SharedCalls(service.run, most=1)
    first = asyncio.create_task(shared.ask("a", 1))
    await started(1, service)
    second = asyncio.create_task(shared.ask("a", 2))
    third = asyncio.create_task(shared.ask("a", 3))
    await asyncio.sleep(0)
    second.cancel()
    service.gate.set()
    assert await asyncio.gather(first, third) == [10, 30]
    with pytest.raises(asyncio.CancelledError):
        await second
    assert service.calls == [("a", [1]), ("a", [3])]
