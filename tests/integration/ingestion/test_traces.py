"""The work on a document is part of the trace of the request that submitted it."""

from __future__ import annotations

import asyncio

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.ingestion.tracing import continue_trace, current_traceparent
from services.rpc.telemetry import current_span, span, start_telemetry
from tests.kit.grpc_server import RpcTestSettings
from tests.kit.ingestion_service import document, run_ingestion


async def test_the_stages_of_a_job_are_spans_in_the_submitters_trace(tmp_path):
    exporter = InMemorySpanExporter()
    async with run_ingestion(tmp_path / "jobs.db") as suite:
        telemetry = start_telemetry("ingestion", RpcTestSettings(), exporter=exporter)
        try:
            with span("submitter") as started:
                trace_id = started.get_span_context().trace_id
                await suite.ingest(document())
            await asyncio.to_thread(telemetry.flush)
        finally:
            await asyncio.to_thread(telemetry.shutdown)
    spans = {each.name: each for each in exporter.get_finished_spans()}
    job = spans["ingestion.job"]
    for name in ("parse", "chunk", "embed", "index"):
        stage = spans[f"ingestion.{name}"]
        assert stage.context.trace_id == trace_id
        assert stage.parent.span_id == job.context.span_id
    assert job.context.trace_id == trace_id


def test_a_trace_goes_on_where_it_is_said_and_ends_there():
    traceparent = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with continue_trace(traceparent):
        assert current_traceparent() == traceparent
    assert current_traceparent() == ""
    with continue_trace("nonsense"):
        assert not current_span().get_span_context().is_valid
