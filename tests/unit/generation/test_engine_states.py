"""Pause, drain, sleep and wake: what the engine is told, and who waits meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from services.generation.engine import EngineState
from services.generation.engine_states import EngineStates
from services.generation.fair_queue import FairQueue, QueueLimits
from services.rpc.errors import UnavailableError, UnimplementedError
from services.rpc.scope import TenantClass


class Told:
    """An engine that notes what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = False

    async def pause_generation(self, *, mode: str, clear_cache: bool) -> None:
        if self.fails:
            raise ConnectionError
        self.calls.append(f"pause {mode} {clear_cache}")

    async def resume_generation(self) -> None:
        self.calls.append("resume")

    async def sleep(self, level: int) -> None:
        self.calls.append(f"sleep {level}")

    async def wake_up(self) -> bool:
        self.calls.append("wake")
        return True


@pytest.fixture
def queue() -> FairQueue:
    return FairQueue(QueueLimits(4, 1000, 10, 1000))


async def admitted(queue: FairQueue, entered: asyncio.Event, leave: asyncio.Event) -> None:
    async with queue.admit(
        "t", TenantClass.STANDARD, prompt_tokens=1, output_tokens=1, patience_seconds=None
    ):
        entered.set()
        await leave.wait()


async def test_a_pause_holds_new_requests_until_the_engine_goes_on(queue: FairQueue) -> None:
    engine = Told()
    states = EngineStates(engine, queue, can_sleep=True)
    entered, leave = asyncio.Event(), asyncio.Event()
    await states.change(EngineState.PAUSED)
    states.check()
    request = asyncio.create_task(admitted(queue, entered, leave))
    await asyncio.sleep(0.01)
    was_held = not entered.is_set()
    await states.change(EngineState.SERVING)
    async with asyncio.timeout(5):
        await entered.wait()
    leave.set()
    await request

    assert was_held
    assert engine.calls == ["pause keep False", "resume"]


async def test_a_drain_lets_requests_end_and_refuses_new_ones(queue: FairQueue) -> None:
    states = EngineStates(Told(), queue, can_sleep=True)
    entered, leave = asyncio.Event(), asyncio.Event()
    request = asyncio.create_task(admitted(queue, entered, leave))
    await entered.wait()
    draining = asyncio.create_task(states.change(EngineState.DRAINED))
    await asyncio.sleep(0.1)
    with pytest.raises(UnavailableError):
        states.check()
    was_waiting = not draining.done()
    leave.set()
    await request
    await draining

    assert was_waiting
    assert states.state is EngineState.DRAINED


async def test_sleep_comes_after_the_drain_and_any_state_leads_to_any(queue: FairQueue) -> None:
    engine = Told()
    states = EngineStates(engine, queue, can_sleep=True)
    for state in (EngineState.ASLEEP, EngineState.ASLEEP, EngineState.PAUSED, EngineState.SERVING):
        await states.change(state)

    assert engine.calls == ["sleep 1", "wake", "pause keep False", "resume"]
    states.check()


async def test_an_engine_that_cannot_sleep_says_so(queue: FairQueue) -> None:
    states = EngineStates(Told(), queue, can_sleep=False)
    with pytest.raises(UnimplementedError, match="enable_sleep_mode"):
        await states.change(EngineState.ASLEEP)

    assert states.state is EngineState.SERVING


async def test_a_pause_that_fails_leaves_the_engine_serving(queue: FairQueue) -> None:
    engine = Told()
    engine.fails = True
    states = EngineStates(engine, queue, can_sleep=True)
    with pytest.raises(ConnectionError):
        await states.change(EngineState.PAUSED)
    entered, leave = asyncio.Event(), asyncio.Event()
    leave.set()
    async with asyncio.timeout(5):
        await admitted(queue, entered, leave)

    assert states.state is EngineState.SERVING
