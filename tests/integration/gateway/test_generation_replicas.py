"""Several generation replicas behind the gateway: affinity, failover, answers begun anew."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cairn.generation.v1 import generation_service_pb2_grpc as generation_rpc

from tests.kit.downstream import FakeGeneration, running_downstream
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.grpc_server import serve
from tests.kit.tcp_proxy import TcpProxy, tcp_proxy

Pair = tuple[RunningGateway, list[FakeGeneration], list[TcpProxy]]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """A gateway with two generation replicas, each behind a proxy."""
    async with contextlib.AsyncExitStack() as stack:
        down = await stack.enter_async_context(running_downstream())
        second = FakeGeneration()
        served = await stack.enter_async_context(
            serve(
                lambda server: generation_rpc.add_GenerationServiceServicer_to_server(
                    second, server
                ),
                service_names=["cairn.generation.v1.GenerationService"],
            )
        )
        proxies = [
            await stack.enter_async_context(tcp_proxy(target))
            for target in (down.targets["generation"], served.target)
        ]
        down.targets["generation"] = ",".join(each.address for each in proxies)
        gw = await stack.enter_async_context(running_gateway(tmp_path, down=down))
        yield gw, [down.generation, second], proxies


def asked(replica: FakeGeneration) -> int:
    return len(replica.generate.requests("Generate"))


async def ask(client: httpx.AsyncClient, query: str = "How does granite form?", **more: object):
    body = {"query": query, **more}
    return await client.post("/v1/query", json=body, headers={"x-cairn-cache": "off"})


async def home(client: httpx.AsyncClient, replicas: list[FakeGeneration]) -> int:
    """Asks until the same replica has answered twice in a row; returns which."""
    while True:
        before = [asked(each) for each in replicas]
        for _ in range(2):
            assert (await ask(client)).status_code == 200
        for number, replica in enumerate(replicas):
            if asked(replica) == before[number] + 2:
                return number


async def test_questions_over_the_same_passages_go_to_one_replica(pair: Pair) -> None:
    gw, replicas, _ = pair
    async with gw.client() as client:
        at = await home(client, replicas)
        before = asked(replicas[1 - at])
        for number in range(6):
            await ask(client, f"How does granite form, number {number}?")

    assert asked(replicas[1 - at]) == before


async def test_a_replica_that_is_gone_is_not_missed(pair: Pair) -> None:
    gw, replicas, proxies = pair
    async with gw.client() as client:
        at = await home(client, replicas)
        await proxies[at].cut()
        answers = [(await ask(client)).json() for _ in range(6)]

    assert all(each["degraded"] == [] for each in answers)
    assert asked(replicas[1 - at]) >= 6


async def test_an_answer_nobody_has_seen_is_begun_anew_elsewhere(pair: Pair) -> None:
    gw, replicas, _ = pair
    async with gw.client() as client:
        at = await home(client, replicas)
        replicas[at].break_after = 2
        answer = (await ask(client)).json()

    assert answer["degraded"] == []
    assert answer["answer"].startswith("Granite forms when magma cools slowly")


async def test_an_answer_that_is_being_read_is_not_begun_anew(pair: Pair) -> None:
    gw, replicas, _ = pair
    async with gw.client() as client:
        at = await home(client, replicas)
        replicas[at].break_after = 2
        before = asked(replicas[1 - at])
        text = (await ask(client, stream=True)).text
    final = json.loads(text.rpartition("event: response\ndata: ")[2].strip().splitlines()[0])

    assert final["degraded"] == ["generation_truncated"]
    assert asked(replicas[1 - at]) == before
