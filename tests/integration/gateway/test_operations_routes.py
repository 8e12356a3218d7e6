"""What page Operations shows, over HTTP; and the chunks of a document."""

from __future__ import annotations

from services.gateway.edge.operations_routes import OverviewView, RequestTracesView
from services.gateway.edge.views import ChunksView
from services.rpc.errors import Reason, UnavailableError
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway


async def test_overview_tells_state_queue_caches_cost_and_latency(gw: RunningGateway) -> None:
    gw.down.retrieval.is_kept = True
    async with gw.client() as client:
        for _ in range(2):
            assert (await client.post("/v1/query", json={"query": "rock?"})).status_code == 200
        response = await client.get("/v1/operations")
    assert response.status_code == 200, response.text
    view = OverviewView.model_validate(response.json())
    assert view.health.components["retrieval"] == "ready"
    assert view.load.requests_in_flight == 1
    assert view.queue is not None
    assert view.queue.oldest_job_age_seconds == 7.0
    assert {cache.name: cache.hit_count for cache in view.caches}["exact"] == 1
    assert view.cost.request_count == 2
    stages = {row.stage: row.count for row in view.latency if row.operation == "POST /v1/query"}
    assert stages["total"] == 2
    assert stages["retrieve"] == 1  # the second answer came from the cache


async def test_overview_without_ingestion_still_answers(gw: RunningGateway) -> None:
    gw.down.ingestion.submit.error = UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "away")
    async with gw.client() as client:
        response = await client.get("/v1/operations")
    assert response.status_code == 200, response.text
    assert response.json()["queue"] is None


async def test_traces_show_steps_and_no_texts(gw: RunningGateway) -> None:
    async with gw.client() as client:
        await client.post("/v1/query", json={"query": "secretword granite"})
        await client.get("/v1/collections")
        response = await client.get("/v1/operations/traces")
    view = RequestTracesView.model_validate(response.json())
    assert [trace.name for trace in view.traces] == ["POST /v1/query"]  # reads are left out
    (trace,) = view.traces
    steps = {step.name: step for step in trace.steps}
    call = steps["cairn.retrieval.v1.RetrievalService/Search"]
    assert call.kind == "call"
    assert call.depth > steps["retrieve"].depth
    assert steps["retrieve"].begin_ms <= call.begin_ms
    assert trace.status == "200"
    assert "secretword" not in response.text


async def test_traces_are_of_the_callers_tenant_alone(gw: RunningGateway) -> None:
    other = await gw.make_key(tenant="other", role="operator")
    async with gw.client() as client, gw.client(other) as stranger:
        await client.post("/v1/search", json={"query": "granite"})
        own = (await client.get("/v1/operations/traces")).json()["traces"]
        foreign = (await stranger.get("/v1/operations/traces")).json()["traces"]
        figures = (await stranger.get("/v1/operations")).json()
    assert "POST /v1/search" in [trace["name"] for trace in own]
    assert foreign == []
    assert figures["latency"] == []
    assert figures["cost"]["request_count"] == 0


async def test_operations_are_for_operators(gw: RunningGateway) -> None:
    key = await gw.make_key(role="editor")
    async with gw.client(key) as client:
        for path in ("/v1/operations", "/v1/operations/traces"):
            assert (await client.get(path)).status_code == 403


async def test_chunks_of_a_document_come_in_pages(gw: RunningGateway) -> None:
    where = {"document_id": "rocks/granite.md", "page_size": 1}
    async with gw.client() as client:
        first = (await client.get("/v1/chunks", params=where)).json()
        token = first["next_page_token"]
        second = (await client.get("/v1/chunks", params={**where, "page_token": token})).json()
    pages = [ChunksView.model_validate(each) for each in (first, second)]
    chunks = [chunk for page in pages for chunk in page.chunks]
    assert [chunk.ordinal for chunk in chunks] == [0, 1]
    assert [chunk.text for chunk in chunks] == [TEXT[each.start : each.end] for each in chunks]
    assert (token, second["next_page_token"]) == ("1", "")


async def test_chunks_are_refused_in_words(gw: RunningGateway) -> None:
    where = {"document_id": "rocks/granite.md"}
    async with gw.client() as client:
        missing = await client.get("/v1/chunks", params={**where, "document_id": "none"})
        nameless = await client.get("/v1/chunks", params={"page_size": 1})
        bad = await client.get("/v1/chunks", params={**where, "page_token": "-1"})
    assert (missing.status_code, missing.json()["reason"]) == (404, "DOCUMENT_NOT_FOUND")
    assert nameless.status_code == 400
    assert bad.json()["violations"][0]["field"] == "page_token"
