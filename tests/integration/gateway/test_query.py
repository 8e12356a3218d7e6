"""Questions over HTTP and gRPC, against fake services."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.generation.v1 import generation_service_pb2 as generation

from services.rpc.errors import Reason, UnavailableError
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway

QUESTION = {"query": "How does granite form?"}
FIELDS = {field.name for field in pb.QueryResponse.DESCRIPTOR.fields}


async def ask(gw: RunningGateway, **options: Any) -> dict[str, Any]:
    async with gw.client() as client:
        response = await client.post("/v1/query", json=QUESTION | options)
    assert response.status_code == 200, response.text
    return response.json()


def parse_events(text: str) -> list[tuple[str, Any]]:
    events = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        events.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return events


async def test_answer_has_every_field_and_exact_citations(gw: RunningGateway) -> None:
    answer = await ask(gw)
    assert set(answer) == FIELDS
    assert (
        answer["answer"] == "Granite forms when magma cools slowly [1]. Granite is an igneous rock."
    )
    (citation,) = answer["citations"]
    assert citation["text"] == TEXT[citation["start"] : citation["end"]]
    assert citation["document_version"] == 3
    assert answer["degraded"] == []
    assert answer["refused"] is False
    assert answer["cached"] == ""
    assert len(answer["trace_id"]) == 32
    stages = {"understand", "embed", "retrieve", "rerank", "assemble", "generate", "verify"}
    assert set(answer["timings_ms"]) == stages | {"cache", "total"}
    assert answer["usage"]["rerank_tokens"] == 7
    assert answer["usage"]["completion_tokens"] == 12
    assert answer["cost"] == {"amount": 0.0, "currency": "USD"}


async def test_grpc_and_rest_give_the_same(gw: RunningGateway) -> None:
    over_http = await ask(gw)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        metadata = (("authorization", f"Bearer {gw.key}"),)
        answer = await stub.Query(pb.QueryRequest(query=QUESTION["query"]), metadata=metadata)
        events = [
            event
            async for event in stub.StreamQuery(
                pb.StreamQueryRequest(query=pb.QueryRequest(query=QUESTION["query"])),
                metadata=metadata,
            )
        ]
    assert answer.answer == over_http["answer"]
    assert [c.text for c in answer.citations] == [c["text"] for c in over_http["citations"]]
    assert [p.passage.chunk_id for p in answer.passages] == [
        p["passage"]["chunk_id"] for p in over_http["passages"]
    ]
    assert events[0].WhichOneof("event") == "passages"
    assert "".join(e.delta.text for e in events if e.HasField("delta")) == answer.answer
    assert events[-1].response.answer == answer.answer


async def test_stream_sends_passages_deltas_and_the_whole_response(gw: RunningGateway) -> None:
    async with gw.client() as client:
        response = await client.post("/v1/query", json=QUESTION | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    events = parse_events(response.text)
    names = [name for name, _ in events]
    assert names[0] == "passages"
    assert names[-1] == "response"
    assert names.count("delta") >= 2
    whole = events[-1][1]
    assert set(whole) == FIELDS
    assert "".join(data["text"] for name, data in events if name == "delta") == whole["answer"]


async def test_stream_that_fails_before_it_begins_has_its_own_status(gw: RunningGateway) -> None:
    async with gw.client() as client:
        response = await client.post(
            "/v1/query", json=QUESTION | {"stream": True, "collection": "absent"}
        )
    assert response.status_code == 404
    assert response.json()["reason"] == "COLLECTION_NOT_FOUND"


async def test_copying_engine_is_cited_by_its_spans(gw: RunningGateway) -> None:
    sentence = "Basalt cools quickly at the surface."
    gw.down.generation.engine = "extractive"
    gw.down.generation.pieces = [f"{sentence} [4]"]
    span = generation.QuotedSpan(marker=4, passage_index=1, start=0, end=len(sentence), support=0.8)
    gw.down.generation.quotes = [span]
    async with gw.client() as client:
        answer = (await client.post("/v1/query", json=QUESTION)).json()
    assert answer["answer"] == f"{sentence} [1]"
    (citation,) = answer["citations"]
    assert citation["text"] == sentence == TEXT[citation["start"] : citation["end"]]
    assert answer["grounded"] == 1.0


async def test_history_is_mixed_into_the_search(gw: RunningGateway) -> None:
    history = [
        {"speaker": "user", "text": "What is granite?"},
        {"speaker": "assistant", "text": "A rock."},
    ]
    await ask(gw, query="How does it form?", history=history)
    (request,) = gw.down.retrieval.search.requests("Search")
    assert request.query.text == "How does it form?"
    assert request.query.mixed_texts[0].text == "What is granite? How does it form?"
    assert request.query.mixed_texts[0].weight == pytest.approx(0.3)
    assert request.query.mixed_vectors[0].weight == pytest.approx(0.3)
    messages = gw.down.generation.generate.requests("Generate")[0].messages
    assert [m.content for m in messages] == ["What is granite?", "A rock.", "How does it form?"]


async def test_collection_of_another_model_is_searched_with_its_own(gw: RunningGateway) -> None:
    gw.down.retrieval.collections["special"] = "other-model"
    answer = await ask(gw, collection="special")
    assert answer["degraded"] == []
    models = [r.options.model for r in gw.down.embedding.embed.requests("Embed")]
    assert models == ["", "other-model"]


async def test_no_passages_is_a_refusal_without_generation(gw: RunningGateway) -> None:
    gw.down.retrieval.is_empty = True
    answer = await ask(gw)
    assert answer["refused"] is True
    assert answer["finish_reason"] == "refused"
    assert answer["citations"] == []
    assert gw.down.generation.generate.calls == []


AWAY = UnavailableError(Reason.NOT_READY, "away")


@pytest.mark.parametrize(
    ("service", "fault", "step"),
    [
        ("embedding", "embed", "dense_unavailable"),
        ("embedding", "rerank", "rerank_skipped"),
        ("generation", "generate", "generation_unavailable"),
    ],
)
@pytest.mark.parametrize("way", ["failing", "slow"])
async def test_what_is_missing_is_named(
    gw: RunningGateway, service: str, fault: str, step: str, way: str
) -> None:
    broken = getattr(getattr(gw.down, service), fault)
    if way == "failing":
        broken.error = AWAY
    else:
        broken.delay_seconds = 30
    answer = await ask(gw, timeout_ms=2_500)
    assert step in answer["degraded"]
    assert answer["answer"]
    for citation in answer["citations"]:
        assert citation["text"] == TEXT[citation["start"] : citation["end"]]
    if step == "generation_unavailable":
        assert answer["engine"] == "passage"
        assert answer["answer"].endswith("[1]")
        assert answer["citations"]
    if step == "dense_unavailable":
        (search,) = gw.down.retrieval.search.requests("Search")
        assert not search.query.HasField("vector")


async def test_engine_that_dies_half_way_leaves_what_there_was(gw: RunningGateway) -> None:
    gw.down.generation.break_after = 2
    answer = await ask(gw)
    assert answer["degraded"] == ["generation_truncated"]
    assert answer["answer"].startswith("Granite forms when magma cools slowly")
    assert answer["finish_reason"] == "interrupted"


async def test_fallback_of_the_engine_chain_is_named(gw: RunningGateway) -> None:
    gw.down.generation.fallback_reason = "vllm: NOT_READY"
    assert (await ask(gw))["degraded"] == ["generation_fallback"]


async def test_without_retrieval_there_is_no_answer(gw: RunningGateway) -> None:
    gw.down.retrieval.search.error = AWAY
    async with gw.client() as client:
        response = await client.post("/v1/query", json=QUESTION)
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_deadline_that_the_caller_chose_is_no_fault_of_the_server(
    gw: RunningGateway,
) -> None:
    gw.down.retrieval.search.delay_seconds = 30
    async with gw.client() as client:
        own = await client.post("/v1/query", json=QUESTION | {"timeout_ms": 300})
        stream = await client.post("/v1/query", json=QUESTION | {"timeout_ms": 300, "stream": True})
        search = await client.post("/v1/search", json=QUESTION | {"timeout_ms": 300})
    for response in (own, stream, search):
        assert response.status_code == 408
        assert response.json()["reason"] == "DEADLINE_EXCEEDED"
        assert "300 ms" in response.json()["detail"]


async def test_deadline_of_the_header_holds(gw: RunningGateway) -> None:
    gw.down.retrieval.search.delay_seconds = 30
    async with gw.client() as client:
        response = await client.post(
            "/v1/query", json=QUESTION, headers={"X-Cairn-Timeout-Ms": "300"}
        )
    assert response.status_code == 504
    assert response.json()["reason"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("stream", [False, True])
async def test_client_that_leaves_stops_the_engine(gw: RunningGateway, stream: bool) -> None:
    gw.down.generation.between_seconds = 5
    async with gw.client() as client:
        call = asyncio.create_task(client.post("/v1/query", json=QUESTION | {"stream": stream}))
        while not gw.down.generation.generate.calls:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 3)


async def test_grpc_client_that_leaves_stops_the_engine(gw: RunningGateway) -> None:
    gw.down.generation.between_seconds = 5
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        call = rpc.GatewayServiceStub(channel).StreamQuery(
            pb.StreamQueryRequest(query=pb.QueryRequest(query=QUESTION["query"])),
            metadata=(("authorization", f"Bearer {gw.key}"),),
        )
        assert (await call.read()).HasField("passages")
        assert (await call.read()).HasField("delta")
        call.cancel()
    await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 3)


async def test_search_and_recommend(gw: RunningGateway) -> None:
    async with gw.client() as client:
        search = await client.post(
            "/v1/search",
            json={"query": "granite", "rerank": True, "explain": True, "top_k": 1},
        )
        like = await client.post("/v1/recommend", json={"positive_ids": ["rocks/granite.md"]})
    assert set(search.json()) == {f.name for f in pb.SearchResponse.DESCRIPTOR.fields}
    assert len(search.json()["passages"]) == 1
    assert search.json()["passages"][0]["passage"]["metadata"] == {"kind": "rock", "year": 1950}
    assert [stage["stage"] for stage in search.json()["explanation"]] == [
        "retrieve",
        "rerank",
        "select",
    ]
    assert set(like.json()) == {f.name for f in pb.RecommendResponse.DESCRIPTOR.fields}


async def test_key_that_reads_as_nobody_finds_nothing(gw: RunningGateway) -> None:
    key = await gw.make_key(role="viewer", principals=["group:strangers"])
    async with gw.client(key) as client:
        answer = (await client.post("/v1/query", json=QUESTION)).json()
        document = await client.get("/v1/documents/rocks/granite.md")
        listed = await client.get("/v1/documents")
    assert answer["passages"] == []
    assert answer["refused"] is True
    assert document.status_code == 404
    assert listed.json()["documents"] == []
