"""SIGTERM to each service in turn, under load: nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.kit.suite import Suite, ingest_text, running_suite

SERVICES = ("embedding", "retrieval", "generation", "ingestion", "gateway")
DRAIN_SECONDS = 0.5 + 5 + 3
"""Drain delay and grace as `cairn up` sets them, and time to close what is open."""
READY_SECONDS = 90


@dataclass
class Load:
    """What the clients saw."""

    answered: int = 0
    streamed: int = 0
    failures: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    replicas = ",".join(f"{service}=2" for service in SERVICES)
    limits = {"CAIRN_GATEWAY_RATE_PER_SECOND": "10000", "CAIRN_GATEWAY_RATE_BURST": "10000"}
    folder = tmp_path_factory.mktemp("replicated")
    with running_suite(folder, "--replicas", replicas, **limits) as suite:
        ingest_text(
            suite, granite="# Granite\n\nGranite forms when magma cools slowly below ground."
        )
        yield suite


def _gateways(suite: Suite) -> list[str]:
    return [f"http://{process.http_address}" for process in suite.state().of_service("gateway")]


async def _anywhere(
    client: httpx.AsyncClient, gateways: list[str], path: str, body: dict[str, object], first: int
) -> httpx.Response:
    """Sends to one gateway, and once more to the other when the first does not serve."""
    last: httpx.Response | httpx.TransportError | None = None
    for turn in range(2 * len(gateways)):
        url = gateways[(first + turn) % len(gateways)] + path
        try:
            last = await client.post(url, json=body)
        except httpx.TransportError as error:
            last = error
            continue
        if last.status_code != 503:
            return last
    if isinstance(last, httpx.Response):
        return last
    assert last is not None
    raise last


async def _client(suite: Suite, load: Load, number: int, stop: asyncio.Event) -> None:
    gateways = _gateways(suite)
    headers = {"Authorization": f"Bearer {suite.api_key}"}
    turn = 0
    async with httpx.AsyncClient(headers=headers, timeout=20, trust_env=False) as client:
        while not stop.is_set():
            turn += 1
            if turn % 5 == 0:
                document = f"note-{number}-{turn}"
                text = f"# Note {number} {turn}\n\nStone number {turn} of client {number} is grey."
                body: dict[str, object] = {
                    "documents": [
                        {
                            "document_id": document,
                            "file_name": "note.md",
                            "text": text,
                            "idempotency_key": document,
                        }
                    ]
                }
                path, expected = "/v1/documents", 202
            elif turn % 2:
                body = {"query": "How does granite form?", "bypass_cache": True}
                path, expected = "/v1/query", 200
            else:
                body = {"query": "magma", "top_k": 3}
                path, expected = "/v1/search", 200
            try:
                response = await _anywhere(client, gateways, path, body, number + turn)
            except httpx.TransportError as error:
                load.failures.append(f"{path}: {error!r}")
                continue
            if response.status_code != expected:
                load.failures.append(f"{path}: {response.status_code} {response.text[:300]}")
                continue
            load.answered += 1
            if path == "/v1/documents":
                load.submitted.append(document)
            elif response.json()["degraded"]:
                load.failures.append(f"{path}: degraded {response.json()['degraded']}")
            await asyncio.sleep(0.02)


async def _streams(suite: Suite, load: Load, stop: asyncio.Event) -> None:
    """Reads answers as they are written: one that has begun comes to its end."""
    gateways, turn = _gateways(suite), 0
    headers = {"Authorization": f"Bearer {suite.api_key}", "x-cairn-cache": "off"}
    body = {"query": "How does granite form?", "stream": True}
    async with httpx.AsyncClient(headers=headers, timeout=20, trust_env=False) as client:
        while not stop.is_set():
            turn += 1
            url, text = gateways[turn % len(gateways)], ""
            try:
                async with client.stream("POST", f"{url}/v1/query", json=body) as response:
                    if response.status_code == 503:  # draining: nothing has begun
                        continue
                    async for piece in response.aiter_text():
                        text += piece
            except httpx.ConnectError:
                continue
            except httpx.TransportError as error:
                if text:
                    load.failures.append(f"a stream broke: {error!r} after {text[-200:]}")
                continue
            events = [line for line in text.splitlines() if line.startswith("event: ")]
            if response.status_code != 200 or not events or events[-1] != "event: response":
                load.failures.append(f"a stream ended: {response.status_code} {text[-300:]}")
            load.streamed += 1
            await asyncio.sleep(0.2)


async def _gone(pid: int) -> float:
    """Seconds until the process has ended; the supervisor reaps it."""
    began = time.monotonic()
    while Path(f"/proc/{pid}").exists() and time.monotonic() - began < 60:
        await asyncio.sleep(0.05)
    return time.monotonic() - began


async def _ready_again(suite: Suite, name: str, former_pid: int) -> None:
    async with asyncio.timeout(READY_SECONDS):
        while True:
            process = next(each for each in suite.state().processes if each.name == name)
            if process.pid != former_pid and process.state == "ready":
                return
            await asyncio.sleep(0.1)


@pytest.fixture
async def load(replicated: Suite) -> AsyncIterator[Load]:
    load, stop = Load(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(_client(replicated, load, number, stop))
        for _ in range(2):
            # Few: answers must not miss their deadlines because of the load itself.
            group.create_task(_streams(replicated, load, stop))
        await asyncio.sleep(1)
        yield load
        stop.set()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("service", SERVICES)
async def test_sigterm_under_load_fails_no_request(
    replicated: Suite, load: Load, service: str
) -> None:
    before, streamed = load.answered, load.streamed
    process = replicated.state().of_service(service)[0]
    os.kill(process.pid, signal.SIGTERM)
    seconds = await _gone(process.pid)
    log = Path(process.log).read_text("utf-8")
    await _ready_again(replicated, process.name, process.pid)
    await asyncio.sleep(1)
    assert not load.failures, load.failures[:10]
    assert load.answered > before + 10
    assert load.streamed > streamed + 5
    assert seconds <= DRAIN_SECONDS
    assert '"drained"' in log


async def test_documents_taken_in_meanwhile_are_all_searchable(replicated: Suite) -> None:
    states: dict[str, str] = {}
    last = {"document_id": "note-last", "file_name": "note.md", "text": "The last stone is red."}
    with replicated.client() as client:
        client.post("/v1/documents", json={"documents": [last]}).raise_for_status()
        for _ in range(200):
            listed = client.get("/v1/documents", params={"page_size": 1000}).json()["documents"]
            states = {each["document_id"]: each["state"] for each in listed}
            if not {"queued", "running"} & set(states.values()):
                break
            await asyncio.sleep(0.5)
    assert set(states.values()) == {"ready"}
    assert any(name.startswith("note-") for name in states)
