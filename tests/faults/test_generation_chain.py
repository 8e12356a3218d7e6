"""An engine's endpoint killed, frozen, failing and slow: answers come from the next rung in time.

The endpoint and the service are processes of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import passage_pb2, scope_pb2

from services.rpc.channel import open_channel
from services.rpc.errors import Code, ServiceError
from tests.kit.generation_process import generation_process
from tests.kit.openai_endpoint import ANSWER, Endpoint, openai_endpoint

DEADLINE_SECONDS = 3.0
OPENS_SECONDS = 5.0
CLOSES_SECONDS = 10.0
REQUEST = pb.GenerateRequest(
    scope=scope_pb2.Scope(tenant="acme", principals=["everyone"], actor="test"),
    messages=[pb.Message(role=pb.ROLE_USER, content="What is an index?")],
    passages=[
        passage_pb2.ScoredPassage(
            passage=passage_pb2.Passage(
                text="An index is a view over stored rows.", document_id="d", chunk_id="c"
            )
        )
    ],
)


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[Endpoint]:
    with openai_endpoint(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def asking(endpoint: Endpoint, tmp_path: Path, engines: str) -> AsyncIterator[Any]:
    """Runs the service and yields what asks it: text, finished message, seconds."""
    settings = {
        "engines": engines,
        "openai_base_url": endpoint.base_url,
        "openai_model": "remote",
        "slow_first_text_seconds": "0.5",
    }
    with generation_process(tmp_path / "log", **settings) as service:  # type: ignore[arg-type]
        async with open_channel(service.target) as channel:
            stub = rpc.GenerationServiceStub(channel)

            async def ask() -> pb.Finished:
                began = time.monotonic()
                finished: list[pb.Finished] = [
                    each.finished
                    async for each in stub.Generate(REQUEST, timeout=DEADLINE_SECONDS)
                    if each.WhichOneof("event") == "finished"
                ]
                assert time.monotonic() - began < DEADLINE_SECONDS
                return finished[0]

            yield ask


async def until_skipped(ask: Any) -> float:
    """Asks, three at once, until the breaker is open; returns how long that took."""
    began = time.monotonic()
    while True:
        answers = await asyncio.gather(*(ask() for _ in range(3)))
        assert {each.engine for each in answers} == {"extractive"}
        if any(each.fallback_reason.startswith("openai: breaker_open") for each in answers):
            return time.monotonic() - began
        assert time.monotonic() - began < 2 * OPENS_SECONDS, answers[0].fallback_reason


async def until_back(ask: Any) -> float:
    """Asks until the endpoint answers again; returns how long that took."""
    began = time.monotonic()
    while (answer := await ask()).engine != "openai":
        assert time.monotonic() - began < 2 * CLOSES_SECONDS
        await asyncio.sleep(0.2)
    assert answer.text.strip() == ANSWER
    assert answer.fallback_reason == ""
    return time.monotonic() - began


async def test_a_killed_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    async with asking(endpoint, tmp_path, "openai,extractive") as ask:
        assert (await ask()).engine == "openai"
        endpoint.signal(signal.SIGKILL)
        assert await until_skipped(ask) < OPENS_SECONDS
        endpoint.start()
        assert await until_back(ask) < CLOSES_SECONDS


async def test_a_frozen_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    async with asking(endpoint, tmp_path, "openai,extractive") as ask:
        assert (await ask()).engine == "openai"
        endpoint.signal(signal.SIGSTOP)
        assert await until_skipped(ask) < OPENS_SECONDS
        endpoint.signal(signal.SIGCONT)
        assert await until_back(ask) < CLOSES_SECONDS


async def test_a_slow_first_text(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.misbehave(first_seconds=30)
    async with asking(endpoint, tmp_path, "openai,extractive") as ask:
        first = await ask()
        assert first.engine == "extractive"
        assert first.fallback_reason.startswith("openai: first_text_late")
        assert await until_skipped(ask) < OPENS_SECONDS
        endpoint.misbehave()
        assert await until_back(ask) < CLOSES_SECONDS


async def test_one_in_five_requests_failing_is_not_seen(endpoint: Endpoint, tmp_path: Path) -> None:
    endpoint.misbehave(error_share=0.2)
    async with asking(endpoint, tmp_path, "openai,extractive") as ask:
        answers = [await ask() for _ in range(60)]
    engines = [each.engine for each in answers]

    assert engines.count("openai") >= 45
    assert all(each.fallback_reason for each in answers if each.engine == "extractive")


async def test_without_another_rung_the_error_is_precise_and_in_time(
    endpoint: Endpoint, tmp_path: Path
) -> None:
    async with asking(endpoint, tmp_path, "openai") as ask:
        for number, code in (
            (signal.SIGSTOP, Code.DEADLINE_EXCEEDED),
            (signal.SIGKILL, Code.UNAVAILABLE),
        ):
            endpoint.signal(number)
            began = time.monotonic()
            with pytest.raises(ServiceError) as failed:
                await ask()
            assert failed.value.code is code
            assert time.monotonic() - began <= DEADLINE_SECONDS + 0.5
