"""The tenants' queue: order, bounds, room for newcomers, honest refusals, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter

import pytest

from services.generation.fair_queue import FairQueue, QueueLimits, Ticket
from services.rpc.errors import Reason, ResourceExhaustedError
from services.rpc.scope import TenantClass

STANDARD = TenantClass.STANDARD


class Clock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def make(
    running: int = 1,
    prefill_tokens: int = 1000,
    waiting: int = 100,
    waiting_tokens: int = 100_000,
    **more: object,
) -> FairQueue:
    return FairQueue(QueueLimits(running, prefill_tokens, waiting, waiting_tokens), **more)  # pyright: ignore[reportArgumentType]


class Crowd:
    """Requests that hold their place in the engine until they are told to leave."""

    def __init__(self, queue: FairQueue) -> None:
        self.queue = queue
        self.entered: list[str] = []
        self.tickets: dict[str, Ticket] = {}
        self._leaving: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(
        self,
        tenant: str,
        tenant_class: TenantClass = STANDARD,
        *,
        prompt_tokens: int = 10,
        output_tokens: int = 10,
        patience_seconds: float | None = None,
        is_read: bool = True,
    ) -> str:
        name = f"{tenant}{sum(each.startswith(tenant) for each in self._tasks)}"
        leave = self._leaving[name] = asyncio.Event()

        async def run() -> None:
            async with self.queue.admit(
                tenant,
                tenant_class,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                patience_seconds=patience_seconds,
            ) as ticket:
                self.entered.append(name)
                self.tickets[name] = ticket
                if is_read:
                    self.queue.read(ticket)
                await leave.wait()

        self._tasks[name] = asyncio.create_task(run())
        await settle()
        return name

    async def leave(self, name: str, used_tokens: int | None = None) -> None:
        self.tickets[name].used_tokens = used_tokens
        self._leaving[name].set()
        await self._tasks[name]
        await settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._tasks[name]
        await settle()

    async def refusal(self, tenant: str, **fields: float) -> ResourceExhaustedError:
        name = await self.come(tenant, **fields)  # pyright: ignore[reportArgumentType]
        with pytest.raises(ResourceExhaustedError) as refused:
            await self._tasks.pop(name)
        return refused.value

    async def drain(self) -> list[str]:
        """Lets everybody leave in the order they entered, and returns that order."""
        number = 0
        while number < len(self.entered):
            await self.leave(self.entered[number])
            number += 1
        return self.entered


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_flood_of_one_tenant_lets_others_in_between() -> None:
    crowd = Crowd(make(running=1))
    for _ in range(10):
        await crowd.come("a")
    await crowd.come("b")
    await crowd.come("b")

    order = await crowd.drain()

    assert order.index("b0") <= 2
    assert order.index("b1") <= 4
    assert crowd.queue.running == crowd.queue.waiting == 0


async def test_weights_share_the_turns() -> None:
    crowd = Crowd(make(running=1, waiting=1000))
    for _ in range(40):
        await crowd.come("free", TenantClass.FREE)
        await crowd.come("premium", TenantClass.PREMIUM)

    order = await crowd.drain()

    first = Counter(name.rstrip("0123456789") for name in order[:25])
    assert 3.0 <= first["premium"] / first["free"] <= 5.0


async def test_long_requests_count_for_more_than_short_ones() -> None:
    crowd = Crowd(make(running=1, waiting=1000))
    for _ in range(20):
        await crowd.come("long", prompt_tokens=90, output_tokens=10)
        await crowd.come("short", prompt_tokens=9, output_tokens=1)

    order = await crowd.drain()

    assert sum(name.startswith("short") for name in order[:12]) >= 9


async def test_what_was_not_used_is_given_back() -> None:
    crowd = Crowd(make(running=1))
    cheap = await crowd.come("cheap", output_tokens=1000)
    dear = [await crowd.come("dear", output_tokens=1000) for _ in range(3)]
    await crowd.leave(cheap, used_tokens=20)
    again = [await crowd.come("cheap", output_tokens=1000) for _ in range(2)]
    await crowd.leave(dear[0], used_tokens=1010)

    assert crowd.entered == [cheap, dear[0], again[0]]
    await crowd.drain()


async def test_a_lone_tenant_never_takes_the_last_places() -> None:
    crowd = Crowd(make(running=10))
    for _ in range(20):
        await crowd.come("flood")
    flooding = len(crowd.entered)
    await crowd.come("newcomer")

    assert flooding == 8
    assert crowd.entered[-1] == "newcomer0"
    await crowd.drain()


async def test_a_lone_tenant_never_fills_the_room_to_wait_in() -> None:
    crowd = Crowd(make(running=1, waiting=10))
    await crowd.come("flood")
    for _ in range(8):
        await crowd.come("flood")
    refused = await crowd.refusal("flood")
    await crowd.come("newcomer")

    assert refused.reason is Reason.OVERLOADED
    assert refused.retry_after_seconds is not None
    assert refused.retry_after_seconds > 0
    assert crowd.queue.waiting == 9
    await crowd.drain()


async def test_waiting_tokens_are_bounded_and_one_long_prompt_may_wait_alone() -> None:
    crowd = Crowd(make(running=1, waiting_tokens=100))
    await crowd.come("a")
    await crowd.come("b", prompt_tokens=500)
    refused = await crowd.refusal("c", prompt_tokens=50)

    assert refused.reason is Reason.OVERLOADED
    await crowd.drain()
    assert crowd.entered == ["a0", "b0"]


async def test_who_would_come_too_late_is_refused_at_once() -> None:
    clock = Clock()
    crowd = Crowd(make(running=1, clock=clock))
    for number in range(40):
        await crowd.come("a")
        if number >= 20:
            clock.now += 2.0
            await crowd.leave(crowd.entered[-1])
    refused = await crowd.refusal("a", patience_seconds=3.0)
    await crowd.refusal("a", patience_seconds=100.0)  # its turn would come after 40, about
    patient = await crowd.come("a", patience_seconds=1000.0)

    assert "deadline" in refused.message
    assert refused.retry_after_seconds is not None
    assert refused.retry_after_seconds > 3.0
    assert patient not in crowd.entered
    await crowd.drain()


async def test_unread_prompts_hold_the_next_ones_back() -> None:
    queue = make(running=10, prefill_tokens=100)
    async with queue.admit(
        "a", STANDARD, prompt_tokens=80, output_tokens=1, patience_seconds=None
    ) as first:
        crowd = Crowd(queue)
        await crowd.come("b", prompt_tokens=30)
        before = list(crowd.entered)
        queue.read(first)
        await settle()

        assert before == []
        assert crowd.entered == ["b0"]
        await crowd.drain()


async def test_a_full_cache_holds_everybody_back_until_it_has_room() -> None:
    usage = 0.0
    queue = make(running=10, cache_usage=lambda: usage)
    crowd = Crowd(queue)
    await crowd.come("a")
    usage = 0.99
    await crowd.come("a")
    full = list(crowd.entered)
    usage = 0.5
    async with asyncio.timeout(5):
        while len(crowd.entered) < 2:
            await asyncio.sleep(0.01)

    assert full == ["a0"]
    await crowd.drain()


async def test_held_requests_wait_and_go_on() -> None:
    crowd = Crowd(make(running=10))
    crowd.queue.hold()
    await crowd.come("a")
    held = list(crowd.entered)
    crowd.queue.release()
    await settle()

    assert held == []
    assert crowd.entered == ["a0"]
    await crowd.drain()


async def test_whoever_leaves_the_queue_leaves_nothing_behind() -> None:
    source = random.Random(3)
    queue = make(running=3, prefill_tokens=60, waiting=1000)
    crowd = Crowd(queue)
    names = [
        await crowd.come(source.choice("abcde"), prompt_tokens=source.randrange(1, 50))
        for _ in range(100)
    ]
    for name in source.sample(names, 60):
        await crowd.cancel(name)
    for name in names:
        await crowd.cancel(name)

    assert queue.running == queue.waiting == 0
    assert queue.oldest_seconds == 0
    async with queue.admit(
        "z", STANDARD, prompt_tokens=60, output_tokens=1, patience_seconds=0.0
    ) as ticket:
        assert ticket.is_in
    assert not queue._tenants
    assert queue._unread_tokens == queue._waiting_tokens == 0


async def test_a_cancel_in_the_moment_of_entry_frees_the_place() -> None:
    crowd = Crowd(make(running=1))
    first = await crowd.come("a")
    second = await crowd.come("b")
    third = await crowd.come("c")
    crowd._leaving[first].set()
    await asyncio.sleep(0)
    await crowd.cancel(second)
    await settle()

    assert crowd.entered[-1] == third
    await crowd.leave(third)
    assert crowd.queue.running == 0


async def test_many_tenants_that_come_once_are_forgotten() -> None:
    queue = make(running=100, prefill_tokens=10**9)
    crowd = Crowd(queue)
    stays = await crowd.come("stays")
    for number in range(1500):
        async with queue.admit(
            f"t{number}", STANDARD, prompt_tokens=10, output_tokens=10, patience_seconds=None
        ) as ticket:
            ticket.used_tokens = 0

    assert len(queue._tenants) < 1100
    await crowd.leave(stays)


async def test_beside_others_a_flood_runs_a_few_times_what_they_ask_for() -> None:
    clock = Clock()
    crowd = Crowd(make(running=32, clock=clock))
    quiet = await crowd.come("quiet")
    for _ in range(20):
        await crowd.come("flood")
    beside = crowd.queue.running
    await crowd.leave(quiet)
    just_after = crowd.queue.running
    clock.now += 5.0
    await crowd.leave("flood0")

    assert beside == 1 + 3
    assert just_after == 3
    assert crowd.queue.running == 19
    await crowd.drain()


async def test_beside_others_a_floods_prompts_are_read_one_by_one() -> None:
    crowd = Crowd(make(running=64))
    quiet = [await crowd.come("quiet") for _ in range(2)]
    flood = [await crowd.come("flood", is_read=False) for _ in range(10)]
    running = [crowd.queue.running]
    for name in flood[:3]:
        crowd.queue.read(crowd.tickets[name])
        await settle()
        running.append(crowd.queue.running)
    alone = [await crowd.come("other", is_read=False) for _ in range(2)]

    assert quiet == ["quiet0", "quiet1"]
    # As many as the others have come in at once; when they are read, one after the other.
    assert running == [2 + 2, 2 + 2, 2 + 3, 2 + 4]
    assert set(alone) <= set(crowd.entered)
    await crowd.drain()


async def test_equal_neighbours_are_not_held_back() -> None:
    crowd = Crowd(make(running=32))
    for _ in range(12):
        await crowd.come("a")
        await crowd.come("b")

    assert crowd.queue.running == 24
    await crowd.drain()


async def test_a_turn_that_comes_too_late_goes_to_the_next_one() -> None:
    clock = Clock()
    crowd = Crowd(make(running=1, clock=clock))
    for _ in range(3):
        name = await crowd.come("a")
        crowd.tickets[name].written_tokens = 10
        clock.now += 4.0
        await crowd.leave(name)
    holds = await crowd.come("a")
    hurried = await crowd.come("b", patience_seconds=5.0)
    calm = await crowd.come("c", patience_seconds=500.0)
    clock.now += 4.0
    await crowd.leave(holds)

    assert crowd.entered[-1] == calm
    with pytest.raises(ResourceExhaustedError):
        await crowd._tasks[hurried]
    await crowd.leave(calm)
    assert crowd.queue.running == crowd.queue.waiting == 0
