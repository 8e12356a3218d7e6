"""Channels against real servers: balancing, health, retries, dead and frozen peers, hops."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from services.rpc import channel as channel_module
from services.rpc.channel import open_channel
from services.rpc.deadline import deadline_in, remaining_seconds
from services.rpc.errors import (
    DeadlineExceededError,
    Reason,
    UnavailableError,
)
from tests.kit.echo import ARITIES, Behaviour, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, Served, serve
from tests.kit.ports import free_port


def answering(name: str) -> Behaviour:
    async def behave(text: str) -> AsyncIterator[str]:
        yield name

    return behave


async def _replicas(stack: AsyncExitStack, *names: str, **kwargs: object) -> list[Served]:
    return [
        await stack.enter_async_context(serve(Echo(answering(name)).register, **kwargs))
        for name in names
    ]


async def test_calls_go_round_all_replicas() -> None:
    async with AsyncExitStack() as stack:
        replicas = await _replicas(stack, "a", "b")
        target = ",".join(each.target for each in replicas)
        channel = await stack.enter_async_context(open_channel(target))
        stub = EchoStub(channel)
        async with asyncio.timeout(5):
            while {(await stub.ask("UnaryUnary", "x"))[0] for _ in range(4)} != {"a", "b"}:
                pass  # the second connection may come after the first calls
        counted = Counter([(await stub.ask("UnaryUnary", "x"))[0] for _ in range(10)])
    assert counted == {"a": 5, "b": 5}


async def test_replica_that_is_not_ready_gets_no_calls_until_it_is() -> None:
    async with AsyncExitStack() as stack:
        (ready,) = await _replicas(stack, "ready")
        (starting,) = await _replicas(stack, "starting", is_ready=False)
        channel = await stack.enter_async_context(open_channel(f"{ready.target},{starting.target}"))
        stub = EchoStub(channel)
        assert {(await stub.ask("UnaryUnary", "x"))[0] for _ in range(20)} == {"ready"}
        starting.server.set_ready(True)
        async with asyncio.timeout(5):
            while (await stub.ask("UnaryUnary", "x"))[0] != "starting":
                await asyncio.sleep(0.01)
        ready.server.set_ready(False)
        async with asyncio.timeout(5):
            while {(await stub.ask("UnaryUnary", "x"))[0] for _ in range(4)} != {"starting"}:
                await asyncio.sleep(0.01)


async def test_health_may_be_ignored() -> None:
    async with AsyncExitStack() as stack:
        (starting,) = await _replicas(stack, "starting", is_ready=False)
        asking = await stack.enter_async_context(open_channel(starting.target))
        with pytest.raises(UnavailableError):
            await EchoStub(asking).ask("UnaryUnary", "x")
        channel = await stack.enter_async_context(
            open_channel(starting.target, health_service=None)
        )
        assert await EchoStub(channel).ask("UnaryUnary", "x") == ["starting"]


class Flaky:
    """Fails some times, then answers."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.calls = 0

    async def behave(self, text: str) -> AsyncIterator[str]:
        self.calls += 1
        if self.calls <= self.failures:
            raise UnavailableError(Reason.NOT_READY, "the engine restarts")
        yield text


async def test_nothing_is_retried_by_default() -> None:
    flaky = Flaky(failures=1)
    async with (
        serve(Echo(flaky.behave).register) as served,
        open_channel(served.target) as channel,
    ):
        with pytest.raises(UnavailableError):
            await EchoStub(channel).ask("UnaryUnary", "x")
    assert flaky.calls == 1


async def test_absent_peer_fails_at_once_and_is_found_when_it_comes() -> None:
    port = free_port()
    async with open_channel(f"localhost:{port}") as channel:
        stub = EchoStub(channel)
        async with asyncio.timeout(5):
            with pytest.raises(UnavailableError) as raised:
                await stub.ask("UnaryUnary", "x", timeout=60)
        assert raised.value.reason is Reason.DEPENDENCY_UNAVAILABLE
        assert str(port) not in str(raised.value)
        async with serve(Echo().register, settings=RpcTestSettings(port=port)):
            async with asyncio.timeout(10):
                while True:
                    try:
                        assert await stub.ask("UnaryUnary", "x") == ["x"]
                        break
                    except UnavailableError:
                        await asyncio.sleep(0.02)


async def test_peer_that_hangs_without_closing_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A relay that stops passing bytes stands for a frozen machine."""
    monkeypatch.setattr(channel_module, "KEEPALIVE_MS", 300)
    monkeypatch.setattr(channel_module, "PING_TIMEOUT_MS", 300)
    passing = asyncio.Event()
    passing.set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await reader.read(65536):
                await passing.wait()
                writer.write(data)

    async def behave(text: str) -> AsyncIterator[str]:
        passing.clear()
        yield text

    async with serve(Echo(behave).register) as served:
        relays: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer_reader, peer_writer = await asyncio.open_connection("127.0.0.1", served.port)
            for source, sink in ((reader, peer_writer), (peer_reader, writer)):
                relays.add(asyncio.create_task(relay(source, sink)))

        listener = await asyncio.start_server(accept, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with open_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(10):
            with pytest.raises(UnavailableError):
                await EchoStub(channel).ask("UnaryUnary", "x", timeout=60)
        for task in relays:
            task.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
        listener.close()
        await listener.wait_closed()


async def test_fact_7_deadline_goes_down_two_hops_less_a_margin() -> None:
    left: list[float] = []

    async def inner(text: str) -> AsyncIterator[str]:
        left.append(remaining_seconds() or -1)
        yield text

    async with (
        serve(Echo(inner).register) as inner_served,
        open_channel(inner_served.target) as inner_channel,
    ):

        async def outer(text: str) -> AsyncIterator[str]:
            left.append(remaining_seconds() or -1)
            for arity in ARITIES:
                await EchoStub(inner_channel).ask(arity, text)
            await EchoStub(inner_channel).ask("UnaryUnary", text, timeout=1000)
            yield text

        async with (
            serve(Echo(outer).register) as outer_served,
            open_channel(outer_served.target) as outer_channel,
        ):
            await EchoStub(outer_channel).ask("UnaryUnary", "x", timeout=4)
    at_outer, *at_inner = left
    assert 3 < at_outer <= 4.05
    assert len(at_inner) == 5
    # gRPC rounds a deadline up to hundredths of itself on the wire.
    assert all(3 < each < at_outer for each in at_inner)


async def test_spent_deadline_fails_before_the_call() -> None:
    async with (
        serve(Echo().register) as served,
        open_channel(served.target) as channel,
    ):
        for arity in ARITIES:
            with deadline_in(0.01), pytest.raises(DeadlineExceededError, match="before the call"):
                await EchoStub(channel).ask(arity, "x")


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("cause", ["cancel", "deadline"])
async def test_fact_1_end_of_the_outer_call_stops_the_inner_work(arity: str, cause: str) -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def inner(text: str) -> AsyncIterator[str]:
        yield text
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with (
        serve(Echo(inner).register) as inner_served,
        open_channel(inner_served.target) as inner_channel,
    ):

        async def outer(text: str) -> AsyncIterator[str]:
            for answer in await EchoStub(inner_channel).ask(arity, text):
                yield answer

        async with (
            serve(Echo(outer).register) as outer_served,
            open_channel(outer_served.target) as outer_channel,
            asyncio.timeout(20),
        ):
            timeout = 2 if cause == "deadline" else 60
            task = asyncio.ensure_future(
                EchoStub(outer_channel).ask("UnaryUnary", "x", timeout=timeout)
            )
            await started.wait()
            if cause == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                with pytest.raises(DeadlineExceededError):
                    await task
            await ended.wait()


async def test_fact_8_connections_age_so_that_new_replicas_are_found() -> None:
    """The peer's port is the connection: it changes though nothing failed."""
    ports: list[str] = []

    class Peers(Echo):
        async def _one(self, request, context):
            ports.append(context.peer())
            return request

    settings = RpcTestSettings(max_connection_age_seconds=1)
    async with (
        serve(Peers().register, settings=settings) as served,
        open_channel(served.target) as channel,
        asyncio.timeout(10),
    ):
        while len(set(ports)) < 2:
            assert await EchoStub(channel).ask("UnaryUnary", "x") == ["x"]
            await asyncio.sleep(0.02)
