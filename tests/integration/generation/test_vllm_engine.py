"""The vLLM engine, with a tiny random Llama, in the environment `.venv-vllm`."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.channel import open_channel
from services.rpc.errors import (
    Code,
    DeadlineExceededError,
    Reason,
    ServiceError,
    UnavailableError,
)
from tests.kit.generation_process import GenerationProcess, are_gone
from tests.kit.vllm_service import (
    BLOCK_TOKENS,
    CONTEXT_TOKENS,
    ENDLESS,
    LONG,
    MARKS,
    assert_idle,
    finish,
    metric,
    request,
    start,
)

pytestmark = MARKS

ENDLESS_LIST = '{"type": "array", "items": {"type": "integer"}, "minItems": 100000000}'


@pytest.fixture
def service(vllm_service: GenerationProcess) -> GenerationProcess:
    return vllm_service


@pytest.fixture
async def stub(service: GenerationProcess) -> AsyncIterator[rpc.GenerationServiceStub]:
    async with open_channel(service.target) as channel:
        yield rpc.GenerationServiceStub(channel)


async def test_it_generates_and_streams_the_same_text(stub: rpc.GenerationServiceStub) -> None:
    # Long enough for many windows, however fast the machine is.
    sampling = pb.Sampling(max_tokens=200, seed=1)
    whole = await finish(stub, request(sampling=sampling))
    events = [event async for event in stub.Generate(request(sampling=sampling, stream=True))]

    deltas = [event.delta.text for event in events if event.HasField("delta")]
    assert events[0].started.engine == "vllm"
    assert events[0].started.model == "tiny"
    assert len(deltas) > 3
    assert "".join(deltas) == events[-1].finished.text == whole.text
    assert whole.usage.completion_tokens == 200
    assert whole.finish_reason == pb.FINISH_REASON_LENGTH
    assert whole.timings.prefill_ms > 0


async def test_the_engine_goes_before_its_front(service: GenerationProcess) -> None:
    front = psutil.Process(service.process.pid).nice()
    engine = [each for each in service.descendants() if "VLLM" in each.name()]

    assert engine
    assert all(process.nice() < front for process in engine)


async def test_an_equal_prompt_hits_the_prefix_cache_of_its_own_tenant_only(
    stub: rpc.GenerationServiceStub,
) -> None:
    first = await finish(stub, request("cache-a", passages=LONG))
    again = await finish(stub, request("cache-a", passages=LONG))
    reordered = await finish(stub, request("cache-a", passages=LONG[::-1]))
    other = await finish(stub, request("cache-b", passages=LONG))

    assert first.usage.cached_prompt_tokens == 0
    assert again.usage.prompt_tokens == first.usage.prompt_tokens > 3 * BLOCK_TOKENS
    assert again.usage.cached_prompt_tokens >= again.usage.prompt_tokens - 2 * BLOCK_TOKENS
    assert reordered.usage.cached_prompt_tokens == again.usage.cached_prompt_tokens
    assert other.usage.cached_prompt_tokens == 0


async def test_other_principals_of_a_tenant_do_not_share_its_cache(
    stub: rpc.GenerationServiceStub,
) -> None:
    await finish(stub, request("cache-c", passages=LONG))
    wanted = request("cache-c", passages=LONG)
    wanted.scope.principals[:] = ["everyone", "group:board"]

    assert (await finish(stub, wanted)).usage.cached_prompt_tokens == 0


async def test_a_cancelled_call_stops_the_engine(
    service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    endless = request(stream=True, sampling=ENDLESS)
    call = stub.Generate(endless)
    deltas = 0
    async for event in call:
        deltas += event.HasField("delta")
        if deltas == 5:
            break
    assert metric(service, "cairn_generation_running") == 1
    call.cancel()

    await assert_idle(service)
    assert (await finish(stub, request())).usage.completion_tokens == 16


async def test_a_passed_deadline_stops_the_engine(
    service: GenerationProcess, stub: rpc.GenerationServiceStub
) -> None:
    endless = request(stream=True, sampling=ENDLESS)
    try:
        events = [event async for event in stub.Generate(endless, timeout=0.5)]
    except DeadlineExceededError:
        events = []  # the answer was on its way
    if events:
        finished = events[-1].finished
        assert finished.finish_reason == pb.FINISH_REASON_DEADLINE
        assert 0 < finished.usage.completion_tokens < 1500

    await assert_idle(service)


async def test_many_streams_run_at_once(stub: rpc.GenerationServiceStub) -> None:
    results = await asyncio.gather(
        *(
            finish(
                stub,
                request(stream=bool(number % 2), sampling=pb.Sampling(max_tokens=24, seed=number)),
            )
            for number in range(16)
        )
    )

    assert {each.usage.completion_tokens for each in results} <= set(range(1, 25))
    assert len({each.text for each in results}) > 8


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        (
            {
                "json_schema": json.dumps(
                    {
                        "type": "object",
                        "properties": {
                            "n": {"type": "integer", "minimum": 0, "maximum": 9},
                            "kind": {"enum": ["x", "y"]},
                        },
                        "required": ["n", "kind"],
                        "additionalProperties": False,
                    }
                )
            },
            r'\{"n":\d,"kind":"[xy]"\}',
        ),
        ({"regex": "[ab]{3}"}, "[ab]{3}"),
        ({"choices": pb.Choices(values=["yes", "no"])}, "yes|no"),
        ({"grammar": 'root ::= "left" | "right"'}, "left|right"),
    ],
)
async def test_the_text_has_the_form_that_was_asked_for(
    stub: rpc.GenerationServiceStub, form: dict[str, Any], pattern: str
) -> None:
    finished = await finish(
        stub,
        request(structured_output=pb.StructuredOutput(**form), sampling=pb.Sampling(max_tokens=64)),
    )

    assert re.fullmatch(pattern, finished.text)
    assert finished.finish_reason == pb.FINISH_REASON_STOP


async def test_logprobs_and_stop_strings(stub: rpc.GenerationServiceStub) -> None:
    greedy = pb.Sampling(max_tokens=12, temperature=0, logprobs=2)
    events = [event async for event in stub.Generate(request(stream=True, sampling=greedy))]
    tokens = [token for event in events for token in event.delta.logprobs]
    text = events[-1].finished.text
    whole = await finish(stub, request(sampling=greedy))
    stop = text[len(text) // 2]
    stopped = await finish(
        stub, request(sampling=pb.Sampling(max_tokens=12, temperature=0, stop=[stop]))
    )

    assert len(tokens) == 12
    assert [token.token for token in whole.logprobs] == [token.token for token in tokens]
    assert not events[-1].finished.logprobs
    assert all(token.logprob <= 0 and len(token.alternatives) >= 2 for token in tokens)
    assert stopped.text == text[: text.index(stop)]
    assert stopped.finish_reason == pb.FINISH_REASON_STOP


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"adapter": "none"}, Code.NOT_FOUND, Reason.MODEL_NOT_FOUND),
        (
            {"sampling": pb.Sampling(max_tokens=CONTEXT_TOKENS)},
            Code.INVALID_ARGUMENT,
            Reason.CONTEXT_TOO_LONG,
        ),
        (
            {"messages": [pb.Message(role=pb.ROLE_USER, content="word " * 5000)]},
            Code.INVALID_ARGUMENT,
            Reason.CONTEXT_TOO_LONG,
        ),
        (
            {"structured_output": pb.StructuredOutput(json_schema='{"type": 5}')},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
        ),
        (
            {"structured_output": pb.StructuredOutput(json_schema='{"$ref": "#"}')},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
        ),
        (
            {"structured_output": pb.StructuredOutput(regex="((")},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
        ),
        (
            {"structured_output": pb.StructuredOutput(grammar="?? ::")},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
        ),
        (
            {"structured_output": pb.StructuredOutput(grammar='root ::= "a" root')},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
        ),
        (
            {"structured_output": pb.StructuredOutput(json_schema=ENDLESS_LIST)},
            Code.INVALID_ARGUMENT,
            Reason.TOO_LARGE,
        ),
        (
            {"structured_output": pb.StructuredOutput(regex="(a{1000}){1000}")},
            Code.INVALID_ARGUMENT,
            Reason.TOO_LARGE,
        ),
    ],
)
async def test_wrong_requests_get_precise_errors(
    stub: rpc.GenerationServiceStub, fields: dict[str, Any], code: Code, reason: Reason
) -> None:
    with pytest.raises(ServiceError) as refused:
        await finish(stub, request(**fields))

    assert (refused.value.code, refused.value.reason) == (code, reason)


async def test_passages_that_do_not_fit_are_left_out(stub: rpc.GenerationServiceStub) -> None:
    finished = await finish(stub, request(passages=LONG * 5))

    assert finished.usage.prompt_tokens + 16 <= CONTEXT_TOKENS
    assert finished.usage.completion_tokens > 0


async def test_adapters_and_models(stub: rpc.GenerationServiceStub) -> None:
    scope = request().scope
    with pytest.raises(ServiceError) as refused:
        await stub.LoadAdapter(pb.LoadAdapterRequest(scope=scope, name="a", source="/no/such"))
    with pytest.raises(ServiceError) as unknown:
        await stub.UnloadAdapter(pb.UnloadAdapterRequest(scope=scope, name="a"))
    (model,) = (await stub.ListModels(pb.ListModelsRequest(scope=scope))).models
    counted = await stub.CountTokens(pb.CountTokensRequest(scope=scope, texts=["the index", ""]))

    assert refused.value.violations[0].field == "source"
    assert unknown.value.reason is Reason.MODEL_NOT_FOUND
    assert (model.name, model.is_ready, model.max_context_tokens) == ("tiny", True, CONTEXT_TOKENS)
    assert counted.token_counts[0] > 0
    assert counted.token_counts[1] == 0


async def health(channel: grpc.aio.Channel) -> int:
    asked = health_pb2.HealthCheckRequest(service="cairn.generation.v1.GenerationService")
    return (await health_pb2_grpc.HealthStub(channel).Check(asked)).status


async def stopped_engine_is_stood_in_for(
    stub: rpc.GenerationServiceStub, processes: list[psutil.Process]
) -> None:
    """Stops the engine's processes, asks, lets them go on, and asks until they answer."""
    for process in processes:
        process.suspend()
    try:
        events = [event async for event in stub.Generate(request(passages=LONG), timeout=4)]
    finally:
        for process in processes:
            process.resume()
    instead = events[-1].finished
    assert instead.engine == "extractive"
    assert instead.fallback_reason.startswith("vllm: first_text_late")
    async with asyncio.timeout(20):
        while (await finish(stub, request(passages=LONG))).engine != "vllm":
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("victim", ["EngineCore", pytest.param("Worker", marks=pytest.mark.long)])
async def test_a_dead_engine_is_told_answered_for_and_ends_the_process(
    tmp_path: Path, victim: str
) -> None:
    settings = {"engines": "vllm,extractive", "drain_delay_seconds": "3"}
    with start(tmp_path / "log", **settings) as service:
        processes = service.descendants()
        async with open_channel(service.target, health_service=None) as channel:
            stub = rpc.GenerationServiceStub(channel)
            await stopped_engine_is_stood_in_for(stub, processes)
            endless = request(
                stream=True, passages=LONG, sampling=pb.Sampling(max_tokens=1000, seed=1)
            )
            call = stub.Generate(endless)
            async for event in call:
                if event.HasField("delta"):
                    break
            for process in processes:
                if victim in process.name():
                    process.kill()
            with pytest.raises(UnavailableError):
                async for _ in call:
                    pass
            fallback = await finish(stub, endless)
            async with asyncio.timeout(10):
                while await health(channel) != health_pb2.HealthCheckResponse.NOT_SERVING:
                    await asyncio.sleep(0.02)
        code = service.process.wait(60)

    assert fallback.engine == "extractive"
    assert fallback.fallback_reason.startswith("vllm: not_ready")
    assert fallback.quoted_spans
    assert code == 1
    assert are_gone(processes)


async def test_a_killed_front_leaves_no_process_behind(tmp_path: Path) -> None:
    with start(tmp_path / "log") as service:
        processes = service.descendants()
        assert any("Worker" in process.name() for process in processes)
        psutil.Process(service.process.pid).kill()
        assert are_gone(processes)
