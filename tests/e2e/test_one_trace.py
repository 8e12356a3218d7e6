"""One trace through the running suite, as an OTLP collector receives it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval

from tests.kit.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.kit.raw_calls import call
from tests.kit.suite import Suite, ingest_text, running_suite
from tests.kit.valid_requests import SCOPE, VECTOR

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SERVICES = ("EMBEDDING", "RETRIEVAL", "GENERATION", "INGESTION", "GATEWAY")
CALLER_SPAN = "00f067aa0ba902b7"
EMBED = "cairn.embedding.v1.EmbeddingService/Embed"
RERANK = "cairn.embedding.v1.EmbeddingService/Rerank"
SEARCH = "cairn.retrieval.v1.RetrievalService/Search"
GENERATE = "cairn.generation.v1.GenerationService/Generate"
QUESTION = {"query": "How does granite form?", "bypass_cache": True}


class SilentModel:
    """An endpoint that takes requests and never answers: an engine at work for ever."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads until the other side leaves."""
        await reader.read(1)
        self.asked.set()
        while await reader.read(65536):
            pass
        self.left.set()
        writer.close()


@dataclass(frozen=True)
class Traced:
    """A suite whose processes send their spans to a receiver of ours."""

    suite: Suite
    receiver: OtlpReceiver
    silent: SilentModel

    async def post(
        self, path: str, body: dict[str, object], trace_id: str = "", **headers: str
    ) -> tuple[str, httpx.Response]:
        """Posts under a new trace; returns its id and the response."""
        trace_id = trace_id or secrets.token_hex(16)
        headers |= {
            "traceparent": f"00-{trace_id}-{CALLER_SPAN}-01",
            "Authorization": f"Bearer {self.suite.api_key}",
        }
        async with httpx.AsyncClient(base_url=self.suite.http_url, trust_env=False) as client:
            response = await client.post(path, json=body, headers=headers, timeout=30)
        return trace_id, response

    async def spans(self, trace_id: str, *wanted: tuple[str, str, str]) -> list[ReceivedSpan]:
        """Spans of a trace once those that are wanted as (service, kind, name) have come."""
        for service, kind, name in wanted:

            def is_wanted(
                span: ReceivedSpan, service: str = service, kind: str = kind, name: str = name
            ) -> bool:
                found = (span.service, span.kind, span.name)
                return span.trace_id == trace_id and found == (service, kind, name)

            await self.receiver.wait_for(is_wanted)
        return [span for span in self.receiver.spans if span.trace_id == trace_id]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    silent = SilentModel()
    endpoint = await asyncio.start_server(silent.serve, "127.0.0.1", 0)
    port = endpoint.sockets[0].getsockname()[1]
    async with endpoint, otlp_receiver() as receiver:
        settings = {f"CAIRN_{name}_OTLP_ENDPOINT": receiver.endpoint for name in SERVICES} | {
            "CAIRN_GENERATION_ENGINES": "extractive,openai",
            "CAIRN_GENERATION_OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1",
            "CAIRN_GENERATION_OPENAI_MODEL": "silent",
        }
        running = running_suite(tmp_path_factory.mktemp("traced"), **settings)
        suite = await asyncio.to_thread(running.__enter__)
        try:
            text = (
                "# Granite\n\nGranite forms when magma cools slowly below ground.\n\n"
                "# Basalt\n\nBasalt forms when lava cools quickly at the surface."
            )
            await asyncio.to_thread(ingest_text, suite, rocks=text)
            yield Traced(suite, receiver, silent)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


def _one(spans: list[ReceivedSpan], service: str, kind: str, name: str) -> ReceivedSpan:
    found = [s for s in spans if (s.service, s.kind, s.name) == (service, kind, name)]
    assert len(found) == 1, [(s.service, s.kind, s.name, s.status) for s in spans]
    return found[0]


def _ancestors(spans: list[ReceivedSpan], span: ReceivedSpan) -> list[str]:
    by_id = {each.span_id: each for each in spans}
    names = []
    while span.parent_id in by_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    assert span.parent_id == CALLER_SPAN, "the trace's root is not the caller's child"
    return names


async def test_success_is_one_tree_over_four_services(traced: Traced) -> None:
    trace_id, response = await traced.post("/v1/query", QUESTION)
    assert response.json()["trace_id"] == trace_id
    root = "POST /v1/query"
    spans = await traced.spans(
        trace_id,
        ("gateway", "SERVER", root),
        ("generation", "SERVER", GENERATE),
        ("embedding", "SERVER", RERANK),
        ("retrieval", "SERVER", SEARCH),
    )
    for service, method, above in (
        ("embedding", EMBED, "embed"),
        ("retrieval", SEARCH, "retrieve"),
        ("generation", GENERATE, "generate"),
    ):
        client = _one(spans, "gateway", "CLIENT", method)
        server = _one(spans, service, "SERVER", method)
        assert server.parent_id == client.span_id
        assert _ancestors(spans, client) == [above, "rag.query", root]
        assert client.attributes["rpc.status_code"] == "OK"
        assert server.attributes["rpc.status_code"] == "OK"
    onward = [s for s in spans if (s.service, s.kind, s.name) == ("generation", "CLIENT", RERANK)]
    assert onward
    assert GENERATE in _ancestors(spans, onward[0])
    assert {span.status for span in spans} == {"UNSET"}
    assert _one(spans, "gateway", "SERVER", root).attributes["http.response.status_code"] == 200
    said = " ".join(str(value) for span in spans for value in span.attributes.values())
    assert "ranite" not in said, "questions and passages stay out of traces"


async def test_an_error_keeps_its_code_at_each_hop(traced: Traced) -> None:
    trace_id, response = await traced.post("/v1/query", QUESTION | {"collection": "no-such"})
    assert response.status_code == 404
    spans = await traced.spans(
        trace_id, ("gateway", "SERVER", "POST /v1/query"), ("retrieval", "SERVER", SEARCH)
    )
    server = _one(spans, "retrieval", "SERVER", SEARCH)
    client = _one(spans, "gateway", "CLIENT", SEARCH)
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    assert server.parent_id == client.span_id
    assert server.attributes["rpc.status_code"] == "NOT_FOUND"
    assert server.status == "UNSET", "a caller's mistake is no fault of the server"
    assert client.attributes["rpc.status_code"] == "NOT_FOUND"
    assert client.status == "ERROR"
    assert root.attributes["http.response.status_code"] == 404
    assert root.status == "UNSET"


async def test_a_deadline_shows_at_each_hop_where_it_passed(traced: Traced) -> None:
    trace_id, response = await traced.post(
        "/v1/query", QUESTION | {"model": "silent"}, **{"X-Cairn-Timeout-Ms": "3000"}
    )
    assert response.status_code == 200
    assert "generation_unavailable" in response.json()["degraded"]
    spans = await traced.spans(
        trace_id, ("gateway", "SERVER", "POST /v1/query"), ("generation", "SERVER", GENERATE)
    )
    client = _one(spans, "gateway", "CLIENT", GENERATE)
    server = _one(spans, "generation", "SERVER", GENERATE)
    assert server.parent_id == client.span_id
    for span in (client, server):
        assert span.attributes["rpc.status_code"] == "DEADLINE_EXCEEDED"
        assert span.status == "ERROR"
    assert _ancestors(spans, client) == ["generate", "rag.query", "POST /v1/query"]
    assert _one(spans, "gateway", "CLIENT", SEARCH).attributes["rpc.status_code"] == "OK"


async def test_a_server_reports_the_deadline_it_ran_into(traced: Traced) -> None:
    trace_id = secrets.token_hex(16)
    request = retrieval.SearchRequest(
        scope=SCOPE,
        collection="waiting",
        query=retrieval.Query(vector=VECTOR),
        options=retrieval.SearchOptions(min_seq=2**62),
    )
    create = retrieval.CreateCollectionRequest(
        scope=SCOPE, name="waiting", settings=retrieval.CollectionSettings(dimensions=384)
    )
    service = "cairn.retrieval.v1.RetrievalService"
    async with grpc.aio.insecure_channel(traced.suite.address("retrieval")) as channel:
        created = await call(channel, service, "CreateCollection", create)
        assert created.code is grpc.StatusCode.OK
        outcome = await call(
            channel,
            service,
            "Search",
            request,
            timeout_seconds=0.5,
            metadata=(("traceparent", f"00-{trace_id}-{CALLER_SPAN}-01"),),
        )
    assert outcome.code is grpc.StatusCode.DEADLINE_EXCEEDED
    spans = await traced.spans(trace_id, ("retrieval", "SERVER", SEARCH))
    server = _one(spans, "retrieval", "SERVER", SEARCH)
    assert server.parent_id == CALLER_SPAN
    assert server.attributes["rpc.status_code"] == "DEADLINE_EXCEEDED"
    assert server.status == "ERROR"


async def test_leaving_cancels_every_hop(traced: Traced) -> None:
    traced.silent.asked.clear()
    traced.silent.left.clear()
    body = QUESTION | {"model": "silent"}
    leaving = asyncio.create_task(traced.post("/v1/query", body, trace_id := secrets.token_hex(16)))
    await asyncio.wait_for(traced.silent.asked.wait(), 10)
    leaving.cancel()
    await asyncio.wait_for(traced.silent.left.wait(), 5)
    spans = await traced.spans(
        trace_id, ("gateway", "SERVER", "POST /v1/query"), ("generation", "SERVER", GENERATE)
    )
    client = _one(spans, "gateway", "CLIENT", GENERATE)
    server = _one(spans, "generation", "SERVER", GENERATE)
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    assert server.parent_id == client.span_id
    assert client.attributes["rpc.status_code"] == "CANCELLED"
    assert server.attributes["rpc.status_code"] == "CANCELLED"
    assert _ancestors(spans, client) == ["generate", "rag.query", "POST /v1/query"]
    assert root.attributes["http.response.status_code"] == 499
