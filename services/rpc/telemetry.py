"""Traces: a tracer provider of our own per process, W3C propagation, OTLP export, cheap spans.

The SDK's global provider can be set only once, which tests and several services in one process
cannot live with; so the telemetry in use is what the running request was received with, else what
was started last.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.util.types import AttributeValue
from prometheus_client import Counter

from services.rpc.errors import Code, ServiceError
from services.rpc.logs import get_logger, qualified_name
from services.rpc.settings import ServiceSettings

SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
EXPORT_TIMEOUT_SECONDS = 2.0
SHUTDOWN_SECONDS = 2.0
"""Most that an absent collector may hold up the end of a process."""
_EXPORT_DELAY_MILLIS = 1000
_IDS = RandomIdGenerator()

_LOST_SPANS = Counter("cairn_telemetry_lost_spans_total", "Spans that the collector did not take.")

SERVER_FAULTS = frozenset(
    {
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)
"""Codes that are a failure of the one who answers with them; the others are the caller's affair."""


class Telemetry:
    """The traces of one process. Made by `start_telemetry`."""

    def __init__(self, service: str, exporter: SpanExporter | None, sample_ratio: float) -> None:
        self.service = service
        self.is_recording = exporter is not None
        """Whether spans go anywhere; ids are made and handed on in any case."""
        self._sample_bound = round(sample_ratio * (1 << 64))
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample_ratio)),
            resource=Resource({"service.name": service, "service.namespace": "cairn"}),
            shutdown_on_exit=False,
        )
        if exporter is not None:
            self._provider.add_span_processor(
                BatchSpanProcessor(
                    _CountingExporter(exporter), schedule_delay_millis=_EXPORT_DELAY_MILLIS
                )
            )
        self.tracer = self._provider.get_tracer("cairn", schema_url=SCHEMA_URL)

    def idle_span(self, parent: SpanContext) -> Span:
        """Returns a span that carries ids and records nothing, for processes without an exporter.

        Args:
            parent: Context received with the request; an invalid one begins a trace.
        """
        if parent.is_valid:
            trace_id, flags = parent.trace_id, parent.trace_flags
        else:
            trace_id = _IDS.generate_trace_id()
            is_sampled = trace_id & 0xFFFF_FFFF_FFFF_FFFF < self._sample_bound
            flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
        return NonRecordingSpan(
            SpanContext(trace_id, _IDS.generate_span_id(), is_remote=False, trace_flags=flags)
        )

    def flush(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Exports what has ended so far; False if that took longer. Blocks."""
        return _bounded(self._provider.force_flush, timeout_seconds)

    def shutdown(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Exports the rest and stops; False if that took longer. Blocks; may be called again."""
        global _active  # noqa: PLW0603 - the one piece of state: which telemetry is in use
        if _active is self:
            _active = None
        return _bounded(self._provider.shutdown, timeout_seconds)


_active: Telemetry | None = None
_request_telemetry: ContextVar[Telemetry | None] = ContextVar("cairn_telemetry", default=None)


def start_telemetry(
    service: str, settings: ServiceSettings, *, exporter: SpanExporter | None = None
) -> Telemetry:
    """Starts the process's telemetry.

    Args:
        service: The service's name, "embedding".
        settings: Says where spans go and how many are recorded.
        exporter: Where spans go instead.
    """
    global _active  # noqa: PLW0603 - see Telemetry.shutdown
    if exporter is None and settings.otlp_endpoint:
        # The exporter logs each failed attempt; the counter says as much.
        for name in ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        exporter = OTLPSpanExporter(
            endpoint=settings.otlp_endpoint.removeprefix("http://"),
            insecure=not settings.otlp_endpoint.startswith("https://"),
            timeout=EXPORT_TIMEOUT_SECONDS,
        )
    _active = Telemetry(service, exporter, settings.trace_sample_ratio)
    return _active


def active_tracer() -> trace.Tracer:
    """Returns the tracer of the running request, else of the process, else an idle one."""
    telemetry = _request_telemetry.get() or _active
    return trace.NoOpTracer() if telemetry is None else telemetry.tracer


@contextlib.contextmanager
def request_telemetry(telemetry: Telemetry) -> Iterator[None]:
    """Makes `telemetry` the one in use in the block."""
    token = _request_telemetry.set(telemetry)
    try:
        yield
    finally:
        _request_telemetry.reset(token)


@contextlib.contextmanager
def span(
    name: str,
    *,
    attributes: Mapping[str, AttributeValue] | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
) -> Iterator[Span]:
    """Runs the block in a span, a child of the current one.

    A stage of a trace that is not sampled costs next to nothing. An exception gives the span the
    status ERROR and an `error.type`, except where it tells the caller of a mistake of the caller's.

    Yields:
        The span; `set_attribute` takes counts and names, never prompts, queries or texts.
    """
    parent = trace.get_current_span()
    context = parent.get_span_context()
    telemetry = _request_telemetry.get() or _active
    is_idle = telemetry is not None and not telemetry.is_recording
    if context.is_valid and (is_idle or not context.trace_flags.sampled):
        yield parent
        return
    with active_tracer().start_as_current_span(
        name,
        kind=kind,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as started:
        try:
            yield started
        except BaseException as error:
            mark_failed(started, error)
            raise


def mark_failed(failed: Span, error: BaseException) -> None:
    """Sets status and `error.type` of a span that ends by `error`; never its text."""
    if isinstance(error, GeneratorExit):
        return
    if isinstance(error, ServiceError):
        failed.set_attribute("cairn.error.reason", error.reason.value)
        if error.code not in SERVER_FAULTS and error.code != Code.CANCELLED:
            return
        failed.set_attribute("error.type", error.code.name)
        failed.set_status(Status(StatusCode.ERROR, error.code.name))
        return
    failed.set_attribute("error.type", qualified_name(error))
    failed.set_status(Status(StatusCode.ERROR, type(error).__name__))


def current_trace_id() -> str:
    """Returns the trace id of the running request as 32 hex digits; empty outside of any."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.trace_id else ""


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


def _bounded(blocking: Any, timeout_seconds: float) -> bool:
    """Runs `blocking` in a thread that may outlive the wait: the SDK's time-outs do not hold."""
    thread = threading.Thread(target=blocking, daemon=True, name="telemetry-flush")
    thread.start()
    thread.join(timeout_seconds)
    return not thread.is_alive()
