"""The last requests of this process as steps with begin and length: names and times, no texts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from services.rpc import semconv

if TYPE_CHECKING:
    from services.rpc.spans import EndedSpan, RecentTrace

TENANT = "cairn.tenant"
"""Attribute that tells whose request a trace is; without it nobody is shown the trace."""
MARKS = "cairn.degraded"
"""Attribute with the rungs of the ladder that were taken."""
_WHOLES = frozenset({"rag.query", "rag.search", "rag.recommend"})
"""Spans around the stages of a request: the total says the same."""
_WELL = re.compile("[123].*|OK|")
"""Statuses of requests that did what was asked; a request that notes none is one of them."""
_STATUS_NAMES = (semconv.HTTP_RESPONSE_STATUS_CODE, semconv.RPC_STATUS_CODE)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done for a request."""

    name: str
    kind: str
    """"stage" for work of this process, "call" for a call to another."""
    begin_ms: float
    """Milliseconds after the request's begin."""
    duration_ms: float
    depth: int
    """Steps that it is a part of."""
    is_failed: bool


@dataclass(frozen=True, slots=True)
class RequestTrace:
    """One request that has ended."""

    trace_id: str
    name: str
    """Method and route, or the method of the RPC."""
    status: str
    """HTTP status or gRPC code; empty where none was noted."""
    began_at: datetime
    duration_ms: float
    is_failed: bool
    marks: tuple[str, ...]
    """What was less than asked for."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class StageLatency:
    """How long a stage of an operation took, over the last requests."""

    operation: str
    stage: str
    """"total" for whole requests."""
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


def request_trace(recent: RecentTrace, tenant: str) -> RequestTrace | None:
    """Returns a trace as it is shown; None for another tenant's."""
    if all(span.attributes.get(TENANT) != tenant for span in recent.spans):
        return None
    parents = {span.span_id: span.parent_id for span in recent.spans}
    root = next((span for span in recent.spans if span.parent_id not in parents), None)
    return RequestTrace(
        trace_id=recent.trace_id,
        name=recent.name,
        status=_status(root),
        began_at=datetime.fromtimestamp(recent.started_unix_ms / 1e3, UTC),
        duration_ms=round(recent.seconds * 1e3, 3),
        is_failed=recent.status == "ERROR",
        marks=_marks(recent.spans),
        steps=tuple(_step(span, parents) for span in recent.spans if span is not root),
    )


def latencies(traces: Sequence[RequestTrace]) -> tuple[StageLatency, ...]:
    """Returns figures of each stage of each operation, over the requests that went well.

    Refused ones are left out as well: they take next to no time and would hide what answers take.
    """
    taken: dict[tuple[str, str], list[float]] = {}
    for trace in traces:
        if trace.is_failed or not _WELL.fullmatch(trace.status):
            continue
        stages: dict[str, float] = {"total": trace.duration_ms}
        for step in trace.steps:
            if step.kind == "stage" and step.name not in _WHOLES:
                stages[step.name] = stages.get(step.name, 0.0) + step.duration_ms
        for stage, milliseconds in stages.items():
            taken.setdefault((trace.name, stage), []).append(milliseconds)
    return tuple(_latency(*names, sorted(values)) for names, values in taken.items())


def _latency(operation: str, stage: str, ordered: Sequence[float]) -> StageLatency:
    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    return StageLatency(operation, stage, len(ordered), at(0.5), at(0.95), at(0.99))


def _status(root: EndedSpan | None) -> str:
    values = (root.attributes.get(name) for name in _STATUS_NAMES) if root is not None else ()
    return next((str(value) for value in values if value is not None), "")


def _marks(spans: Sequence[EndedSpan]) -> tuple[str, ...]:
    found: list[str] = []
    for span in spans:
        value = span.attributes.get(MARKS, ())
        found += [value] if isinstance(value, str) else [str(each) for each in _sequence(value)]
    return tuple(dict.fromkeys(each for each in found if each))


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else ()


def _step(span: EndedSpan, parents: Mapping[str, str]) -> Step:
    depth, above = 0, span.parent_id
    while above in parents and depth < len(parents):
        depth, above = depth + 1, parents[above]
    return Step(
        name=span.name,
        kind="call" if span.kind == "CLIENT" else "stage",
        begin_ms=span.start_ms,
        duration_ms=span.duration_ms,
        depth=max(0, depth - 1),
        is_failed=span.status == "ERROR",
    )
