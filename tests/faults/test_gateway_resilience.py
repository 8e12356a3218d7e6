"""The gateway before services that are gone, hang, err, are slow or have too much to do.

The services are small ones of the test's own, each behind a proxy that can be cut and frozen; the
network, the gateway and its surfaces are real.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.gateway.settings import GatewaySettings
from services.rpc.errors import Reason, UnavailableError
from tests.kit.downstream import Downstream, running_downstream
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.load import Load, ask_once, at_rate, by_clients
from tests.kit.tcp_proxy import TcpProxy, tcp_proxy

RECOVERY_SECONDS = 10.0
MISSING = {
    "embedding": {"dense_unavailable", "rerank_skipped", "grounding_by_words"},
    "generation": {"generation_unavailable"},
    "retrieval": None,
}
"""What answers lack without a service; None: there is none."""


@contextlib.asynccontextmanager
async def proxied(
    folder: Path, **options: Any
) -> AsyncIterator[tuple[RunningGateway, dict[str, TcpProxy]]]:
    """Runs a gateway whose services are behind proxies."""
    async with contextlib.AsyncExitStack() as stack:
        down = await stack.enter_async_context(running_downstream())
        proxies = {
            name: await stack.enter_async_context(tcp_proxy(target))
            for name, target in down.targets.items()
        }
        down.targets = {name: proxy.address for name, proxy in proxies.items()}
        yield (
            await stack.enter_async_context(running_gateway(folder, down=down, **options)),
            proxies,
        )


async def recovered(client: httpx.AsyncClient) -> float:
    """Waits for a whole answer; returns how long that took."""
    began = time.monotonic()
    while True:
        answer = await ask_once(client)
        if answer.status == 200 and not answer.degraded:
            return time.monotonic() - began
        assert time.monotonic() - began < 2 * RECOVERY_SECONDS, answer
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("service", MISSING)
async def test_a_service_that_is_gone(tmp_path: Path, service: str) -> None:
    async with proxied(tmp_path) as (gw, proxies), gw.client() as client:
        assert (await ask_once(client)).degraded == ()
        await proxies[service].cut()
        load = await by_clients(client, 4, 40)
        await proxies[service].open()
        seconds = await recovered(client)

    _check(load, MISSING[service])
    assert seconds < RECOVERY_SECONDS


@pytest.mark.parametrize("service", MISSING)
async def test_a_service_that_hangs(tmp_path: Path, service: str) -> None:
    async with proxied(tmp_path, query_timeout_seconds=4) as (gw, proxies), gw.client() as client:
        assert (await ask_once(client)).degraded == ()
        proxies[service].freeze()
        await by_clients(client, 8, 16)  # they wait, and the breaker opens
        load = await by_clients(client, 4, 40)
        proxies[service].thaw()
        seconds = await recovered(client)

    _check(load, MISSING[service])
    assert load.quantile(0.5) < 1.0 or MISSING[service] is None, "it is left alone by now"
    assert seconds < RECOVERY_SECONDS


def _check(load: Load, missing: set[str] | None) -> None:
    if missing is None:
        assert set(load.statuses) <= {503, 504}, load.statuses
        assert load.quantile(0.5, 503) < 0.5
        assert all(each.retry_after for each in load.asked if each.status == 503)
        return
    assert load.goodput == 1.0, load.statuses
    assert set(load.degraded) == missing
    assert all(each.degraded for each in load.asked)


def by_chance(
    share: float, seed: int, what: Callable[[], Awaitable[None]]
) -> Callable[[], Awaitable[None]]:
    """Returns what happens to a share of calls."""
    luck = random.Random(seed)

    async def before() -> None:
        if luck.random() < share:
            await what()

    return before


def everywhere(down: Downstream, share: float, what: Callable[[], Awaitable[None]]) -> None:
    """Lets it happen to a share of the calls of every service."""
    faults = (
        down.embedding.embed,
        down.embedding.rerank,
        down.retrieval.search,
        down.generation.generate,
    )
    for seed, fault in enumerate(faults):
        fault.before = by_chance(share, seed, what)


def calls(down: Downstream) -> int:
    """Calls of questions so far."""
    faults = (
        down.embedding.embed,
        down.embedding.rerank,
        down.retrieval.search,
        down.generation.generate,
    )
    return sum(
        len(fault.requests(method))
        for fault, method in zip(faults, ("Embed", "Rerank", "Search", "Generate"), strict=True)
    )


async def test_one_call_in_five_failing(tmp_path: Path) -> None:
    async def fail() -> None:
        raise UnavailableError(Reason.NOT_READY, "it restarts")

    async with running_gateway(tmp_path) as gw, gw.client() as client:
        await by_clients(client, 8, 100)  # the budget of repetitions is what quiet times leave
        before = calls(gw.down)
        everywhere(gw.down, 0.2, fail)
        load = await by_clients(client, 8, 300)
        made = calls(gw.down) - before

    assert load.goodput >= 0.9, load.statuses
    # Without repetitions each question makes four calls, and fewer where one is left out.
    assert made <= 1.1 * 4 * 300
    assert set(load.degraded) <= {"dense_unavailable", "rerank_skipped", "generation_unavailable"}


async def test_one_call_in_ten_taking_two_seconds_more(tmp_path: Path) -> None:
    async with running_gateway(tmp_path) as gw, gw.client() as client:
        everywhere(gw.down, 0.1, lambda: asyncio.sleep(2))
        load = await by_clients(client, 20, 100)

    assert load.goodput == 1.0, load.statuses
    assert load.quantile(1.0) < GatewaySettings().query_timeout_seconds
    assert set(load.degraded) <= {"dense_unavailable", "rerank_skipped"}


async def test_what_is_too_much_is_refused_at_once_and_the_rest_is_answered(
    tmp_path: Path,
) -> None:
    is_free = asyncio.Event()
    async with running_gateway(tmp_path, max_requests_in_flight=20) as gw, gw.client() as client:
        gw.down.retrieval.search.before = is_free.wait  # type: ignore[assignment]
        asked = [asyncio.create_task(ask_once(client)) for _ in range(60)]
        async with asyncio.timeout(10):
            while sum(each.done() for each in asked) < 42:
                await asyncio.sleep(0.01)
        refused = [each.result() for each in asked if each.done()]
        is_free.set()
        load = Load(await asyncio.gather(*asked))

    # A standard tenant may fill nine tenths of the room.
    assert load.statuses == {200: 18, 429: 42}
    assert {each.status for each in refused} == {429}
    assert all(each.retry_after for each in refused)


@pytest.mark.long
async def test_twice_as_much_as_it_can_do(tmp_path: Path) -> None:
    """Wants a quiet machine: it is about time."""
    room = asyncio.Semaphore(4)

    async def work() -> None:
        async with room:
            await asyncio.sleep(0.2)  # 20 a second

    async with running_gateway(tmp_path, max_requests_in_flight=64) as gw, gw.client() as client:
        gw.down.retrieval.search.before = work
        await at_rate(client, 40, 10)
        load = await at_rate(client, 40, 20)
        gw.down.retrieval.search.before = None
        seconds = await recovered(client)

    answered = load.goodput * len(load.asked)
    assert answered >= 0.9 * 20 * 20, load.statuses
    assert all(each.retry_after for each in load.asked if each.status == 429)
    assert seconds < RECOVERY_SECONDS
