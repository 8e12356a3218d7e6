"""Channels with a guard, against real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.rpc.breaker import BreakerRules
from services.rpc.channel import open_channel
from services.rpc.errors import Reason, UnavailableError
from services.rpc.guard import Guard
from services.rpc.retry_budget import RetryBudget
from tests.kit.echo import ARITIES, Echo, EchoStub
from tests.kit.grpc_server import serve


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    async def behave(self, text: str) -> AsyncIterator[str]:
        self.calls += 1
        if self.calls <= self.failures:
            raise UnavailableError(Reason.NOT_READY, "it restarts")
        yield text


def guard(row: int = 100) -> Guard:
    return Guard(
        "echo",
        RetryBudget("echo", credit=10),
        is_essential=True,
        rules=BreakerRules(failures_in_row=row, failure_share=1.1, pause_seconds=0.2),
    )


@pytest.mark.parametrize(("arity", "calls"), [("UnaryUnary", 3), ("UnaryStream", 1)])
async def test_only_calls_that_can_run_twice_unseen_are_repeated(arity: str, calls: int) -> None:
    flaky = Flaky(failures=2)
    async with (
        serve(Echo(flaky.behave).register) as served,
        open_channel(served.target, guard=guard()) as channel,
    ):
        stub = EchoStub(channel)
        if calls == 1:
            with pytest.raises(UnavailableError, match="it restarts"):
                await stub.ask(arity, "x")
        else:
            assert await stub.ask(arity, "x") == ["x"]
    assert flaky.calls == calls


@pytest.mark.parametrize("arity", ARITIES)
async def test_what_fails_is_left_alone_and_used_again_when_it_is_back(arity: str) -> None:
    flaky = Flaky(failures=4)
    tried = Guard("echo", None, rules=BreakerRules(failures_in_row=4, pause_seconds=0.2))
    async with (
        serve(Echo(flaky.behave).register) as served,
        open_channel(served.target, guard=tried) as channel,
    ):
        stub = EchoStub(channel)
        for _ in range(4):
            with pytest.raises(UnavailableError, match="it restarts"):
                await stub.ask(arity, "x")
        with pytest.raises(UnavailableError, match="left alone"):
            await stub.ask(arity, "x")
        assert flaky.calls == 4
        async with asyncio.timeout(5):
            while tried.breaker.pause_left_seconds > 0:
                await asyncio.sleep(0.01)
        assert await stub.ask(arity, "x") == ["x"]
        assert await stub.ask(arity, "x") == ["x"]
    assert tried.in_flight == 0


async def test_an_abandoned_stream_leaves_its_place() -> None:
    async def endless(text: str) -> AsyncIterator[str]:
        while True:
            yield text
            await asyncio.sleep(0.001)

    tried = guard()
    async with (
        serve(Echo(endless).register) as served,
        open_channel(served.target, guard=tried) as channel,
    ):
        call = EchoStub(channel).call("UnaryStream", "x")
        async for _ in call:
            break
        assert tried.in_flight == 1
        call.cancel()
        async with asyncio.timeout(5):
            while tried.in_flight:
                await asyncio.sleep(0.01)
