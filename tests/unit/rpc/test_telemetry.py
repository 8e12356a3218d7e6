"""Telemetry: spans of stages, sampling, and a collector that is not there."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from importlib import metadata

import pytest
import structlog
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import REGISTRY

from services.rpc import span_export
from services.rpc.errors import NotFoundError, Reason, UnavailableError
from services.rpc.logs import configure_logging
from services.rpc.telemetry import Telemetry, current_trace_id, span, start_telemetry
from tests.kit.grpc_server import RpcTestSettings
from tests.kit.ports import free_port


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter: InMemorySpanExporter) -> Iterator[Telemetry]:
    started = start_telemetry("sample", RpcTestSettings(), exporter=exporter)
    yield started
    started.shutdown()


def test_stage_is_a_child_and_names_the_trace(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    assert current_trace_id() == ""
    with span("outer"):
        trace_id = current_trace_id()
        with span("inner", attributes={"count": 2}) as inner:
            inner.set_attribute("tokens", 3)
            assert current_trace_id() == trace_id
    telemetry.flush()
    ended = {each.name: each for each in exporter.get_finished_spans()}
    assert ended["inner"].parent.span_id == ended["outer"].context.span_id
    assert dict(ended["inner"].attributes) == {"count": 2, "tokens": 3}
    assert len(trace_id) == 32


def test_a_process_says_which_of_its_kind_it_is(
    telemetry: Telemetry, exporter: InMemorySpanExporter
) -> None:
    with span("stage"):
        pass
    telemetry.flush()
    (ended,) = exporter.get_finished_spans()
    told = dict(ended.resource.attributes)
    assert told.pop("service.instance.id").endswith(f"-{os.getpid()}")
    assert told == {
        "service.name": "sample",
        "service.namespace": "cairn",
        "service.version": metadata.version("cairn-rag"),
    }
    assert ended.resource.schema_url == ended.instrumentation_scope.schema_url


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        (ZeroDivisionError("a secret"), StatusCode.ERROR, "ZeroDivisionError"),
        (UnavailableError(Reason.NOT_READY, "a secret"), StatusCode.ERROR, "UNAVAILABLE"),
        (NotFoundError(Reason.MODEL_NOT_FOUND, "a secret"), StatusCode.UNSET, None),
        # Nobody wants it any more: no success, and no fault.
        (asyncio.CancelledError("a secret"), StatusCode.UNSET, "CANCELLED"),
    ],
)
def test_exception_marks_the_span_without_its_text(
    telemetry: Telemetry,
    exporter: InMemorySpanExporter,
    error: BaseException,
    status: StatusCode,
    error_type: str | None,
) -> None:
    with pytest.raises(type(error)), span("stage"):
        raise error
    telemetry.flush()
    (ended,) = exporter.get_finished_spans()
    assert ended.status.status_code is status
    assert ended.attributes.get("error.type") == error_type
    assert "secret" not in ended.to_json()


def test_without_telemetry_a_span_does_nothing() -> None:
    with span("stage") as stage:
        assert not stage.is_recording()


def test_a_trace_outside_the_share_is_not_exported(exporter: InMemorySpanExporter) -> None:
    telemetry = start_telemetry(
        "sample", RpcTestSettings(trace_sample_ratio=0.0), exporter=exporter
    )
    with span("root"), span("stage"):
        assert len(current_trace_id()) == 32
    telemetry.shutdown()
    assert exporter.get_finished_spans() == ()


def test_telemetry_may_be_started_again_and_again() -> None:
    for name in ("first", "second"):
        exporter = InMemorySpanExporter()
        telemetry = start_telemetry(name, RpcTestSettings(), exporter=exporter)
        with span("stage"):
            pass
        telemetry.flush()
        (ended,) = exporter.get_finished_spans()
        assert ended.resource.attributes["service.name"] == name
        telemetry.shutdown()
        telemetry.shutdown()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    configure_logging("sample", stream=stream)
    yield stream
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


@pytest.mark.parametrize("kind", ["absent", "silent"])
def test_collector_that_does_not_answer_costs_little(
    kind: str, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_export, "EXPORT_TIMEOUT_SECONDS", 0.5)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = free_port() if kind == "absent" else listener.getsockname()[1]
        telemetry = start_telemetry("sample", RpcTestSettings(otlp_endpoint=f"127.0.0.1:{port}"))
        lost_before = REGISTRY.get_sample_value("cairn_telemetry_lost_spans_total") or 0
        for _ in range(5):
            with span("stage"):
                pass
        began = time.monotonic()
        telemetry.flush(timeout_seconds=10)
        with span("stage"):
            pass
        telemetry.shutdown()
        assert time.monotonic() - began < 6
    lost = REGISTRY.get_sample_value("cairn_telemetry_lost_spans_total") or 0
    assert lost >= lost_before + 5
    events = [json.loads(line)["event"] for line in log.getvalue().splitlines()]
    assert events == ["traces are not taken"]
