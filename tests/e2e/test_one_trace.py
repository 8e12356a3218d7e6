"""One trace through the running suite, as an OTLP collector receives it."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True)
class Traced:
    """A suite whose processes send their spans to a receiver of ours."""

    suite: Suite
    receiver: OtlpReceiver

    async def post(
        self, path: str, body: dict[str, object], *, timeout: float = 30, **headers: str
    ) -> tuple[str, httpx.Response | None]:
        """Posts under a new trace; returns its id, and None for the response when we left."""
        trace_id = secrets.token_hex(16)
        headers |= {
            "traceparent": f"00-{trace_id}-{CALLER_SPAN}-01",
            "Authorization": f"Bearer {self.suite.api_key}",
        }
        async with httpx.AsyncClient(base_url=self.suite.http_url, trust_env=False) as client:
            try:
                response = await client.post(path, json=body, headers=headers, timeout=timeout)
            except httpx.ReadTimeout:
                return trace_id, None
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
    async with otlp_receiver() as receiver:
        endpoints = {f"CAIRN_{name}_OTLP_ENDPOINT": receiver.endpoint for name in SERVICES}
        running = running_suite(tmp_path_factory.mktemp("traced"), **endpoints)
        suite = await asyncio.to_thread(running.__enter__)
        try:
            text = (
                "# Granite\n\nGranite forms when magma cools slowly below ground.\n\n"
                "# Basalt\n\nBasalt forms when lava cools quickly at the surface."
            )
            await asyncio.to_thread(ingest_text, suite, rocks=text)
            yield Traced(suite, receiver)
        finally:
            await asyncio.to_thread(running.__exit__, None, None, None)


@contextmanager
def frozen(suite: Suite, service: str) -> Iterator[None]:
    """Stops a service's process, as a machine that hangs would, for the block."""
    pid = suite.state().of_service(service)[0].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


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
    assert response is not None
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
    assert response is not None
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


async def test_a_deadline_shows_where_it_passed(traced: Traced) -> None:
    with frozen(traced.suite, "embedding"):
        trace_id, response = await traced.post(
            "/v1/query", QUESTION, **{"X-Cairn-Timeout-Ms": "1500"}
        )
    assert response is not None
    assert response.status_code == 200
    assert "dense_unavailable" in response.json()["degraded"]
    spans = await traced.spans(trace_id, ("gateway", "SERVER", "POST /v1/query"))
    embed = _one(spans, "gateway", "CLIENT", EMBED)
    assert embed.attributes["rpc.status_code"] == "DEADLINE_EXCEEDED"
    assert embed.status == "ERROR"
    assert _ancestors(spans, embed) == ["embed", "rag.query", "POST /v1/query"]
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
    with frozen(traced.suite, "generation"):
        trace_id, response = await traced.post("/v1/query", QUESTION, timeout=1.5)
        assert response is None
        spans = await traced.spans(trace_id, ("gateway", "SERVER", "POST /v1/query"))
    client = _one(spans, "gateway", "CLIENT", GENERATE)
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    assert client.attributes["rpc.status_code"] == "CANCELLED"
    assert _ancestors(spans, client) == ["generate", "rag.query", "POST /v1/query"]
    assert root.attributes["http.response.status_code"] == 499
    assert root.seconds < 5, "the gateway went on after the client had left"


async def test_a_cancelled_server_stops_and_says_so(traced: Traced) -> None:
    with frozen(traced.suite, "embedding"):
        trace_id, response = await traced.post("/v1/query", QUESTION, timeout=2.5)
        assert response is None
        spans = await traced.spans(
            trace_id, ("gateway", "SERVER", "POST /v1/query"), ("generation", "SERVER", GENERATE)
        )
    server = _one(spans, "generation", "SERVER", GENERATE)
    assert server.attributes["rpc.status_code"] == "CANCELLED"
    assert server.parent_id == _one(spans, "gateway", "CLIENT", GENERATE).span_id
