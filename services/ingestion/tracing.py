"""Keeps the work on a document in the trace of the request that submitted it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from opentelemetry import context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_PROPAGATOR = TraceContextTextMapPropagator()


def current_traceparent() -> str:
    """Returns the W3C `traceparent` of the running request; empty outside of any."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier.get("traceparent", "")


@contextlib.contextmanager
def continue_trace(traceparent: str) -> Iterator[None]:
    """Runs the block in the trace that a `traceparent` names."""
    parent = _PROPAGATOR.extract({"traceparent": traceparent}, context=context.Context())
    token = context.attach(parent)
    try:
        yield
    finally:
        context.detach(token)
