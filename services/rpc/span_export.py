"""The way of ended spans to a collector, which may be slow, failing or away."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import Counter

from services.rpc.logs import get_logger
from services.rpc.semconv import (
    SCHEMA_URL,
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_NAMESPACE,
    SERVICE_VERSION,
)
from services.rpc.spans import RecordedSpan

EXPORT_TIMEOUT_SECONDS = 2.0
_DELAY_MILLIS = 1000
_QUEUE_SPANS = 8192

_LOST_SPANS = Counter("cairn_telemetry_lost_spans_total", "Spans that the collector did not take.")


class SpanExport:
    """Hands spans on in batches, by a thread of its own; what the collector does not take is lost.

    Args:
        service: The service's name, "embedding".
        exporter: Where spans go.
    """

    def __init__(self, service: str, exporter: SpanExporter) -> None:
        self._resource = _resource(service)
        self._processor = BatchSpanProcessor(
            _CountingExporter(exporter),
            max_queue_size=_QUEUE_SPANS,
            schedule_delay_millis=_DELAY_MILLIS,
        )

    def add(self, ended: RecordedSpan) -> None:
        """Takes a span that has ended."""
        self._processor.on_end(ended.readable(self._resource))

    def flush(self, timeout_seconds: float) -> bool:
        """Exports what has ended so far; False if that took longer. Blocks."""
        return _bounded(self._processor.force_flush, timeout_seconds)

    def shutdown(self, timeout_seconds: float) -> bool:
        """Exports the rest and stops; False if that took longer. Blocks; may be called again."""
        return _bounded(self._processor.shutdown, timeout_seconds)


def otlp_exporter(endpoint: str) -> SpanExporter:
    """Returns an exporter to a collector: `http://host:port` in the clear, `https://…` by TLS."""
    # The exporter logs each failed attempt; the counter says as much.
    for name in ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return OTLPSpanExporter(
        endpoint=endpoint.removeprefix("http://"),
        insecure=not endpoint.startswith("https://"),
        timeout=EXPORT_TIMEOUT_SECONDS,
    )


def _resource(service: str) -> Resource:
    """Returns what tells this process from others: replicas have one name and one version.

    In Kubernetes the host is the pod's name.
    """
    described = {
        SERVICE_NAME: service,
        SERVICE_NAMESPACE: "cairn",
        SERVICE_VERSION: metadata.version("cairn-rag"),
        SERVICE_INSTANCE_ID: f"{socket.gethostname()}-{os.getpid()}",
    }
    return Resource(described, SCHEMA_URL)


class _CountingExporter(SpanExporter):
    """Counts what is lost, and says so once, instead of logging each attempt."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - telemetry must not break the process
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._is_failing = False
            return result
        _LOST_SPANS.inc(len(spans))
        if not self._is_failing:
            self._is_failing = True
            get_logger().warning("traces are not taken", count=len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def _bounded(blocking: Callable[[], Any], timeout_seconds: float) -> bool:
    """Runs `blocking` in a thread that may outlive the wait: the SDK's time-outs do not hold."""
    thread = threading.Thread(target=blocking, daemon=True, name="telemetry-flush")
    thread.start()
    thread.join(timeout_seconds)
    return not thread.is_alive()
