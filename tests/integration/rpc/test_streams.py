"""A stream that nobody reads any more ends its call, at every hop."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from services.rpc.channel import open_channel
from tests.kit.echo import Echo, EchoStub
from tests.kit.grpc_server import serve


@pytest.fixture(autouse=True)
def _without_garbage_collection() -> Iterator[None]:
    """The end must not depend on when the collector comes."""
    gc.disable()
    yield
    gc.enable()


class Endless:
    """Answers for ever, quickly or slowly, and notes its end."""

    def __init__(self, pause_seconds: float, size: int = 1) -> None:
        self._pause_seconds = pause_seconds
        self._answer = "x" * size
        self.ended = asyncio.Event()

    async def behave(self, text: str) -> AsyncIterator[str]:
        try:
            while True:
                yield self._answer
                await asyncio.sleep(self._pause_seconds)
        finally:
            self.ended.set()


@pytest.mark.parametrize("arity", ["UnaryStream", "StreamStream"])
@pytest.mark.parametrize("pause_seconds", [0, 60])
async def test_loop_left_early_ends_the_call(arity: str, pause_seconds: float) -> None:
    endless = Endless(pause_seconds)
    async with (
        serve(Echo(endless.behave).register) as served,
        open_channel(served.target) as channel,
        asyncio.timeout(5),
    ):
        async for _ in EchoStub(channel).call(arity, "x"):
            break
        assert await endless.ended.wait()


async def test_loop_may_be_left_and_taken_up_again() -> None:
    async def count(text: str) -> AsyncIterator[str]:
        for number in range(4):
            yield str(number)

    async with (
        serve(Echo(count).register) as served,
        open_channel(served.target) as channel,
    ):
        call = EchoStub(channel).call("UnaryStream", "x")
        first = [await anext(aiter(call))]
        rest = [answer async for answer in call]
        assert await call.code() is grpc.StatusCode.OK
    assert [answer.value for answer in first + rest] == ["0", "1", "2", "3"]


async def test_stream_may_be_read_by_hand() -> None:
    async with (
        serve(Echo().register) as served,
        open_channel(served.target) as channel,
    ):
        call = EchoStub(channel).call("UnaryStream", "x")
        assert (await call.read()).value == "x"
        assert await call.read() is grpc.aio.EOF


@pytest.mark.parametrize("outer_arity", ["UnaryStream", "StreamStream"])
@pytest.mark.parametrize("size", [1, 100_000])
async def test_client_that_leaves_ends_the_work_two_hops_away(outer_arity: str, size: int) -> None:
    """With large answers the outer server waits in gRPC, not in its own generator."""
    endless = Endless(0, size)
    async with (
        serve(Echo(endless.behave).register) as inner_served,
        open_channel(inner_served.target) as inner_channel,
    ):

        async def forward(text: str) -> AsyncIterator[str]:
            async for answer in EchoStub(inner_channel).call("UnaryStream", text):
                yield answer.value

        async with (
            serve(Echo(forward).register) as outer_served,
            open_channel(outer_served.target) as outer_channel,
            asyncio.timeout(10),
        ):
            call = EchoStub(outer_channel).call(outer_arity, "x")
            assert len((await call.read()).value) == size
            await asyncio.sleep(0.1)
            call.cancel()
            await endless.ended.wait()
