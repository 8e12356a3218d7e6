"""The vLLM engine at work: cancels that leak nothing, states, adapters, forms, tenants."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import jsonschema
import psutil
import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc

from services.rpc.channel import open_channel
from services.rpc.errors import (
    Code,
    DeadlineExceededError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from tests.kit.generation_process import GenerationProcess
from tests.kit.json_schemas import random_schema
from tests.kit.lora import lora_folder
from tests.kit.vllm_service import ENDLESS, LONG, MARKS, assert_idle, finish, metric, request

pytestmark = MARKS

GREEDY = pb.Sampling(max_tokens=24, temperature=0.0)
SCOPE = request().scope


@pytest.fixture
async def stub(vllm_service: GenerationProcess) -> AsyncIterator[rpc.GenerationServiceStub]:
    async with open_channel(vllm_service.target) as channel:
        yield rpc.GenerationServiceStub(channel)


async def state(stub: rpc.GenerationServiceStub, wanted: pb.EngineState) -> pb.EngineState:
    asked = pb.SetEngineStateRequest(scope=SCOPE, state=wanted)
    return (await stub.SetEngineState(asked, timeout=60)).state


async def model(stub: rpc.GenerationServiceStub) -> pb.Model:
    return (await stub.ListModels(pb.ListModelsRequest(scope=SCOPE))).models[0]


async def leave_at_random(
    stub: rpc.GenerationServiceStub, count: int, leave: Callable[[float], Awaitable[None]]
) -> None:
    """Runs requests, 32 at once, that are each broken off after a random time."""
    source = random.Random(count)
    moments = iter([source.random() ** 2 * 0.4 for _ in range(count)])

    async def work() -> None:
        for moment in moments:
            await leave(moment)

    await asyncio.gather(*(work() for _ in range(32)))


async def cancels(stub: rpc.GenerationServiceStub, count: int) -> None:
    async def leave(moment: float) -> None:
        call = stub.Generate(request(stream=True, passages=LONG, sampling=ENDLESS))
        reading = asyncio.ensure_future(_read(call))
        await asyncio.sleep(moment)
        call.cancel()
        (end,) = await asyncio.gather(reading, return_exceptions=True)
        assert isinstance(end, asyncio.CancelledError | ResourceExhaustedError), end

    await leave_at_random(stub, count, leave)


async def deadlines(stub: rpc.GenerationServiceStub, count: int) -> Counter[str]:
    ends: Counter[str] = Counter()

    async def leave(moment: float) -> None:
        endless = request(stream=bool(len(ends) % 2), sampling=ENDLESS)
        try:
            events = [event async for event in stub.Generate(endless, timeout=moment + 0.02)]
        except (DeadlineExceededError, ServiceError) as error:
            ends[error.code.name] += 1
        else:
            ends[pb.FinishReason.Name(events[-1].finished.finish_reason)] += 1

    await leave_at_random(stub, count, leave)
    return ends


async def _read(call: AsyncIterator[pb.GenerateResponse]) -> None:
    async for _ in call:
        pass


async def assert_flat(
    service: GenerationProcess, run: Callable[[int], Awaitable[object]], count: int
) -> None:
    """Asserts that a run leaves the engine idle and the front's memory where it was."""
    front = psutil.Process(service.process.pid)
    await run(max(64, count // 4))  # what is made once, and kept
    await assert_idle(service)
    before = front.memory_info().rss
    await run(count)
    await assert_idle(service)
    assert front.memory_info().rss - before < 24 * 2**20
    assert front.num_threads() < 120


async def test_random_cancels_leak_nothing(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    await assert_flat(vllm_service, lambda count: cancels(stub, count), 96)
    assert (await finish(stub, request())).usage.completion_tokens == 16


@pytest.mark.long
async def test_a_thousand_random_cancels_leak_nothing(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    await assert_flat(vllm_service, lambda count: cancels(stub, count), 1000)


async def test_random_deadlines_leak_nothing(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    ends = await deadlines(stub, 64)
    await assert_idle(vllm_service)

    assert set(ends) <= {"DEADLINE_EXCEEDED", "FINISH_REASON_DEADLINE", "RESOURCE_EXHAUSTED"}
    assert ends["FINISH_REASON_DEADLINE"] > 0


async def test_a_cancelled_call_has_told_what_it_used(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    call = stub.Generate(request("used", stream=True, passages=LONG, sampling=ENDLESS))
    usage, tokens = None, 0
    async for event in call:
        if event.HasField("started"):
            usage = event.started.usage
        tokens += event.delta.completion_tokens
        if tokens >= 50:
            break
    call.cancel()
    await assert_idle(vllm_service)

    def charged(kind: str) -> float:
        name = "cairn_generation_tenant_tokens_total"
        return metric(vllm_service, name, tenant="used", kind=kind)

    assert usage is not None
    assert usage.prompt_tokens > 300
    assert charged("prompt") + charged("cached_prompt") == usage.prompt_tokens
    assert tokens <= charged("completion") < tokens + 400


async def test_the_text_of_a_whole_answer_is_there_when_its_deadline_comes(
    stub: rpc.GenerationServiceStub,
) -> None:
    events = [event async for event in stub.Generate(request(sampling=ENDLESS), timeout=1.0)]

    finished = events[-1].finished
    assert finished.finish_reason == pb.FINISH_REASON_DEADLINE
    assert 0 < finished.usage.completion_tokens < 1500
    assert finished.text


async def test_a_paused_engine_goes_on_where_it_stood(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    sampling = pb.Sampling(max_tokens=400, temperature=0.0)
    whole = asyncio.ensure_future(finish(stub, request("pause", sampling=sampling)))
    async with asyncio.timeout(20):
        while (await model(stub)).running_requests == 0:
            await asyncio.sleep(0.01)
    assert await state(stub, pb.ENGINE_STATE_PAUSED) == pb.ENGINE_STATE_PAUSED
    late = asyncio.ensure_future(finish(stub, request("pause")))
    await asyncio.sleep(0.3)
    before = metric(vllm_service, "vllm:generation_tokens_total")
    await asyncio.sleep(0.3)
    stood = metric(vllm_service, "vllm:generation_tokens_total") == before
    told = await model(stub)
    await state(stub, pb.ENGINE_STATE_SERVING)

    assert stood
    assert (told.state, told.queued_requests) == (pb.ENGINE_STATE_PAUSED, 1)
    assert (await whole).usage.completion_tokens == 400
    assert (await late).usage.completion_tokens == 16


async def test_a_drained_engine_ends_its_requests_and_takes_no_new_ones(
    stub: rpc.GenerationServiceStub,
) -> None:
    running = asyncio.ensure_future(
        finish(stub, request(sampling=pb.Sampling(max_tokens=200, temperature=0.0)))
    )
    async with asyncio.timeout(20):
        while (await model(stub)).running_requests == 0:
            await asyncio.sleep(0.01)
    try:
        await state(stub, pb.ENGINE_STATE_DRAINED)
        assert running.done() or (await running).usage.completion_tokens == 200
        with pytest.raises(UnavailableError) as refused:
            await finish(stub, request())
        assert not (await model(stub)).is_ready
    finally:
        await state(stub, pb.ENGINE_STATE_SERVING)

    assert refused.value.reason is Reason.NOT_READY
    assert (await finish(stub, request())).usage.completion_tokens == 16


async def test_a_cpu_engine_says_that_it_cannot_sleep(stub: rpc.GenerationServiceStub) -> None:
    with pytest.raises(ServiceError) as refused:
        await state(stub, pb.ENGINE_STATE_ASLEEP)

    assert refused.value.code is Code.UNIMPLEMENTED
    assert (await model(stub)).state == pb.ENGINE_STATE_SERVING


async def test_adapters_change_the_text_by_name(
    stub: rpc.GenerationServiceStub, tmp_path: Path
) -> None:
    async def load(name: str, source: Path) -> None:
        await stub.LoadAdapter(pb.LoadAdapterRequest(scope=SCOPE, name=name, source=str(source)))

    async def text(adapter: str) -> str:
        return (await finish(stub, request(sampling=GREEDY, adapter=adapter))).text

    one, two = lora_folder(tmp_path / "1", seed=1), lora_folder(tmp_path / "2", seed=2)
    await load("one", one)
    await load("two", two)
    await load("two", two)
    listed = list((await model(stub)).adapters)
    texts = await asyncio.gather(text(""), text("one"), text("two"), text("one"))
    with pytest.raises(ServiceError) as taken:
        await load("one", two)
    with pytest.raises(ServiceError) as too_large:
        await load("three", lora_folder(tmp_path / "3", seed=3, rank=64))
    for name in ("one", "two"):
        await stub.UnloadAdapter(pb.UnloadAdapterRequest(scope=SCOPE, name=name))
    with pytest.raises(ServiceError) as unknown:
        await text("one")

    assert listed == ["one", "two"]
    assert len(set(texts)) == 3
    assert texts[1] == texts[3]
    assert taken.value.reason is Reason.STATE_CONFLICT
    assert too_large.value.violations[0].field == "source"
    assert unknown.value.reason is Reason.MODEL_NOT_FOUND
    assert list((await model(stub)).adapters) == []


async def check_schemas(stub: rpc.GenerationServiceStub, count: int, seed: int) -> Counter[str]:
    """Asks for random forms; returns how the answers ended, each of them as it should be."""
    source = random.Random(seed)
    ends: Counter[str] = Counter()
    gate = asyncio.Semaphore(8)

    async def ask(number: int, schema: dict[str, object]) -> None:
        wanted = request(
            structured_output=pb.StructuredOutput(json_schema=json.dumps(schema)),
            sampling=pb.Sampling(max_tokens=400, temperature=1.0, seed=number),
            stream=bool(number % 2),
        )
        async with gate:
            try:
                finished = await finish(stub, wanted)
            except InvalidArgumentError as error:
                ends[f"refused {error.violations[0].field}"] += 1
                return
        reason = pb.FinishReason.Name(finished.finish_reason)
        ends[reason] += 1
        if finished.finish_reason == pb.FINISH_REASON_STOP:
            jsonschema.validate(json.loads(finished.text), schema)
        else:
            assert finished.finish_reason == pb.FINISH_REASON_LENGTH, schema

    fields = "refused structured_output"
    schemas = [random_schema(source) for _ in range(count)]
    await asyncio.gather(*(ask(number, schema) for number, schema in enumerate(schemas)))
    assert {each for each in ends if each.startswith("refused")} <= {fields}
    return ends


async def test_random_schemas_are_kept(stub: rpc.GenerationServiceStub) -> None:
    ends = await check_schemas(stub, 25, seed=7)

    assert ends["FINISH_REASON_STOP"] >= 20, ends


@pytest.mark.long
async def test_a_hundred_random_schemas_are_kept(stub: rpc.GenerationServiceStub) -> None:
    ends = await check_schemas(stub, 100, seed=8)

    assert ends["FINISH_REASON_STOP"] >= 80, ends


async def test_a_whole_answer_is_the_streamed_one(stub: rpc.GenerationServiceStub) -> None:
    events = [event async for event in stub.Generate(request(stream=True, sampling=GREEDY))]
    whole = await finish(stub, request(sampling=GREEDY))

    streamed = events[-1].finished
    told = sum(event.delta.completion_tokens for event in events)
    assert streamed.text == whole.text
    assert told == whole.usage.completion_tokens == 24
    assert events[0].started.usage.prompt_tokens == whole.usage.prompt_tokens


async def test_what_the_engine_did_is_measured(
    vllm_service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    await asyncio.gather(*(finish(stub, request(passages=LONG)) for _ in range(4)))

    for name in (
        "cairn_generation_queue_wait_seconds_count",
        "cairn_generation_engine_queue_seconds_count",
        "cairn_generation_prefill_seconds_count",
        "cairn_generation_decode_seconds_count",
        "cairn_generation_inter_token_seconds_count",
        "cairn_generation_time_to_first_token_seconds_count",
    ):
        assert metric(vllm_service, name) > 0, name
    prefix = "cairn_generation_prefix_cache_tokens_total"
    assert (
        0 < metric(vllm_service, prefix, kind="hit") < metric(vllm_service, prefix, kind="queried")
    )
    assert metric(vllm_service, "vllm:prompt_tokens_total") > 0
