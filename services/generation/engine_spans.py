"""Spans of what an engine did, made afterwards from its own timestamps."""

from __future__ import annotations

import time
from dataclasses import dataclass

from services.generation import metrics
from services.generation.engine import Timings
from services.rpc.spans import RecordedSpan
from services.rpc.telemetry import start_span

_NANOS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EngineTimes:
    """When the engine did what, on this host's monotonic clock in seconds; 0: it never did."""

    queued: float = 0.0
    scheduled: float = 0.0
    first_token: float = 0.0
    last_token: float = 0.0


def timings(times: EngineTimes, admission_seconds: float) -> Timings:
    """Returns where the time of a request went."""
    if not times.first_token:
        return Timings(admission_seconds=admission_seconds)
    return Timings(
        max(0.0, times.scheduled - times.queued),
        max(0.0, times.first_token - times.scheduled),
        max(0.0, times.last_token - times.first_token),
        admission_seconds,
    )


def observe(took: Timings, completion_tokens: int) -> None:
    """Counts a request's steps in the histograms."""
    metrics.ENGINE_QUEUE_SECONDS.observe(took.queue_seconds)
    metrics.PREFILL_SECONDS.observe(took.prefill_seconds)
    metrics.DECODE_SECONDS.observe(took.decode_seconds)
    if completion_tokens > 1:
        metrics.INTER_TOKEN_SECONDS.observe(took.decode_seconds / (completion_tokens - 1))


def record_spans(times: EngineTimes) -> None:
    """Adds `generation.queue`, `.prefill`, `.decode` below the current span if it is recorded."""
    offset = time.time() - time.monotonic()
    for name, begin, end in (
        ("generation.queue", times.queued, times.scheduled),
        ("generation.prefill", times.scheduled, times.first_token),
        ("generation.decode", times.first_token, times.last_token),
    ):
        if not begin or not end:
            return
        made = start_span(name)
        if not isinstance(made, RecordedSpan):
            return
        made.start_ns = int((begin + offset) * _NANOS)
        made.end(int((max(begin, end) + offset) * _NANOS))
