"""Three gateways over one database and one Valkey: killed, frozen and flushed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.kit.downstream import Downstream, running_downstream
from tests.kit.gateway_process import GatewayProcess, gateway_process
from tests.kit.valkey import Valkey, running_valkey

REPLICAS = 3
LIMIT = 60
QUERY = {"query": "How does granite form?"}
TOKENS = ("embedding_tokens", "rerank_tokens", "prompt_tokens", "completion_tokens")


@dataclass
class Fleet:
    """Gateways that share everything but their disks."""

    replicas: list[GatewayProcess]
    key: str
    down: Downstream
    valkey: Valkey
    database: Path
    stack: contextlib.AsyncExitStack

    def client(self, index: int) -> httpx.AsyncClient:
        return self.replicas[index % len(self.replicas)].client(self.key)

    async def add(self, folder: Path) -> GatewayProcess:
        """Starts one more; a folder that a killed one left is its own again."""
        running = await self.stack.enter_async_context(
            gateway_process(
                folder,
                self.down,
                database_url=f"sqlite:///{self.database}",
                valkey_url=self.valkey.url,
                pepper="p" * 40,
                limit_replicas=REPLICAS,
                answer_cache_bytes=0,
                result_cache_bytes=0,
                price_prompt=1.0,
                price_completion=3.0,
                price_embedding=0.02,
            )
        )
        self.replicas.append(running)
        return running


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with contextlib.AsyncExitStack() as stack:
        down = await stack.enter_async_context(running_downstream())
        (tmp_path / "valkey").mkdir()
        valkey = stack.enter_context(running_valkey(tmp_path / "valkey"))
        found = Fleet([], "", down, valkey, tmp_path / "gateway.db", stack)
        first = await found.add(tmp_path / "0")
        found.key = (first.folder / "gateway" / "admin.key").read_text().strip()
        for index in range(1, REPLICAS):
            await found.add(tmp_path / str(index))
        yield found


async def set_limit(client: httpx.AsyncClient, **rule: Any) -> None:
    response = await client.put("/v1/limits/rules", json={"subject": "tenant", **rule})
    assert response.status_code == 200, response.text


def question(number: int) -> dict[str, Any]:
    return {"query": f"How does granite number {number} form?"}


async def ask(client: httpx.AsyncClient, number: int, found: list[Any]) -> None:
    started = time.perf_counter()
    response = await client.post("/v1/search", json=question(number))
    found.append((response.status_code, time.perf_counter() - started))


async def wave(fleet: Fleet, count: int, begin: int) -> list[tuple[int, float]]:
    """Sends so many searches, a few at a time, to all replicas; returns statuses and seconds."""
    found: list[tuple[int, float]] = []
    gate = asyncio.Semaphore(6)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(fleet.client(i)) for i in range(REPLICAS)]

        async def one(number: int) -> None:
            async with gate:
                await ask(clients[number % REPLICAS], number, found)

        await asyncio.gather(*(one(begin + number) for number in range(count)))
    return found


def allowed(found: list[tuple[int, float]]) -> int:
    assert {status for status, _ in found} <= {200, 429}
    return Counter(status for status, _ in found)[200]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param("none", marks=pytest.mark.long),
        pytest.param("flushed", marks=pytest.mark.long),
        pytest.param("frozen", marks=pytest.mark.long),
        "killed",
    ],
)
async def test_no_tenant_passes_its_limit_by_more_than_one_request_a_replica(
    fleet: Fleet, fault: str
) -> None:
    async with fleet.client(0) as client:
        # Requests are counted at the door, searches among them; this one is the first.
        await set_limit(client, resource="requests", period="day", amount=LIMIT)
    await asyncio.sleep(3.5)  # what is changed holds everywhere after the caches' time
    passed = 0
    for begin in range(0, 2 * LIMIT, LIMIT // 3):
        if begin == LIMIT // 3:
            match fault:
                case "flushed":
                    with fleet.valkey.client() as valkey:
                        valkey.flushall()
                case "frozen":
                    fleet.valkey.freeze()
                case "killed":
                    fleet.valkey.process.kill()
                    fleet.valkey.process.wait()
                case _:
                    pass
        passed += allowed(await wave(fleet, LIMIT // 3, begin))
    assert passed <= LIMIT + REPLICAS
    # Cut off, each replica keeps to its share of what was left.
    assert passed >= LIMIT - (2 * REPLICAS if fault in {"frozen", "killed"} else 2)


async def usage_of(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/v1/usage")).json()["total"]


async def stream_until_delta(client: httpx.AsyncClient) -> tuple[dict[str, Any], int]:
    """Reads a stream until its gateway dies; returns the response, if it came, and its deltas."""
    response: dict[str, Any] = {}
    deltas = 0
    event = ""
    body = {**QUERY, "stream": True, "bypass_cache": True}
    with contextlib.suppress(httpx.TransportError):
        async with client.stream("POST", "/v1/query", json=body) as stream:
            async for line in stream.aiter_lines():
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                    deltas += event == "delta"
                elif line.startswith("data: ") and event == "response":
                    response = json.loads(line.removeprefix("data: "))
    return response, deltas


async def test_sums_are_exact_after_a_gateway_is_killed_mid_stream(fleet: Fleet) -> None:
    victim = fleet.replicas[1]
    answers: list[dict[str, Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(fleet.client(i)) for i in range(REPLICAS)]
        for number in range(9):
            response = await clients[number % REPLICAS].post("/v1/query", json=question(number))
            answers.append(response.json())
        before = _written(victim)
        fleet.down.generation.pieces = ["word "] * 30
        fleet.down.generation.between_seconds = 0.1
        stream = asyncio.create_task(stream_until_delta(clients[1]))
        # The journal has what nobody else has: nothing of this is in the database yet.
        late = await clients[1].post("/v1/search", json=question(99))
        answers.append(late.json())
        while _written(victim) < before + 3:
            await asyncio.sleep(0.02)
        await victim.kill()
        response, _ = await stream
        assert not response
        await fleet.add(victim.folder)
        total: dict[str, Any] = {}
        for _ in range(200):
            total = await usage_of(clients[0])
            if total["request_count"] == 11:
                break
            await asyncio.sleep(0.05)
        events = (await clients[0].get("/v1/usage/events")).json()["events"]
        check = (await clients[2].get("/v1/usage/check")).json()
    (cut,) = [each for each in events if each["outcome"] == "interrupted"]
    assert total["request_count"] == 11
    assert total["failed_count"] == 1
    assert cut["usage"]["prompt_tokens"] > 0
    assert 6 <= cut["usage"]["completion_tokens"] <= 60
    for name in TOKENS:
        expected = sum(each["usage"][name] for each in answers) + cut["usage"][name]
        assert total["usage"][name] == expected
    cost = sum(each.get("cost", {"amount": 0.0})["amount"] for each in answers)
    search = late.json()["usage"]["embedding_tokens"] * 0.02 / 1e6
    assert total["cost"]["amount"] == pytest.approx(cost + search + cut["cost"]["amount"])
    assert check["is_exact"] is True


def _written(victim: GatewayProcess) -> int:
    """Returns how far the stream is, as the victim's journal has it."""
    (path,) = (victim.folder / "gateway" / "ledger").glob("*.journal")
    return sum(line.count(b",") == 1 for line in path.read_bytes().splitlines())
