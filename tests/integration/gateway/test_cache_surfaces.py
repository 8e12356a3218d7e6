"""What callers see of caches, and how they pass them by, over HTTP and gRPC."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc

from tests.kit.gateway import RunningGateway

QUERY = {"query": "How does granite form?"}
RECOMMEND = {"positive_ids": ["rocks/granite.md"]}


@pytest.fixture(autouse=True)
def kept(gw: RunningGateway) -> None:
    gw.down.retrieval.is_kept = True


async def post(gw: RunningGateway, path: str, body: dict[str, Any], **headers: str) -> Any:
    async with gw.client() as client:
        response = await client.post(path, json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/query", QUERY), ("/v1/search", QUERY), ("/v1/recommend", RECOMMEND)],
)
async def test_hits_say_so_in_body_and_headers(
    gw: RunningGateway, path: str, body: dict[str, Any]
) -> None:
    first, again = await post(gw, path, body), await post(gw, path, body)
    assert (first.json()["cached"], first.headers["x-cairn-cache"]) == ("", "miss")
    assert (again.json()["cached"], again.headers["x-cairn-cache"]) == ("exact", "hit")
    assert 0 <= int(again.headers["age"]) < 60
    assert 0 < again.json()["cached_age_seconds"] < 60
    assert again.json()["passages"] == first.json()["passages"]
    assert again.json()["trace_id"] != first.json()["trace_id"]
    off = await post(gw, path, body, **{"x-cairn-cache": "off"})
    assert (off.json()["cached"], off.headers["x-cairn-cache"]) == ("", "off")
    fresh = await post(gw, path, body, **{"cache-control": "no-cache"})
    assert fresh.headers["x-cairn-cache"] == "miss"
    gw.down.retrieval.generation += 1
    assert (await post(gw, path, body)).json()["cached"] == ""


CHAT = {"model": "cairn", "messages": [{"role": "user", "content": QUERY["query"]}]}
RESPONSE = {"model": "cairn", "input": QUERY["query"]}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/query", {**QUERY, "stream": True}),
        ("/openai/v1/chat/completions", CHAT),
        ("/openai/v1/chat/completions", {**CHAT, "stream": True}),
        ("/openai/v1/responses", RESPONSE),
        ("/openai/v1/responses", {**RESPONSE, "stream": True}),
        ("/openai/v1/vector_stores/default/search", QUERY),
    ],
)
async def test_streams_and_openais_routes_have_the_same_headers(
    gw: RunningGateway, path: str, body: dict[str, Any]
) -> None:
    first, again = await post(gw, path, body), await post(gw, path, body)
    assert first.headers["x-cairn-cache"] == "miss"
    assert again.headers["x-cairn-cache"] == "hit"
    assert 0 <= int(again.headers["age"]) < 60
    off = await post(gw, path, body, **{"x-cairn-cache": "off"})
    assert off.headers["x-cairn-cache"] == "off"
    assert "age" not in off.headers
    assert (await post(gw, path, body)).headers["x-cairn-cache"] == "hit"


async def test_a_model_alone_is_not_cached_and_says_nothing_of_caches(gw: RunningGateway) -> None:
    body = {**CHAT, "model": "tiny"}
    for _ in range(2):
        response = await post(gw, "/openai/v1/chat/completions", body)
        assert "x-cairn-cache" not in response.headers


async def test_openais_routes_tell_of_semantic_hits(gw: RunningGateway) -> None:
    await post(gw, "/v1/query", QUERY)
    for body in (CHAT, {**CHAT, "stream": True}):
        asked = {**body, "messages": [{"role": "user", "content": "how does GRANITE form"}]}
        response = await post(gw, "/openai/v1/chat/completions", asked)
        assert response.headers["x-cairn-cache"] == "semantic"
        assert 0.9 <= float(response.headers["x-cairn-cache-similarity"]) <= 1


async def test_grpc_callers_see_and_say_the_same(gw: RunningGateway) -> None:
    credential = ("authorization", f"Bearer {gw.key}")
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        query = pb.QueryRequest(**QUERY)
        first = await stub.Query(query, metadata=(credential,))
        again = await stub.Query(query, metadata=(credential,))
        off = await stub.Query(query, metadata=(credential, ("x-cairn-cache", "off")))
        asked = await stub.Query(
            pb.QueryRequest(**QUERY, bypass_cache=True), metadata=(credential,)
        )
        events = [
            event
            async for event in stub.StreamQuery(
                pb.StreamQueryRequest(query=query), metadata=(credential,)
            )
        ]
    assert [each.cached for each in (first, again, off, asked)] == ["", "exact", "", ""]
    assert again.cached_age_seconds > 0
    assert [event.WhichOneof("event") for event in events] == ["passages", "delta", "response"]
    assert events[-1].response.cached == "exact"
    assert events[1].delta.text == first.answer


async def test_a_key_that_reads_less_never_sees_what_another_was_told(gw: RunningGateway) -> None:
    await post(gw, "/v1/query", QUERY)
    other = await gw.make_key(role="viewer", principals=["user:nobody"])
    async with gw.client(other) as client:
        answer = (await client.post("/v1/query", json=QUERY)).json()
    assert (answer["cached"], answer["passages"]) == ("", [])
