"""One trace through the running suite, as an OTLP collector receives it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval

from services.rpc.semconv import SCHEMA_URL
from tests.kit.otlp_receiver import ReceivedSpan
from tests.kit.raw_calls import call
from tests.kit.traced_suite import CALLER_SPAN, Traced, traced_suite
from tests.kit.valid_requests import SCOPE, VECTOR

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

EMBED = "cairn.embedding.v1.EmbeddingService/Embed"
RERANK = "cairn.embedding.v1.EmbeddingService/Rerank"
SEARCH = "cairn.retrieval.v1.RetrievalService/Search"
UPSERT = "cairn.retrieval.v1.RetrievalService/Upsert"
GENERATE = "cairn.generation.v1.GenerationService/Generate"
QUESTION = {"query": "How does granite form?", "bypass_cache": True}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    async with traced_suite(tmp_path_factory.mktemp("traced")) as running:
        yield running


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
    assert _one(spans, "gateway", "INTERNAL", "generate").status == "ERROR"
    answered = [_one(spans, "gateway", "INTERNAL", "rag.query")]
    answered.append(_one(spans, "gateway", "SERVER", "POST /v1/query"))
    assert {span.status for span in answered} == {"UNSET"}, "it was answered, with less"
    degraded = [s.attributes["cairn.degraded"] for s in spans if "cairn.degraded" in s.attributes]
    assert ["generation_unavailable"] in degraded
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
        token = traced.suite.credentials("retrieval")
        created = await call(channel, service, "CreateCollection", create, metadata=token)
        assert created.code is grpc.StatusCode.OK
        outcome = await call(
            channel,
            service,
            "Search",
            request,
            timeout_seconds=0.5,
            metadata=(("traceparent", f"00-{trace_id}-{CALLER_SPAN}-01"), *token),
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
    stages = [_one(spans, "gateway", "INTERNAL", name) for name in ("generate", "rag.query")]
    assert {span.attributes["error.type"] for span in (server, *stages)} == {"CANCELLED"}
    at_fault = [(s.service, s.name) for s in spans if s.status == "ERROR" and s.kind != "CLIENT"]
    assert at_fault == [], "who leaves is no fault of ours"


async def test_stages_within_the_services_are_below_their_calls(traced: Traced) -> None:
    trace_id, _ = await traced.post("/v1/query", QUESTION | {"query": "Where does granite cool?"})
    spans = await traced.spans(
        trace_id,
        ("gateway", "SERVER", "POST /v1/query"),
        ("embedding", "SERVER", EMBED),
        ("retrieval", "SERVER", SEARCH),
        ("generation", "SERVER", GENERATE),
    )
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    for stage in ("auth", "limits"):
        assert _one(spans, "gateway", "INTERNAL", stage).parent_id == root.span_id
    for service, method, stage in (
        ("retrieval", SEARCH, "retrieval.plan"),
        ("retrieval", SEARCH, "retrieval.search"),
        ("retrieval", SEARCH, "retrieval.rank"),
        ("embedding", EMBED, "embeddings all-MiniLM-L6-v2"),
        ("generation", GENERATE, "chat extractive"),
    ):
        found = [s for s in spans if s.service == service and s.name.startswith(stage)]
        assert found, (stage, sorted((s.service, s.name) for s in spans))
        assert len(found) == 1 or service != "retrieval", stage
        assert method in _ancestors(spans, found[0])
    named = {span.name: span.attributes for span in spans}
    embedded = next(value for name, value in named.items() if name.startswith("embeddings "))
    assert embedded["gen_ai.operation.name"] == "embeddings"
    assert embedded["gen_ai.embeddings.dimension.count"] == 384
    assert named["retrieve"]["gen_ai.operation.name"] == "retrieval"
    assert named["retrieve"]["gen_ai.request.top_k"] > 0
    assert named["rag.query"]["gen_ai.operation.name"] == "invoke_workflow"
    assert embedded["gen_ai.usage.input_tokens"] > 0
    assert named["embed"]["gen_ai.response.model"] == "all-MiniLM-L6-v2"
    scored = next(span for span in spans if span.name.startswith("rerank "))
    assert RERANK in _ancestors(spans, scored)
    assert scored.attributes["gen_ai.operation.name"] == "rerank"
    assert scored.attributes["gen_ai.rerank.candidate.count"] > 0
    assert not [span.name for span in spans if "" in span.attributes.values()], "nothing is said"
    assert {span.schema_url for span in spans} == {SCHEMA_URL}
    for span in spans:
        if span.name.startswith("cairn."):
            assert span.attributes["rpc.system.name"] == "grpc"
            assert span.attributes["rpc.method"] == span.name
            assert span.attributes["server.address"]


async def test_edges_between_services_are_those_of_the_design(traced: Traced) -> None:
    trace_id, _ = await traced.post("/v1/query", QUESTION)
    # Each process sends its spans when it likes: all of them must have come.
    spans = await traced.spans(
        trace_id,
        ("gateway", "SERVER", "POST /v1/query"),
        ("generation", "SERVER", GENERATE),
        ("embedding", "SERVER", RERANK),
        ("embedding", "SERVER", EMBED),
        ("retrieval", "SERVER", SEARCH),
    )
    by_id = {span.span_id: span for span in spans}
    edges = {
        (by_id[span.parent_id].service, span.service)
        for span in spans
        if span.kind == "SERVER" and span.parent_id in by_id
    }
    assert edges == {
        ("gateway", "embedding"),
        ("gateway", "retrieval"),
        ("gateway", "generation"),
        ("generation", "embedding"),
    }


async def test_a_document_is_one_tree_from_its_submission_to_the_index(traced: Traced) -> None:
    body = {"documents": [{"document_id": "slate", "text": "Slate splits into thin, even plates."}]}
    trace_id, response = await traced.post("/v1/documents", body)
    assert response.status_code in {200, 202}, response.text
    spans = await traced.spans(
        trace_id,
        ("gateway", "SERVER", "POST /v1/documents"),
        ("ingestion", "INTERNAL", "ingestion.job"),
        ("retrieval", "SERVER", UPSERT),
        ("embedding", "SERVER", EMBED),
    )
    job = _one(spans, "ingestion", "INTERNAL", "ingestion.job")
    submitted = next(name for name in _ancestors(spans, job) if name.startswith("cairn.ingestion."))
    assert _ancestors(spans, job)[-1] == "POST /v1/documents"
    for stage in ("parse", "chunk", "embed", "index"):
        span = _one(spans, "ingestion", "INTERNAL", f"ingestion.{stage}")
        assert span.parent_id == job.span_id
    for service, method, stage in (
        ("embedding", EMBED, "ingestion.embed"),
        ("retrieval", UPSERT, "ingestion.index"),
    ):
        served = next(
            s for s in spans if (s.service, s.kind, s.name) == (service, "SERVER", method)
        )
        above = _ancestors(spans, served)
        assert above.index(stage) < above.index("ingestion.job") < above.index(submitted)
    said = " ".join(str(value) for span in spans for value in span.attributes.values())
    assert "plates" not in said, "documents stay out of traces"


async def test_a_cached_answer_has_no_stages(traced: Traced) -> None:
    question = {"query": "How does basalt form?"}
    await traced.post("/v1/query", question)
    trace_id, response = await traced.post("/v1/query", question)
    assert response.json()["cached"] == "exact"
    spans = await traced.spans(trace_id, ("gateway", "SERVER", "POST /v1/query"))
    assert _one(spans, "gateway", "INTERNAL", "cache")
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    assert root.attributes["cairn.cache.exact"] == "hit"
    assert GENERATE not in {span.name for span in spans}
    assert "embed" not in {span.name for span in spans}
    assert {span.status for span in spans} == {"UNSET"}


async def test_outside_the_share_only_failures_are_kept_and_they_whole(traced: Traced) -> None:
    well, response = await traced.post("/v1/query", QUESTION, is_sampled=False)
    assert response.status_code == 200
    failed, response = await traced.post(
        "/v1/query",
        QUESTION | {"model": "silent"},
        is_sampled=False,
        **{"X-Cairn-Timeout-Ms": "2000"},
    )
    assert "generation_unavailable" in response.json()["degraded"]
    spans = await traced.spans(
        failed,
        ("gateway", "SERVER", "POST /v1/query"),
        ("generation", "SERVER", GENERATE),
        # These ended well, long before anything failed: they are asked for.
        ("retrieval", "SERVER", SEARCH),
        ("embedding", "SERVER", EMBED),
    )
    root = _one(spans, "gateway", "SERVER", "POST /v1/query")
    assert root.parent_id == CALLER_SPAN
    for span in spans:
        _ancestors(spans, span)
    assert well not in {span.trace_id for span in traced.receiver.spans}


async def test_probes_are_no_traces(traced: Traced) -> None:
    await traced.post("/v1/query", QUESTION)
    assert not [span for span in traced.receiver.spans if "grpc.health" in span.name]
