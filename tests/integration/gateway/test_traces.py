"""One trace from the edge to every service, as a collector sees it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.rpc.errors import Reason, UnavailableError
from services.rpc.telemetry import start_telemetry
from tests.kit.downstream import running_downstream
from tests.kit.gateway import RunningGateway, running_gateway
from tests.kit.grpc_server import RpcTestSettings
from tests.kit.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver

NAMES = ("gateway", "embedding", "retrieval", "generation", "ingestion")


@contextlib.asynccontextmanager
async def traced(folder: Path) -> AsyncIterator[tuple[RunningGateway, OtlpReceiver]]:
    async with otlp_receiver() as receiver:
        settings = RpcTestSettings(otlp_endpoint=receiver.endpoint)
        telemetries = {name: start_telemetry(name, settings) for name in NAMES}
        try:
            async with (
                running_downstream(telemetries) as down,
                running_gateway(folder, down=down, telemetry=telemetries["gateway"]) as gw,
            ):
                yield gw, receiver
        finally:
            for telemetry in telemetries.values():
                await asyncio.to_thread(telemetry.shutdown)


async def spans_of(receiver: OtlpReceiver, trace_id: str, count: int) -> list[ReceivedSpan]:
    # The gateway's own span ends last; how many retries have theirs before it is left open.
    await receiver.wait_for(
        lambda span: span.trace_id == trace_id and span.name.startswith("POST /"), 1
    )
    return await receiver.wait_for(lambda span: span.trace_id == trace_id, count)


def only(spans: list[ReceivedSpan], service: str, name: str) -> ReceivedSpan:
    (found,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return found


async def test_query_is_one_tree(tmp_path: Path) -> None:
    async with traced(tmp_path) as (gw, receiver), gw.client() as client:
        response = await client.post("/v1/query", json={"query": "secret granite words"})
        trace_id = response.json()["trace_id"]
        # Each process sends its spans when it likes.
        for service, method in (
            ("embedding", "EmbeddingService/Embed"),
            ("embedding", "EmbeddingService/Rerank"),
            ("retrieval", "RetrievalService/Search"),
            ("generation", "GenerationService/Generate"),
        ):
            name = f"cairn.{service}.v1.{method}"
            await receiver.wait_for(
                lambda span, wanted=(trace_id, service, name): (
                    (span.trace_id, span.service, span.name) == wanted
                )
            )
        spans = await spans_of(receiver, trace_id, 23)
    root = only(spans, "gateway", "POST /v1/query")
    assert (root.kind, root.parent_id) == ("SERVER", "")
    assert root.attributes["http.response.status_code"] == 200
    assert only(spans, "gateway", "auth").parent_id == root.span_id
    workflow = only(spans, "gateway", "rag.query")
    assert workflow.parent_id == root.span_id
    cache = only(spans, "gateway", "cache")
    for method in (
        "retrieval.v1.RetrievalService/GetPosition",
        "generation.v1.GenerationService/ListModels",
    ):
        assert only(spans, "gateway", f"cairn.{method}").parent_id == cache.span_id
    for stage in ("understand", "embed", "retrieve", "rerank", "assemble", "generate", "verify"):
        assert only(spans, "gateway", stage).parent_id == workflow.span_id
    for stage, service, method in (
        ("embed", "embedding", "cairn.embedding.v1.EmbeddingService/Embed"),
        ("retrieve", "retrieval", "cairn.retrieval.v1.RetrievalService/Search"),
        ("rerank", "embedding", "cairn.embedding.v1.EmbeddingService/Rerank"),
        ("generate", "generation", "cairn.generation.v1.GenerationService/Generate"),
    ):
        call = only(spans, "gateway", method)
        assert (call.kind, call.parent_id) == ("CLIENT", only(spans, "gateway", stage).span_id)
        served = only(spans, service, method)
        assert (served.kind, served.parent_id) == ("SERVER", call.span_id)
        assert served.status == "UNSET"
    assert "secret" not in str(spans)


@pytest.mark.parametrize("way", ["error", "deadline", "cancel"])
async def test_how_a_call_ended_is_told(tmp_path: Path, way: str) -> None:
    async with traced(tmp_path) as (gw, receiver), gw.client() as client:
        search = gw.down.retrieval.search
        headers = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        if way == "error":
            search.error = UnavailableError(Reason.NOT_READY, "away")
        else:
            search.delay_seconds = 30
        body = {"query": "x", "mode": "keyword", "timeout_ms": 400 if way == "deadline" else 9_000}
        call = asyncio.create_task(client.post("/v1/query", json=body, headers=headers))
        if way == "cancel":
            while not search.calls:
                await asyncio.sleep(0.01)
            call.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await call
        else:
            response = await call
            assert isinstance(response, httpx.Response)
            assert response.status_code == {"error": 503, "deadline": 408}[way]
        wanted = ("ab" * 16, "retrieval", "cairn.retrieval.v1.RetrievalService/Search")
        await receiver.wait_for(lambda span: (span.trace_id, span.service, span.name) == wanted)
        spans = await spans_of(receiver, "ab" * 16, 5)
    root = only(spans, "gateway", "POST /v1/query")
    assert root.parent_id == "cd" * 8
    status = {"error": 503, "deadline": 408, "cancel": 499}[way]
    assert root.attributes["http.response.status_code"] == status
    assert root.status == ("ERROR" if way == "error" else "UNSET"), "no fault of the server's"
    code = {"error": "UNAVAILABLE", "deadline": "DEADLINE_EXCEEDED", "cancel": "CANCELLED"}[way]
    served = [
        span for span in spans if span.service == "retrieval" and span.name.endswith("/Search")
    ]
    assert served
    assert {span.attributes["rpc.status_code"] for span in served} <= {code, "CANCELLED"}
