"""A service is ready as long as an engine of its default chain answers."""

from __future__ import annotations

import asyncio

import pytest

from services.generation.engine import FakeEngine
from services.generation.readiness import Probe, keep_ready


class Hanging(FakeEngine):
    """Answers while it is told to."""

    def __init__(self, *, is_well: bool = True) -> None:
        super().__init__()
        self.is_well = is_well

    async def answers(self) -> bool:
        return self.is_well


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.words: list[bool] = []
        self._said = asyncio.Event()

    def __call__(self, is_ready: bool) -> None:
        self.words.append(is_ready)
        self._said.set()

    async def next(self) -> bool:
        async with asyncio.timeout(5):
            await self._said.wait()
        self._said.clear()
        return self.words[-1]


@pytest.fixture
async def told() -> Told:
    return Told()


async def test_it_is_told_when_the_only_engine_hangs_and_when_it_is_back(told: Told) -> None:
    engine = Hanging()
    asking = asyncio.create_task(keep_ready([engine], told, poll_seconds=0.001))
    await asyncio.sleep(0.02)
    engine.is_well = False
    assert await told.next() is False
    engine.is_well = True
    assert await told.next() is True
    asking.cancel()

    assert told.words == [False, True]


async def test_another_engine_that_answers_is_enough(told: Told) -> None:
    asking = asyncio.create_task(
        keep_ready([Hanging(is_well=False), FakeEngine()], told, poll_seconds=0.001)
    )
    await asyncio.sleep(0.02)
    asking.cancel()

    assert told.words == []


async def test_a_question_without_an_answer_is_asked_once() -> None:
    asked = 0
    answer = asyncio.Event()

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    probe = Probe(ask, 0.001)
    before = [await probe.answers() for _ in range(3)]
    answer.set()
    async with asyncio.timeout(5):
        while not await probe.answers():
            pass

    assert before == [False, False, False]
    assert asked == 1


async def test_a_failure_is_no_answer_and_a_close_drops_the_question() -> None:
    async def fail() -> None:
        raise ConnectionError

    async def hang() -> None:
        await asyncio.Event().wait()

    hanging = Probe(hang, 0.001)

    assert not await Probe(fail).answers()
    assert not await hanging.answers()
    hanging.close()
