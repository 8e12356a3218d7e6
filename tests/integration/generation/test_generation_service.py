"""GenerationService over real gRPC: events, errors, cancel, deadline, spans."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from cairn.embedding.v1 import embedding_service_pb2 as embedding_pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import passage_pb2, scope_pb2, usage_pb2

from services.generation.chain import Chain
from services.generation.embedding_client import EmbeddingClient
from services.generation.engine import Engine, FakeEngine, RequestClass
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.servicer import GenerationServicer
from services.rpc.admission import Admission
from services.rpc.channel import open_channel
from services.rpc.errors import (
    Code,
    DeadlineExceededError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.rpc.telemetry import start_telemetry
from tests.kit.grpc_server import RpcTestSettings, serve
from tests.kit.otlp_receiver import otlp_receiver

SCOPE = scope_pb2.Scope(
    tenant="acme",
    principals=["everyone"],
    actor="key:test",
    tenant_class=scope_pb2.TENANT_CLASS_STANDARD,
)
USER = pb.Message(role=pb.ROLE_USER, content="What is the index?")
PASSAGES = [
    passage_pb2.ScoredPassage(passage=passage_pb2.Passage(text=text))
    for text in ("Rows live in a store. 🙂 The index is a view.", "The cache expires.")
]
Serve = Callable[..., contextlib.AbstractAsyncContextManager[Any]]


@contextlib.asynccontextmanager
async def generation(
    *engines: Engine, max_waiting: int = 8, telemetry: Any = None
) -> AsyncIterator[rpc.GenerationServiceStub]:
    names = [engine.name for engine in engines]
    chain = Chain(
        {engine.name: engine for engine in engines},
        dict.fromkeys(RequestClass, names),
        first_text_seconds=5,
    )
    servicer = GenerationServicer(chain, Admission(max_waiting, "generation_test"))
    async with (
        serve(
            lambda server: rpc.add_GenerationServiceServicer_to_server(servicer, server),
            service_names=["cairn.generation.v1.GenerationService"],
            telemetry=telemetry,
        ) as served,
        open_channel(served.target) as channel,
    ):
        yield rpc.GenerationServiceStub(channel)


def request(**fields: Any) -> pb.GenerateRequest:
    return pb.GenerateRequest(**{"scope": SCOPE, "messages": [USER], **fields})


async def events(stub: rpc.GenerationServiceStub, **fields: Any) -> list[pb.GenerateResponse]:
    return [event async for event in stub.Generate(request(**fields))]


def extractive(scorer: Any = None) -> ExtractiveEngine:
    return ExtractiveEngine(scorer, min_support=0.5, min_overlap=0.3)


async def test_an_answer_is_started_deltas_finished() -> None:
    async with generation(FakeEngine()) as stub:
        streamed = await events(stub, stream=True)
        whole = await events(stub)

    kinds = [event.WhichOneof("event") for event in streamed]
    assert kinds == ["started", "delta", "delta", "delta", "delta", "finished"]
    assert streamed[0].started.prompt_template == "chat@1"
    assert streamed[-1].finished.text == USER.content
    assert streamed[-1].finished.usage.completion_tokens == 4
    assert [event.WhichOneof("event") for event in whole] == ["started", "finished"]


async def test_the_first_delta_tells_the_start_for_who_asks_so() -> None:
    async with generation(FakeEngine()) as stub:
        streamed = await events(stub, stream=True, start_in_delta=True)
        apart = await events(stub, stream=True)
        whole = await events(stub, start_in_delta=True)

    kinds = [event.WhichOneof("event") for event in streamed]
    assert kinds == ["delta", "delta", "delta", "delta", "finished"]
    assert streamed[0].delta.started == apart[0].started
    assert not any(event.delta.HasField("started") for event in streamed[1:])
    assert [event.WhichOneof("event") for event in whole] == ["started", "finished"]


async def test_quoted_spans_are_verbatim_in_code_points() -> None:
    async with generation(extractive()) as stub:
        finished = (await events(stub, passages=PASSAGES))[-1].finished

    (span,) = finished.quoted_spans
    quoted = PASSAGES[span.passage_index].passage.text[span.start : span.end]
    assert quoted == "🙂 The index is a view."
    assert finished.text == f"{quoted} [{span.marker}]"
    assert finished.finish_reason == pb.FINISH_REASON_STOP
    assert finished.fallback_reason == "embedding_unconfigured"


class FakeEmbedding(embedding_rpc.EmbeddingServiceServicer):
    """Prefers one phrase; keeps what it was asked."""

    def __init__(self) -> None:
        self.requests: list[embedding_pb.RerankRequest] = []

    async def Rerank(self, request: embedding_pb.RerankRequest, context: Any) -> Any:  # noqa: N802
        self.requests.append(request)
        texts = list(request.passages)
        if request.spans:
            texts = [texts[each.passage_index][each.start : each.end] for each in request.spans]
        return embedding_pb.RerankResponse(
            scores=[0.9 if "cache" in text else 0.1 for text in texts],
            usage=usage_pb2.Usage(rerank_tokens=17),
        )


async def test_spans_are_scored_by_the_embedding_service_in_the_callers_scope() -> None:
    embedding = FakeEmbedding()
    async with (
        serve(
            lambda server: embedding_rpc.add_EmbeddingServiceServicer_to_server(embedding, server)
        ) as served,
        open_channel(served.target) as channel,
        generation(extractive(EmbeddingClient(channel))) as stub,
    ):
        finished = (await events(stub, passages=PASSAGES))[-1].finished

    assert finished.text == "The cache expires. [1]"
    assert finished.quoted_spans[0].passage_index == 1
    assert finished.usage.rerank_tokens == 17
    assert finished.fallback_reason == ""
    (asked,) = embedding.requests
    assert asked.scope == SCOPE
    assert asked.method == embedding_pb.RERANK_METHOD_LATE_INTERACTION
    assert asked.lane == embedding_pb.LANE_INTERACTIVE
    assert len(asked.query_word_weights) == len(USER.content.split())


async def test_spans_of_passages_with_token_codes_are_scored_in_their_context() -> None:
    embedding = FakeEmbedding()
    coded = passage_pb2.ScoredPassage()
    coded.CopyFrom(PASSAGES[1])
    coded.passage.title, coded.passage.token_codes = "Caches", b"codes"
    async with (
        serve(
            lambda server: embedding_rpc.add_EmbeddingServiceServicer_to_server(embedding, server)
        ) as served,
        open_channel(served.target) as channel,
        generation(extractive(EmbeddingClient(channel))) as stub,
    ):
        finished = (await events(stub, passages=[PASSAGES[0], coded]))[-1].finished

    assert finished.text == "The cache expires. [1]"
    (asked,) = embedding.requests
    place = list(asked.passage_token_codes).index(b"codes")
    assert asked.passages[place] == f"Caches\n{coded.passage.text}"
    assert len(asked.passages) == len(asked.passage_token_codes)
    within = [each for each in asked.spans if each.passage_index == place]
    assert within
    assert all(each.start >= len("Caches\n") for each in within)


async def test_an_embedding_service_that_is_down_degrades_and_says_so() -> None:
    async with (
        open_channel("127.0.0.1:1") as nowhere,
        generation(extractive(EmbeddingClient(nowhere))) as stub,
    ):
        finished = (await events(stub, passages=PASSAGES))[-1].finished

    assert finished.text == "🙂 The index is a view. [1]"
    assert finished.fallback_reason == "embedding_unavailable"


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"scope": None}, Code.PERMISSION_DENIED, Reason.SCOPE_MISSING, ""),
        ({"messages": []}, Code.INVALID_ARGUMENT, Reason.INVALID_FIELD, "messages"),
        (
            {"messages": [pb.Message(content="q")]},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            "messages[0].role",
        ),
        (
            {"messages": [pb.Message(role=99, content="q")]},  # type: ignore[arg-type]
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            "messages[0].role",
        ),
        (
            {"messages": [pb.Message(role=pb.ROLE_USER)]},
            Code.INVALID_ARGUMENT,
            Reason.EMPTY_TEXT,
            "messages[0].content",
        ),
        ({"request_class": 77}, Code.INVALID_ARGUMENT, Reason.INVALID_FIELD, "request_class"),
        (
            {"sampling": pb.Sampling(max_tokens=0)},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            "sampling.max_tokens",
        ),
        (
            {"structured_output": pb.StructuredOutput()},
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            "structured_output.form",
        ),
        (
            {"passages": [passage_pb2.ScoredPassage()]},
            Code.INVALID_ARGUMENT,
            Reason.EMPTY_TEXT,
            "passages[0].passage.text",
        ),
        ({"prompt_template": "x"}, Code.INVALID_ARGUMENT, Reason.INVALID_FIELD, "prompt_template"),
        ({"model": "gpt-7"}, Code.NOT_FOUND, Reason.MODEL_NOT_FOUND, ""),
        ({}, Code.UNIMPLEMENTED, Reason.NOT_SUPPORTED, ""),
        (
            {"passages": PASSAGES, "structured_output": pb.StructuredOutput(regex="a")},
            Code.UNIMPLEMENTED,
            Reason.NOT_SUPPORTED,
            "",
        ),
    ],
)
async def test_wrong_requests_get_precise_errors(
    fields: dict[str, Any], code: Code, reason: Reason, field: str
) -> None:
    async with generation(extractive()) as stub:
        with pytest.raises(ServiceError) as refused:
            await events(stub, **fields)

    assert (refused.value.code, refused.value.reason) == (code, reason)
    assert [each.field for each in refused.value.violations] == ([field] if field else [])


async def test_no_passages_for_a_grounded_answer_is_a_refusal() -> None:
    async with generation(extractive()) as stub:
        finished = (await events(stub, prompt_template="answer@1"))[-1].finished

    assert finished.finish_reason == pb.FINISH_REASON_REFUSED
    assert finished.text


async def test_cancelling_the_call_stops_the_engine() -> None:
    engine = FakeEngine(words=["w"] * 100_000, token_seconds=0.001)
    async with generation(engine) as stub:
        call = stub.Generate(request(stream=True))
        async for event in call:
            if event.HasField("delta"):
                break
        call.cancel()
        async with asyncio.timeout(5):
            while True:
                written = engine.words_written
                await asyncio.sleep(0.05)
                if engine.words_written == written:
                    break

    assert 0 < engine.words_written < 100_000


async def test_a_deadline_ends_the_text_in_time_or_the_call() -> None:
    engine = FakeEngine(words=["w"] * 100_000, token_seconds=0.002)
    async with generation(engine) as stub:
        streamed = [event async for event in stub.Generate(request(stream=True), timeout=0.4)]
    assert streamed[-1].finished.finish_reason == pb.FINISH_REASON_DEADLINE

    async with generation(FakeEngine(token_seconds=30)) as stub:
        with pytest.raises(DeadlineExceededError):
            [event async for event in stub.Generate(request(), timeout=0.3)]


async def test_more_requests_than_fit_are_refused_with_a_time_to_come_back() -> None:
    async with generation(FakeEngine(token_seconds=30), max_waiting=1) as stub:
        first = stub.Generate(request(stream=True))
        waiting = asyncio.ensure_future(first.read())
        await asyncio.sleep(0.05)
        with pytest.raises(ResourceExhaustedError) as refused:
            await events(stub)
        first.cancel()
        with contextlib.suppress(asyncio.CancelledError, ServiceError, grpc.aio.AioRpcError):
            await waiting

    assert refused.value.reason is Reason.OVERLOADED
    assert refused.value.retry_after_seconds


async def test_models_tokens_and_adapters() -> None:
    async with generation(FakeEngine(), extractive()) as stub:
        models = (await stub.ListModels(pb.ListModelsRequest(scope=SCOPE))).models
        counted = await stub.CountTokens(
            pb.CountTokensRequest(scope=SCOPE, texts=["a b", ""], model="extractive-1")
        )
        for adapter in (
            stub.LoadAdapter(pb.LoadAdapterRequest(scope=SCOPE, name="a", source="/a")),
            stub.UnloadAdapter(pb.UnloadAdapterRequest(scope=SCOPE, name="a")),
        ):
            with pytest.raises(ServiceError) as refused:
                await adapter
            assert refused.value.reason is Reason.NOT_SUPPORTED
        with pytest.raises(ServiceError) as empty:
            await stub.CountTokens(pb.CountTokensRequest(scope=SCOPE))
        with pytest.raises(ServiceError) as nameless:
            await stub.LoadAdapter(pb.LoadAdapterRequest(scope=SCOPE, source="/a"))

    assert [model.name for model in models] == ["fake-model", "extractive-1"]
    assert all(model.is_ready for model in models)
    assert list(counted.token_counts) == [2, 0]
    assert empty.value.violations[0].field == "texts"
    assert nameless.value.violations[0].field == "name"


async def test_the_engines_work_is_a_span_inside_the_calls_span() -> None:
    async with otlp_receiver() as receiver:
        settings = RpcTestSettings(otlp_endpoint=receiver.endpoint)
        telemetry = start_telemetry("generation", settings)
        async with generation(FakeEngine(), telemetry=telemetry) as stub:
            await events(stub, stream=True)
            call = stub.Generate(request(stream=True))
            await call.read()
            call.cancel()
            await asyncio.to_thread(telemetry.flush)
        await asyncio.to_thread(telemetry.shutdown)
        (chat, *_) = await receiver.wait_for(lambda span: span.name == "chat fake-model")
        calls = await receiver.wait_for(lambda span: span.kind == "SERVER", count=1)

    assert chat.parent_id in {call.span_id for call in calls}
    assert chat.attributes["gen_ai.usage.output_tokens"] == 4
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert not any(USER.content in str(value) for value in chat.attributes.values())
