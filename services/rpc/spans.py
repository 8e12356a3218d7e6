"""Spans as a process records them: a few microseconds each, turned into the SDK's only for export.

The SDK's span costs about 50 µs, ours about 5. That makes it affordable to record traces which are
mostly thrown away, and so to decide on a trace when it is known how it ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN,
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util.types import AttributeValue

from services.rpc.errors import Code
from services.rpc.semconv import SCHEMA_URL

MAX_SPANS = 512
"""Spans of one request in one process; more are not recorded."""
_MAX_EVENTS = 16
_SCOPE = InstrumentationScope("cairn", schema_url=SCHEMA_URL)
_UNSET = Status(StatusCode.UNSET)

CURRENT: ContextVar[Span] = ContextVar("cairn_span", default=INVALID_SPAN)
"""The span of the running task, set by `services.rpc.telemetry`. Not kept in the SDK's context: a
change of that copies all it holds, for every span."""

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
FAULT_NAMES = frozenset(code.name for code in SERVER_FAULTS) | {"UNKNOWN"}
_OWN_FAULTS = frozenset(code.name for code in Code) - FAULT_NAMES
"""Names of codes that tell the caller of a mistake of the caller's."""


@dataclass(slots=True, eq=False)
class LocalTrace:
    """What one process records of one request: the local root and all below it."""

    trace_id: int
    is_sampled: bool
    """Whether the decision made where the trace began was to record it."""
    ended: Callable[[LocalTrace, RecordedSpan], None]
    """Told each span that ends."""
    trace_state: TraceState | None = None
    is_whole: bool = True
    """Whether stages are recorded; else only what is served and called (`services.rpc.detail`)."""
    root: RecordedSpan | None = None
    """None once it has ended."""
    spans: list[RecordedSpan] = field(default_factory=list)
    """Those that ended, in that order; children before parents."""
    is_faulty: bool = False
    """Whether something failed through no fault of the caller."""
    is_slow: bool = False
    """Whether a stage took longer than it said it should."""
    slow_seconds: float | None = None
    """Time that the root says it should take; None for what the process expects of any."""
    verdict: str = ""
    """Why the trace is kept, once that is known; empty until then."""
    is_asked_for: bool = False
    """Whether another process of the same trace said that it is worth keeping."""

    def end(self, root: RecordedSpan) -> EndedPart:
        """Returns what was recorded, as the root ends; what ends later is not gathered.

        Spans refer to the trace, and from here on it does not to them: a circle is garbage that
        only a walk over all objects finds, in which every request waits.
        """
        part = EndedPart(self, root, self.spans)
        self.root, self.spans = None, []
        return part


@dataclass(frozen=True, slots=True, eq=False)
class EndedPart:
    """What one process recorded of one request that has ended there."""

    local: LocalTrace
    root: RecordedSpan
    spans: Sequence[RecordedSpan]
    """In the order they ended; the root is the last."""


class RecordedSpan(Span):
    """A span. Ends once; what is set later is lost."""

    __slots__ = (
        "attributes",
        "end_ns",
        "events",
        "kind",
        "local",
        "name",
        "parent_id",
        "span_id",
        "start_ns",
        "status",
    )

    def __init__(
        self,
        name: str,
        local: LocalTrace,
        parent_id: int,
        kind: SpanKind,
        attributes: Mapping[str, AttributeValue] | None,
    ) -> None:
        self.name = name
        self.local = local
        self.parent_id = parent_id
        self.span_id = random.getrandbits(64) or 1
        self.kind = kind
        self.attributes: dict[str, AttributeValue] = dict(attributes) if attributes else {}
        self.events: list[Event] | None = None
        self.status = _UNSET
        self.start_ns = time.time_ns()
        self.end_ns = 0

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return ((self.end_ns or time.time_ns()) - self.start_ns) / 1e9

    def end(self, end_time: int | None = None) -> None:
        """Ends the span."""
        if self.end_ns:
            return
        ended = end_time or time.time_ns()
        # A clock that was set back must not make durations negative.
        self.end_ns = ended if ended > self.start_ns else self.start_ns  # noqa: FURB136 - `max` costs a call
        local = self.local
        local.ended(local, self)

    def get_span_context(self) -> SpanContext:
        """Returns the ids."""
        local = self.local
        return SpanContext(
            local.trace_id,
            self.span_id,
            is_remote=False,
            trace_flags=TraceFlags(local.is_sampled),
            trace_state=local.trace_state,
        )

    def set_attributes(self, attributes: Mapping[str, AttributeValue]) -> None:
        """Sets several attributes."""
        if not self.end_ns:
            self.attributes.update(attributes)

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Sets one attribute."""
        if not self.end_ns:
            self.attributes[key] = value

    def add_event(
        self,
        name: str,
        attributes: Mapping[str, AttributeValue] | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Notes a moment."""
        if self.events is None:
            self.events = []
        if not self.end_ns and len(self.events) < _MAX_EVENTS:
            self.events.append(Event(name, attributes, timestamp))

    def update_name(self, name: str) -> None:
        """Renames the span."""
        self.name = name

    def is_recording(self) -> bool:
        """Whether what is set is kept."""
        return not self.end_ns

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Says how it ended; an error also marks the trace, unless it is the caller's own."""
        if isinstance(status, StatusCode):
            status = Status(status, description)
        self.status = status
        if status.status_code is StatusCode.ERROR and (
            self.kind is not SpanKind.CLIENT or status.description in FAULT_NAMES
        ):
            self.local.is_faulty = True

    def record_exception(
        self,
        exception: BaseException,
        attributes: Mapping[str, AttributeValue] | None = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        """Notes the type of an exception; never its text, which may quote a document."""
        self.add_event("exception", {"exception.type": type(exception).__name__}, timestamp)

    def readable(self, resource: Resource) -> ReadableSpan:
        """Returns the span as exporters take it."""
        parent = None
        if self.parent_id:
            parent = SpanContext(self.local.trace_id, self.parent_id, is_remote=False)
        return ReadableSpan(
            self.name,
            context=SpanContext(
                self.local.trace_id,
                self.span_id,
                is_remote=False,
                # A trace that is kept is recorded, whatever was thought of it at first; exporters
                # drop spans that say otherwise.
                trace_flags=TraceFlags(TraceFlags.SAMPLED),
                trace_state=self.local.trace_state,
            ),
            parent=parent,
            resource=resource,
            attributes=self.attributes,
            events=self.events or (),
            kind=self.kind,
            status=self.status,
            start_time=self.start_ns,
            end_time=self.end_ns,
            instrumentation_scope=_SCOPE,
        )


class PassingSpan(NonRecordingSpan):
    """Stands for a request, and all below it, of which nothing is recorded unless it ends badly.

    Args:
        trace_id: Of its trace.
        caller_id: The caller's span, which what is called from here is a child of; 0: nobody's.
        trace_state: Handed on.
    """

    __slots__ = ("caller_id", "is_faulty", "is_slow", "span_id", "trace_id", "trace_state")

    def __init__(self, trace_id: int, caller_id: int, trace_state: TraceState | None) -> None:
        # Not the base's: it wants the SDK's object of the ids, which is hardly ever asked for.
        self.trace_id = trace_id
        self.caller_id = caller_id
        self.span_id = caller_id or random.getrandbits(64) or 1
        self.trace_state = trace_state
        self.is_faulty = False
        self.is_slow = False

    def get_span_context(self) -> SpanContext:
        """Returns the ids."""
        return SpanContext(
            self.trace_id, self.span_id, is_remote=False, trace_state=self.trace_state
        )

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Notes a failure, unless it is the caller's own."""
        if isinstance(status, StatusCode):
            status = Status(status, description)
        if status.status_code is StatusCode.ERROR and status.description not in _OWN_FAULTS:
            self.is_faulty = True


class OutlinedStage(NonRecordingSpan):
    """Stands for a stage of a request that is recorded in outline: only failures are noted."""

    def __init__(self, above: RecordedSpan) -> None:
        super().__init__(INVALID_SPAN_CONTEXT)
        self._above = above

    def get_span_context(self) -> SpanContext:
        """Returns the ids of the span above it, which what is called from here belongs to."""
        return self._above.get_span_context()

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        """Marks the trace, if it failed."""
        if (status if isinstance(status, StatusCode) else status.status_code) is StatusCode.ERROR:
            self._above.local.is_faulty = True


@dataclass(frozen=True, slots=True)
class EndedSpan:
    """A span for a page that shows it."""

    span_id: str
    parent_id: str
    """Empty where the trace began."""
    name: str
    kind: str
    """INTERNAL, SERVER or CLIENT."""
    start_ms: float
    """Since the trace's local root began."""
    duration_ms: float
    status: str
    """UNSET or ERROR."""
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RecentTrace:
    """What this process did for one request."""

    trace_id: str
    name: str
    started_unix_ms: int
    seconds: float
    status: str
    kept: str
    """Why it was exported: sampled, error, slow, asked; empty when it was not."""
    spans: tuple[EndedSpan, ...]
    """By the time they began."""


def recent(part: EndedPart) -> RecentTrace:
    """Returns a part for a page that shows it."""
    local, root = part.local, part.root
    spans = sorted(part.spans, key=lambda each: each.start_ns)
    return RecentTrace(
        trace_id=f"{local.trace_id:032x}",
        name=root.name,
        started_unix_ms=root.start_ns // 1_000_000,
        seconds=root.seconds,
        status=root.status.status_code.name,
        kept=local.verdict,
        spans=tuple(
            EndedSpan(
                span_id=f"{each.span_id:016x}",
                parent_id=f"{each.parent_id:016x}" if each.parent_id else "",
                name=each.name,
                kind=each.kind.name,
                start_ms=round((each.start_ns - root.start_ns) / 1e6, 3),
                duration_ms=round((each.end_ns - each.start_ns) / 1e6, 3),
                status=each.status.status_code.name,
                attributes=dict(each.attributes),
            )
            for each in spans
        ),
    )
