"""vLLM's own processes frozen and killed: answers come from the next rung in time, or errors do.

The service and its engine are processes of their own; each test starts them, which takes half a
minute, so all but what `tests/integration/generation` has are long.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import grpc.aio
import psutil
import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.channel import open_channel
from services.rpc.errors import DeadlineExceededError
from tests.kit.generation_process import GenerationProcess, are_gone
from tests.kit.vllm_service import ENDLESS, LONG, MARKS, finish, request, start

pytestmark = [*MARKS, pytest.mark.long]

DEADLINE_SECONDS = 3.0
OPENS_SECONDS = 5.0
CLOSES_SECONDS = 10.0
HANG_SECONDS = 40.0
"""By then the service has noticed that its engine does not answer."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
ASKED = request(passages=LONG)


@contextlib.asynccontextmanager
async def asking(service: GenerationProcess) -> AsyncIterator[rpc.GenerationServiceStub]:
    async with open_channel(service.target, health_service=None) as channel:
        yield rpc.GenerationServiceStub(channel)


@contextlib.contextmanager
def frozen(processes: Sequence[psutil.Process]) -> Iterator[None]:
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


async def answer(stub: rpc.GenerationServiceStub) -> pb.Finished:
    """Asks with a deadline, and asserts that it is kept."""
    began = time.monotonic()
    events = [event async for event in stub.Generate(ASKED, timeout=DEADLINE_SECONDS)]
    assert time.monotonic() - began < DEADLINE_SECONDS
    return events[-1].finished


async def health(service: GenerationProcess) -> int:
    async with grpc.aio.insecure_channel(service.target) as channel:
        return (
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        ).status


async def until_health(service: GenerationProcess, wanted: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await health(service) != wanted:
            await asyncio.sleep(0.5)


async def test_a_frozen_engine_is_left_alone_and_taken_back(tmp_path: Path) -> None:
    with start(tmp_path / "log", engines="vllm,extractive") as service:
        async with asking(service) as stub:
            assert (await finish(stub, ASKED)).engine == "vllm"
            with frozen(service.descendants()):
                began = time.monotonic()
                answers = [await answer(stub)]
                while not answers[-1].fallback_reason.startswith("vllm: breaker_open"):
                    answers += await asyncio.gather(*(answer(stub) for _ in range(3)))
                opened = time.monotonic() - began
                assert await health(service) == SERVING  # as long as another engine answers
            began = time.monotonic()
            while (await answer(stub)).engine != "vllm":
                await asyncio.sleep(0.2)
            closed = time.monotonic() - began

    assert {each.engine for each in answers} == {"extractive"}
    assert opened <= OPENS_SECONDS
    assert closed <= CLOSES_SECONDS


async def test_a_lone_engine_that_hangs_is_told_by_errors_and_by_health(tmp_path: Path) -> None:
    with start(tmp_path / "log") as service:
        async with asking(service) as stub:
            endless = request(stream=True, sampling=ENDLESS)
            reading = aiter(stub.Generate(endless, timeout=DEADLINE_SECONDS))
            events = [await anext(reading), await anext(reading)]
            with frozen(service.descendants()):
                events += [event async for event in reading]
                began = time.monotonic()
                with pytest.raises(DeadlineExceededError) as late:
                    await answer(stub)
                waited = time.monotonic() - began
                await until_health(service, NOT_SERVING, HANG_SECONDS)
            await until_health(service, SERVING, CLOSES_SECONDS)
            assert (await finish(stub, ASKED)).engine == "vllm"

    assert events[-1].finished.finish_reason == pb.FINISH_REASON_DEADLINE
    assert events[-1].finished.usage.completion_tokens > 0
    assert late.value.metadata["stage"] == "generation"
    assert waited <= DEADLINE_SECONDS + 0.5


async def test_a_supervised_service_is_back_after_its_engine_was_killed(tmp_path: Path) -> None:
    """What a supervisor needs: the process ends by itself, all of it, and a new one can start."""
    with start(tmp_path / "first", engines="vllm,extractive") as service:
        processes = service.descendants()
        engine = next(each for each in processes if "EngineCore" in each.name())
        engine.kill()
        async with asking(service) as stub:
            with contextlib.suppress(Exception):  # on its way out it may refuse
                await finish(stub, ASKED)
        try:
            code = service.process.wait(60)
        except subprocess.TimeoutExpired:
            code = None
    assert code == 1
    assert are_gone(processes)
    with start(tmp_path / "second", engines="vllm,extractive") as again:
        async with asking(again) as stub:
            assert (await finish(stub, ASKED)).engine == "vllm"
