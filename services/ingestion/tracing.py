"""Keeps the work on a document in the trace of the request that submitted it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan

from services.rpc.spans import CURRENT
from services.rpc.telemetry import current_span
from services.rpc.trace_headers import headers_of, received


def current_traceparent() -> str:
    """Returns the W3C `traceparent` of the running request; empty outside of any."""
    return dict(headers_of(current_span())).get("traceparent", "")


@contextlib.contextmanager
def continue_trace(traceparent: str) -> Iterator[None]:
    """Runs the block in the trace that a `traceparent` names."""
    parent = received({"traceparent": traceparent})
    token = CURRENT.set(NonRecordingSpan(parent) if parent.is_valid else INVALID_SPAN)
    try:
        yield
    finally:
        CURRENT.reset(token)
