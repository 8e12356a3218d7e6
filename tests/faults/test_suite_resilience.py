"""The real suite under load while its services are killed and frozen, one after the other.

Minutes long, and about time: for a quiet machine. `test_gateway_resilience` has the short forms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.kit.load import Load, ask_once, at_rate, by_clients
from tests.kit.suite import Suite, ingest_text, running_suite

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

RECOVERY_SECONDS = 10.0
DEADLINE_SECONDS = 10.0
MISSING = {
    "embedding": {"dense_unavailable", "rerank_skipped"},
    "generation": {"generation_unavailable"},
}
TEXT = """# Rocks

Granite is an igneous rock. It forms when magma cools slowly below ground.

Basalt cools quickly at the surface. The quarry of Riga sells 250 tons of stone a year.
"""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    settings = {"CAIRN_GATEWAY_RATE_PER_SECOND": "10000", "CAIRN_GATEWAY_RATE_BURST": "100000"}
    with running_suite(tmp_path_factory.mktemp("loaded") / "data", **settings) as suite:
        ingest_text(suite, rocks=TEXT)
        yield suite


def client(suite: Suite) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {suite.api_key}"}
    limits = httpx.Limits(max_connections=2_000)
    return httpx.AsyncClient(
        base_url=suite.http_url, headers=headers, timeout=20, limits=limits, trust_env=False
    )


def pid_of(suite: Suite, service: str) -> int:
    return suite.state().of_service(service)[0].pid


async def recovered(asking: httpx.AsyncClient) -> float:
    """Waits for a whole answer; returns how long that took."""
    began = time.monotonic()
    while True:
        answer = await ask_once(asking)
        if answer.status == 200 and not answer.degraded:
            return time.monotonic() - began
        assert time.monotonic() - began < 60, answer
        await asyncio.sleep(0.2)


async def capacity(asking: httpx.AsyncClient) -> float:
    """Returns the questions a second that a few clients get answered."""
    began = time.monotonic()
    load = await by_clients(asking, 8, 150)
    assert load.goodput == 1.0, load.statuses
    return 150 / (time.monotonic() - began)


async def test_twice_as_much_as_it_can_do(loaded: Suite) -> None:
    async with client(loaded) as asking:
        peak = await capacity(asking)
        began = time.monotonic()
        load = await at_rate(asking, 2 * peak, float(os.environ.get("OVERLOAD_SECONDS", "120")))
        took = time.monotonic() - began
        seconds = await recovered(asking)
    # An answer after its deadline is worth nothing, wherever the question waited.
    answered = sum(each.status == 200 and each.seconds <= DEADLINE_SECONDS for each in load.asked)
    print(
        f"\npeak {peak:.1f}/s, answered {answered / took:.1f}/s, {load.statuses}, {load.degraded}"
    )
    print(f"p95 {load.quantile(0.95):.2f} s, refused p95 {load.quantile(0.95, 429):.3f} s")

    assert answered / took >= 0.9 * peak
    assert set(load.statuses) <= {200, 429, 503}
    assert seconds < RECOVERY_SECONDS


@pytest.mark.parametrize("service", MISSING)
async def test_a_frozen_service(loaded: Suite, service: str) -> None:
    async with client(loaded) as asking:
        rate = 0.4 * await capacity(asking)
        pid = pid_of(loaded, service)
        os.kill(pid, signal.SIGSTOP)
        try:
            load = await at_rate(asking, rate, 20)
        finally:
            os.kill(pid, signal.SIGCONT)
        seconds = await recovered(asking)
    print(f"\n{service}: {load.statuses}, {load.degraded}, p95 {load.quantile(0.95):.2f} s")
    print(f"back after {seconds:.1f} s")

    assert load.goodput >= 0.9
    assert set(load.degraded) <= MISSING[service] | {"generation_fallback"}
    assert seconds < RECOVERY_SECONDS


async def test_a_frozen_retrieval_is_said_to_be_away_and_comes_back(loaded: Suite) -> None:
    async with client(loaded) as asking:
        pid = pid_of(loaded, "retrieval")
        os.kill(pid, signal.SIGSTOP)
        try:
            load = await at_rate(asking, 5, 20)
        finally:
            os.kill(pid, signal.SIGCONT)
        seconds = await recovered(asking)
    print(f"\nretrieval: {load.statuses}, back after {seconds:.1f} s")

    assert set(load.statuses) <= {503, 504}
    assert seconds < RECOVERY_SECONDS


@pytest.mark.parametrize("service", ["embedding", "generation", "retrieval"])
async def test_a_killed_service(loaded: Suite, service: str) -> None:
    """The supervisor starts it again; until it is back, answers lack what it gives."""
    async with client(loaded) as asking:
        killed = pid_of(loaded, service)
        os.kill(killed, signal.SIGKILL)
        load = await at_rate(asking, 5, 10)
        async with asyncio.timeout(60):
            while not _serves_again(loaded, service, killed):
                await asyncio.sleep(0.2)
        seconds = await recovered(asking)
    print(f"\n{service}: {load.statuses}, {load.degraded}, back after {seconds:.1f} s")

    if service in MISSING:
        assert load.goodput >= 0.9
        assert set(load.degraded) <= MISSING[service] | {"generation_fallback"}
    assert seconds < RECOVERY_SECONDS


def _serves_again(suite: Suite, service: str, killed: int) -> bool:
    now = suite.state().of_service(service)[0]
    return now.pid != killed and now.state == "ready"


async def test_slow_headers_and_idle_connections_slow_nobody_down(loaded: Suite) -> None:
    host, port = loaded.http_url.removeprefix("http://").split(":")
    async with client(loaded) as asking:
        before = Load()
        after = Load()
        for _ in range(3):  # by turns: the machine may change
            before.asked += (await by_clients(asking, 4, 60)).asked
            async with contextlib.AsyncExitStack() as held:
                writers = [await _held(held, host, int(port)) for _ in range(600)]
                dripping = asyncio.create_task(_drip(writers[:100]))
                held.callback(dripping.cancel)
                after.asked += (await by_clients(asking, 4, 60)).asked
    print(f"\np95 {before.quantile(0.95):.3f} s before, {after.quantile(0.95):.3f} s with them")

    assert after.goodput == 1.0
    assert after.quantile(0.95) <= 1.5 * before.quantile(0.95)


async def _held(held: contextlib.AsyncExitStack, host: str, port: int) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection(host, port)
    held.callback(writer.close)
    return writer


async def _drip(writers: list[asyncio.StreamWriter]) -> None:
    """Sends headers a byte at a time."""
    text = b"GET /healthz HTTP/1.1\r\nhost: a\r\nx-slow: " + b"a" * 1_000
    for byte in text:
        for writer in writers:
            with contextlib.suppress(OSError):
                writer.write(bytes([byte]))
        await asyncio.sleep(0.5)
