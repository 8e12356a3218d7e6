"""Replicas chosen by key: affinity, dead and frozen ones, names with several addresses."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from services.rpc.breaker import BreakerRules
from services.rpc.errors import DeadlineExceededError, UnavailableError
from services.rpc.placement import placement_key
from services.rpc.replicas import Replicas
from tests.kit.echo import Behaviour, Echo, EchoStub
from tests.kit.grpc_server import Served, serve
from tests.kit.ports import free_port


def answering(name: str) -> Behaviour:
    async def behave(text: str) -> AsyncIterator[str]:
        yield name

    return behave


async def _served(stack: AsyncExitStack, *names: str) -> list[Served]:
    return [
        await stack.enter_async_context(serve(Echo(answering(name)).register)) for name in names
    ]


async def ask(replicas: Replicas, key: str | None, *, timeout: float = 5) -> str:
    with replicas.visit(None if key is None else placement_key(key), 100) as visit:
        return (await EchoStub(visit.channel).ask("UnaryUnary", "x", timeout=timeout))[0]


async def connected(replicas: Replicas, names: set[str]) -> None:
    """Waits until all replicas answer."""
    async with asyncio.timeout(10):
        seen: set[str] = set()
        while seen != names:
            try:
                seen.add(await ask(replicas, None))
            except UnavailableError:
                await asyncio.sleep(0.01)


async def test_equal_keys_meet_and_all_replicas_serve() -> None:
    async with AsyncExitStack() as stack:
        target = ",".join(each.target for each in await _served(stack, "a", "b"))
        replicas = await stack.enter_async_context(Replicas("echo", target).running())
        await connected(replicas, {"a", "b"})
        homes = {key: await ask(replicas, key) for key in map(str, range(20))}
        again = {key: await ask(replicas, key) for key in homes}

    assert again == homes
    assert set(homes.values()) == {"a", "b"}


async def test_without_a_key_the_load_is_level() -> None:
    async with AsyncExitStack() as stack:
        target = ",".join(each.target for each in await _served(stack, "a", "b"))
        replicas = await stack.enter_async_context(Replicas("echo", target).running())
        await connected(replicas, {"a", "b"})
        counts = Counter([await ask(replicas, None) for _ in range(20)])

    assert abs(counts["a"] - counts["b"]) <= 2


async def test_a_replica_that_is_not_there_gets_nothing() -> None:
    async with AsyncExitStack() as stack:
        (served,) = await _served(stack, "a")
        target = f"{served.target},127.0.0.1:{free_port()}"
        replicas = await stack.enter_async_context(Replicas("echo", target).running())
        await connected(replicas, {"a"})
        answers = {await ask(replicas, key) for key in map(str, range(20))}

    assert answers == {"a"}


async def test_a_replica_that_hangs_is_left_before_deadlines_pass() -> None:
    async def hanging(text: str) -> AsyncIterator[str]:
        await asyncio.sleep(60)
        yield text

    rules = BreakerRules(slow_seconds=0.2, pause_seconds=30)
    async with AsyncExitStack() as stack:
        hung = await stack.enter_async_context(serve(Echo(hanging).register))
        (well,) = await _served(stack, "well")
        replicas = await stack.enter_async_context(
            Replicas("echo", f"{hung.target},{well.target}", rules=rules).running()
        )
        await connected_to(replicas, 2)
        waiting = [asyncio.create_task(ask(replicas, None, timeout=5)) for _ in range(6)]
        await asyncio.sleep(0.5)
        answers = {await ask(replicas, key) for key in map(str, range(20))}
        for each in waiting:
            each.cancel()
        done = await asyncio.gather(*waiting, return_exceptions=True)

    assert answers == {"well"}
    assert not any(isinstance(each, DeadlineExceededError) for each in done)


async def connected_to(replicas: Replicas, count: int) -> None:
    """Waits until so many channels are ready."""
    async with asyncio.timeout(10):
        while len(replicas.usable()) < count:
            await asyncio.sleep(0.01)


async def test_what_failed_a_request_is_left_out_of_its_next_try() -> None:
    async with AsyncExitStack() as stack:
        target = ",".join(each.target for each in await _served(stack, "a", "b"))
        replicas = await stack.enter_async_context(Replicas("echo", target).running())
        await connected_to(replicas, 2)
        first, second = replicas.addresses
        with replicas.visit(None, 1, without=[first]) as visit:
            assert visit.address == second
        with (
            pytest.raises(UnavailableError, match="no replica of the echo service"),
            replicas.visit(None, 1, without=[first, second]),
        ):
            pass


async def test_a_name_is_looked_up_again() -> None:
    async with AsyncExitStack() as stack:
        (served,) = await _served(stack, "a")
        found: list[list[str]] = [[served.target]]

        class Named(Replicas):
            async def _addresses(self) -> list[str]:
                return found[-1]

        replicas = await stack.enter_async_context(
            Named("echo", "dns:///replicas.test:1", resolve_seconds=0.02).running()
        )
        await connected(replicas, {"a"})
        (later,) = await _served(stack, "b")
        found.append([later.target])
        async with asyncio.timeout(5):
            while replicas.addresses != (later.target,):
                await asyncio.sleep(0.01)
        await connected(replicas, {"b"})
        found.append([])  # the name service is away
        await asyncio.sleep(0.1)
        assert await ask(replicas, "x") == "b"
