"""Traces: telemetry of our own per process, W3C propagation, OTLP export, cheap spans.

The SDK's global provider can be set only once, which tests and several services in one process
cannot live with; so the telemetry in use is what the running request was received with, else what
was started last.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextvars import ContextVar
from types import TracebackType

from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    INVALID_SPAN,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)
from opentelemetry.util.types import AttributeValue

from services.rpc.detail import Detail
from services.rpc.errors import Code, ServiceError
from services.rpc.logs import qualified_name, sample_successes
from services.rpc.semconv import ERROR_REASON, ERROR_TYPE
from services.rpc.settings import ServiceSettings
from services.rpc.span_export import SpanExport, otlp_exporter
from services.rpc.spans import (
    CURRENT,
    SERVER_FAULTS,
    LocalTrace,
    OutlinedStage,
    PassingSpan,
    RecordedSpan,
)
from services.rpc.tail import RecentTraces, Tail
from services.rpc.trace_headers import NO_PARENT, received, sender_of

SHUTDOWN_SECONDS = 2.0
"""Most that an absent collector may hold up the end of a process."""
_IDS = RandomIdGenerator()
_SHARE_MASK = 0xFFFF_FFFF_FFFF_FFFF


class Telemetry:
    """The traces of one process. Made by `start_telemetry`.

    Args:
        service: The service's name, "embedding".
        exporter: Where spans go; None: nowhere.
        sample_ratio: Share of the traces begun here that are recorded in any case.
        slow_seconds: A request that took longer is recorded, too.
        detail_per_second: Requests a second that are recorded with all their stages.
        keeps_recent: Whether the last traces can be looked at in `recent`.
    """

    def __init__(
        self,
        service: str,
        exporter: SpanExporter | None,
        sample_ratio: float,
        *,
        slow_seconds: float = 5.0,
        detail_per_second: float = 50.0,
        keeps_recent: bool = False,
    ) -> None:
        self.service = service
        self.keeps_recent = keeps_recent
        self.recent = RecentTraces()
        """The last requests, where `keeps_recent` was asked for; else empty."""
        self.is_recording = exporter is not None or keeps_recent
        """Whether spans go anywhere; ids are made and handed on in any case."""
        self._sample_bound = round(sample_ratio * (1 << 64))
        self._detail = Detail(detail_per_second)
        self._spans_out = None if exporter is None else SpanExport(service, exporter)
        self.tail = Tail(self._export, slow_seconds, self.recent if keeps_recent else None)

    def start(
        self,
        name: str,
        parent: Span | None = None,
        *,
        remote: SpanContext = NO_PARENT,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Span:
        """Returns a span, not yet current; whoever starts it ends it.

        Args:
            name: Low in variety: a method, a route, a stage.
            parent: The span above it, in this process.
            remote: The one above it in another process, when there is none here.
            kind: Whether it serves, calls, or neither.
            attributes: See `services.rpc.semconv`.
        """
        if isinstance(parent, RecordedSpan):
            return _below(parent, name, kind, attributes)
        above = remote if parent is None else parent.get_span_context()
        trace_id, is_sampled = self._identity(above)
        if not self.is_recording:
            # Ids are made and handed on; nothing is kept.
            flags = TraceFlags(TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT)
            span_id = _IDS.generate_span_id()
            return NonRecordingSpan(
                SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags)
            )
        is_whole = self._detail.includes(trace_id) or is_sampled
        state = above.trace_state or None
        local = LocalTrace(trace_id, is_sampled, self.tail.ended, state, is_whole)
        local.root = RecordedSpan(name, local, above.span_id, kind, attributes)
        return local.root

    def serving(
        self,
        name: str,
        carrier: Mapping[str, str],
        attributes: Mapping[str, AttributeValue],
        *,
        may_pass: bool = False,
    ) -> Serving:
        """Serves a request in the block: in a span below the caller's, with this telemetry in use.

        Args:
            name: Of the span, which may be renamed.
            carrier: The request's headers by lower-case name.
            attributes: Of the span.
            may_pass: Whether a busy process may give the block a `PassingSpan`; whoever says so
                calls `served_badly` where it has to.
        """
        kind = SpanKind.SERVER
        sender = sender_of(carrier)
        if sender is None or not self.is_recording:
            started = self.start(name, remote=received(carrier), kind=kind, attributes=attributes)
            return Serving(self, started)
        # As `start` does, without the SDK's objects: every call between services comes here.
        trace_id, parent_id, flags, state = sender
        is_sampled = bool(flags & TraceFlags.SAMPLED)
        is_whole = self._detail.includes(trace_id) or is_sampled
        if may_pass and not (is_whole or self.tail.asks_for(trace_id)):
            return Serving(self, PassingSpan(trace_id, parent_id, state))
        local = LocalTrace(trace_id, is_sampled, self.tail.ended, state, is_whole)
        local.root = RecordedSpan(name, local, parent_id, kind, attributes)
        return Serving(self, local.root)

    def is_bad(self, passing: PassingSpan, seconds: float) -> bool:
        """Whether a request of which nothing was recorded ended so that it is kept."""
        return (
            passing.is_faulty
            or passing.is_slow
            or seconds > self.tail.slow_seconds
            or self.tail.asks_for(passing.trace_id)
        )

    def served_badly(
        self,
        passing: PassingSpan,
        name: str,
        seconds: float,
        attributes: Mapping[str, AttributeValue],
    ) -> RecordedSpan:
        """Returns a span for a request of which nothing was recorded; whoever calls ends it."""
        local = LocalTrace(
            passing.trace_id,
            is_sampled=False,
            ended=self.tail.ended,
            trace_state=passing.trace_state,
            is_whole=False,
        )
        local.is_faulty, local.is_slow = passing.is_faulty, passing.is_slow
        root = RecordedSpan(name, local, passing.caller_id, SpanKind.SERVER, attributes)
        root.start_ns -= round(seconds * 1e9)
        local.root = root
        return root

    def flush(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Exports what has ended so far; False if that took longer. Blocks."""
        return self._spans_out is None or self._spans_out.flush(timeout_seconds)

    def shutdown(self, timeout_seconds: float = SHUTDOWN_SECONDS) -> bool:
        """Exports the rest and stops; False if that took longer. Blocks; may be called again."""
        global _active  # noqa: PLW0603 - the one piece of state: which telemetry is in use
        if _active is self:
            _active = None
        return self._spans_out is None or self._spans_out.shutdown(timeout_seconds)

    def _identity(self, above: SpanContext) -> tuple[int, bool]:
        """Returns the trace's id and whether it is in the share: the caller's word goes first."""
        if above.is_valid:
            return above.trace_id, bool(above.trace_flags & TraceFlags.SAMPLED)
        trace_id = _IDS.generate_trace_id()
        return trace_id, trace_id & _SHARE_MASK < self._sample_bound

    def _export(self, ended: RecordedSpan) -> None:
        if self._spans_out is not None:
            self._spans_out.add(ended)


class Serving:
    """The block in which a request is served; a class, because every request pays for it."""

    __slots__ = ("_span", "_span_token", "_telemetry", "_telemetry_token")

    def __init__(self, telemetry: Telemetry, started: Span) -> None:
        self._telemetry = telemetry
        self._span = started

    def __enter__(self) -> Span:
        self._span_token = CURRENT.set(self._span)
        self._telemetry_token = _request_telemetry.set(self._telemetry)
        return self._span

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _request_telemetry.reset(self._telemetry_token)
        CURRENT.reset(self._span_token)
        self._span.end()


_active: Telemetry | None = None
_request_telemetry: ContextVar[Telemetry | None] = ContextVar("cairn_telemetry", default=None)


def start_telemetry(
    service: str,
    settings: ServiceSettings,
    *,
    exporter: SpanExporter | None = None,
    keeps_recent: bool = False,
) -> Telemetry:
    """Starts the process's telemetry.

    Args:
        service: The service's name, "embedding".
        settings: Says where spans go and how many are recorded.
        exporter: Where spans go instead.
        keeps_recent: Whether the last traces can be looked at.
    """
    global _active  # noqa: PLW0603 - see Telemetry.shutdown
    sample_successes(settings.log_sample_ratio)
    if exporter is None and settings.otlp_endpoint:
        exporter = otlp_exporter(settings.otlp_endpoint)
    _active = Telemetry(
        service,
        exporter,
        settings.trace_sample_ratio,
        slow_seconds=settings.trace_slow_seconds,
        detail_per_second=settings.trace_detail_per_second,
        keeps_recent=keeps_recent,
    )
    return _active


def _below(
    parent: RecordedSpan,
    name: str,
    kind: SpanKind,
    attributes: Mapping[str, AttributeValue] | None,
) -> Span:
    local = parent.local
    if kind is SpanKind.INTERNAL and not local.is_whole:
        return OutlinedStage(parent)
    return RecordedSpan(name, local, parent.span_id, kind, attributes)


def active_telemetry() -> Telemetry | None:
    """Returns the telemetry of the running request, else of the process."""
    return _request_telemetry.get() or _active


def start_span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    attributes: Mapping[str, AttributeValue] | None = None,
) -> Span:
    """Returns a child of the current span, not yet current; the current one if none is recorded."""
    current = CURRENT.get()
    if type(current) is RecordedSpan:
        return _below(current, name, kind, attributes)
    if type(current) is PassingSpan:
        return current
    telemetry = _request_telemetry.get() or _active
    if telemetry is None or not (telemetry.is_recording or current is INVALID_SPAN):
        return _Unended(current)
    parent = None if current is INVALID_SPAN else current
    return telemetry.start(name, parent, kind=kind, attributes=attributes)


class span:  # noqa: N801 - used as a function: `with span("plan"):`
    """Runs a block in a span, a child of the current one.

    In a process that records nothing it costs next to nothing. An exception gives the span the
    status ERROR and an `error.type`, except where it tells the caller of a mistake of the caller's;
    a block that is cancelled has the `error.type` only.
    The block gets the span; `set_attribute` takes counts and names, never texts.

    Args:
        name: Low in variety.
        attributes: See `services.rpc.semconv`.
        kind: Whether it calls another process, or not.
        slow_seconds: A block that takes longer makes the whole trace worth keeping.
        begins_trace: Whether the block is worth a span outside of any request, too; what is done
            again and again in the background is not.
    """

    __slots__ = (
        "_attributes",
        "_began",
        "_begins_trace",
        "_kind",
        "_name",
        "_slow_seconds",
        "_span",
        "_token",
    )

    def __init__(
        self,
        name: str,
        *,
        attributes: Mapping[str, AttributeValue] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        slow_seconds: float | None = None,
        begins_trace: bool = True,
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._kind = kind
        self._slow_seconds = slow_seconds
        self._begins_trace = begins_trace

    def __enter__(self) -> Span:
        current = CURRENT.get()
        if type(current) is RecordedSpan:  # a stage of a request: nearly always
            local = current.local
            has_goal = self._slow_seconds is not None
            if self._kind is SpanKind.INTERNAL and not (local.is_whole or has_goal):
                self._token = None
                self._span = OutlinedStage(current)
                return self._span
            started = RecordedSpan(self._name, local, current.span_id, self._kind, self._attributes)
        elif type(current) is PassingSpan:
            self._token = None
            self._span = current
            self._began = 0.0 if self._slow_seconds is None else time.monotonic()
            return current
        elif current is INVALID_SPAN and not self._begins_trace:
            self._span = self._token = None
            return INVALID_SPAN
        else:
            started = start_span(self._name, kind=self._kind, attributes=self._attributes)
            if isinstance(started, RecordedSpan) and started.local.root is started:
                started.local.slow_seconds = self._slow_seconds
        self._span = started
        self._token = None if type(started) is _Unended else CURRENT.set(started)
        return started

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        started = self._span
        if started is None:
            return
        if self._token is None:
            if exc is not None:
                mark_failed(started, exc)
            if self._slow_seconds is not None and type(started) is PassingSpan:
                started.is_slow |= time.monotonic() - self._began > self._slow_seconds
            return
        CURRENT.reset(self._token)
        if exc is not None:
            mark_failed(started, exc)
        started.end()
        if (
            self._slow_seconds is not None
            and isinstance(started, RecordedSpan)
            and started.seconds > self._slow_seconds
        ):
            started.local.is_slow = True


class _Unended(NonRecordingSpan):
    """Stands for a span that is not recorded: has the ids of the current one and never ends it."""

    def __init__(self, current: Span) -> None:
        super().__init__(current.get_span_context())


def mark_failed(failed: Span, error: BaseException) -> None:
    """Sets status and `error.type` of a span that ends by `error`; never its text."""
    if isinstance(error, GeneratorExit):
        return
    if isinstance(error, asyncio.CancelledError):
        # Somebody no longer wants it: no fault of the stage's. Who cut it off says why.
        failed.set_attribute(ERROR_TYPE, Code.CANCELLED.name)
        return
    if isinstance(error, ServiceError):
        failed.set_attribute(ERROR_REASON, error.reason.value)
        if error.code not in SERVER_FAULTS and error.code != Code.CANCELLED:
            return
        failed.set_attribute(ERROR_TYPE, error.code.name)
        failed.set_status(Status(StatusCode.ERROR, error.code.name))
        return
    failed.set_attribute(ERROR_TYPE, qualified_name(error))
    failed.set_status(Status(StatusCode.ERROR, type(error).__name__))


def current_span() -> Span:
    """Returns the span of the running task; an invalid one outside of any."""
    return CURRENT.get()


def current_trace_id() -> str:
    """Returns the trace id of the running request as 32 hex digits; empty outside of any."""
    current = CURRENT.get()
    trace_id = (
        current.local.trace_id
        if isinstance(current, RecordedSpan)
        else current.get_span_context().trace_id
    )
    return f"{trace_id:032x}" if trace_id else ""
