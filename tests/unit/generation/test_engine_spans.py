"""Spans and timings from the engine's own timestamps."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.generation.engine_spans import EngineTimes, record_spans, timings
from services.rpc.telemetry import Telemetry, span, start_telemetry
from tests.kit.grpc_server import RpcTestSettings


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Iterator[Telemetry]:
    started = start_telemetry("sample", RpcTestSettings(), exporter=exporter)
    yield started
    started.shutdown()


def test_the_steps_are_spans_at_their_own_times(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    now = time.monotonic()
    with span("chat tiny"):
        record_spans(EngineTimes(now - 4.0, now - 3.0, now - 1.0, now))
    telemetry.flush()

    ended = {each.name: each for each in exporter.get_finished_spans()}
    parent = ended.pop("chat tiny")
    seconds = {
        name: ((each.end_time or 0) - (each.start_time or 0)) / 1e9 for name, each in ended.items()
    }
    assert {each.parent.span_id for each in ended.values() if each.parent} == {
        parent.get_span_context().span_id
    }
    assert seconds == pytest.approx(
        {"generation.queue": 1.0, "generation.prefill": 2.0, "generation.decode": 1.0}
    )


def test_steps_that_never_began_are_no_spans(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    now = time.monotonic()
    with span("chat tiny"):
        record_spans(EngineTimes(now - 2.0, now - 1.0))
        record_spans(EngineTimes())
    telemetry.flush()

    assert {each.name for each in exporter.get_finished_spans()} == {
        "chat tiny",
        "generation.queue",
    }


def test_timings_are_what_lies_between() -> None:
    took = timings(EngineTimes(1.0, 1.5, 3.5, 4.5), 0.25)

    assert (took.queue_seconds, took.prefill_seconds) == (0.5, 2.0)
    assert (took.decode_seconds, took.admission_seconds) == (1.0, 0.25)
    assert timings(EngineTimes(), 0.25).admission_seconds == 0.25
