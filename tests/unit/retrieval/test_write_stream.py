"""A stream's writes overlap, keep their order, and stop at the first that fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.retrieval.write_stream import Write, in_order
from services.rpc.admission import Admission
from services.rpc.errors import InvalidArgumentError, ResourceExhaustedError


class Writer:
    """Notes what was begun; each write is done when it is told so."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.done: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []

    async def begin(self, name: str, _cost: int) -> Write[str]:
        if name.startswith("bad"):
            raise InvalidArgumentError.for_field("documents", "no good")
        self.done[name] = asyncio.get_running_loop().create_future()

        async def work() -> str:
            self.begun.append(name)
            try:
                await self.done[name]
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            return name

        return Write(frozenset({name[0]}), work)


def cost(name: str) -> int:
    """Returns what a message costs: its letters."""
    return len(name)


async def messages(*names: str) -> AsyncIterator[str]:
    for name in names:
        yield name


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_writes_overlap_and_are_acknowledged_in_their_order():
    writer = Writer()
    acks: list[str] = []

    async def collect() -> None:
        async for each in in_order(messages("a1", "b1", "c1"), writer.begin, cost, everything()):
            acks.append(each)  # noqa: PERF401 - looked at as they come

    collecting = asyncio.create_task(collect())
    await settle()
    assert writer.begun == ["a1", "b1", "c1"]
    writer.done["c1"].set_result(None)
    writer.done["b1"].set_result(None)
    await settle()
    assert acks == []
    writer.done["a1"].set_result(None)
    await collecting
    assert acks == ["a1", "b1", "c1"]


async def test_a_write_waits_for_one_of_the_same_document():
    writer = Writer()
    acks = in_order(messages("a1", "a2"), writer.begin, cost, everything())
    first = asyncio.ensure_future(anext(acks))
    await settle()
    assert writer.begun == ["a1"]
    writer.done["a1"].set_result(None)
    assert await first == "a1"
    await settle()
    assert writer.begun == ["a1", "a2"]
    await acks.aclose()
    assert writer.cancelled == ["a2"]


async def test_so_many_are_under_way_at_most():
    writer = Writer()
    names = [f"{letter}1" for letter in "abcdefghijklmnop"]
    acks = in_order(messages(*names), writer.begin, cost, everything())
    first = asyncio.ensure_future(anext(acks))
    for _ in range(5):
        await settle()
    begun = len(writer.begun)
    assert begun < len(names)
    writer.done["a1"].set_result(None)
    await first
    second = asyncio.ensure_future(anext(acks))
    await settle()
    assert len(writer.begun) == begun + 1
    second.cancel()
    await settle()


async def test_what_came_before_a_bad_message_is_acknowledged_first():
    writer = Writer()
    acks = in_order(messages("a1", "bad", "c1"), writer.begin, cost, everything())
    first = asyncio.ensure_future(anext(acks))
    await settle()
    writer.done["a1"].set_result(None)
    assert await first == "a1"
    with pytest.raises(InvalidArgumentError):
        await anext(acks)
    assert writer.begun == ["a1"]


async def test_nothing_is_begun_after_a_write_failed():
    writer = Writer()
    more = asyncio.Event()

    async def flow() -> AsyncIterator[str]:
        yield "a1"
        await more.wait()
        yield "b1"

    acks = in_order(flow(), writer.begin, cost, everything())
    first = asyncio.ensure_future(anext(acks))
    await settle()
    writer.done["a1"].set_exception(InvalidArgumentError.for_field("documents", "no good"))
    more.set()
    with pytest.raises(InvalidArgumentError):
        await first
    assert writer.begun == ["a1"]


async def test_a_caller_may_wait_for_each_acknowledgement():
    writer = Writer()
    acked = asyncio.Event()

    async def flow() -> AsyncIterator[str]:
        yield "a1"
        await acked.wait()
        yield "b1"

    acks = in_order(flow(), writer.begin, cost, everything())
    first = asyncio.ensure_future(anext(acks))
    await settle()
    writer.done["a1"].set_result(None)
    assert await first == "a1"
    acked.set()
    second = asyncio.ensure_future(anext(acks))
    await settle()
    writer.done["b1"].set_result(None)
    assert await second == "b1"
    with pytest.raises(StopAsyncIteration):
        await anext(acks)


async def test_a_stream_waits_for_its_own_writes_but_not_for_those_of_others():
    admission = Admission(5, "test_write_stream")
    writer = Writer()
    acks = in_order(messages("aaa", "bbb"), writer.begin, cost, admission)
    first = asyncio.ensure_future(anext(acks))
    await settle()
    assert writer.begun == ["aaa"]
    writer.done["aaa"].set_result(None)
    assert await first == "aaa"
    await settle()
    assert writer.begun == ["aaa", "bbb"]
    other = in_order(messages("ccc"), writer.begin, cost, admission)
    with pytest.raises(ResourceExhaustedError):
        await anext(other)
    await acks.aclose()
    assert admission.cost_in_flight == 0


def everything() -> Admission:
    return Admission(1000, "test_write_stream")
