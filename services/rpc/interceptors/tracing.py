"""A server span for each call, child of the caller's span, ended however the call ends."""

from __future__ import annotations

from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.rpc.errors import Code
from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.telemetry import SERVER_FAULTS, Telemetry, request_telemetry

_PROPAGATOR = TraceContextTextMapPropagator()
_FAULTS = frozenset(code.name for code in SERVER_FAULTS) | {"UNKNOWN"}


class TracingLayer:
    """Opens the server span.

    Args:
        telemetry: Where spans go.
        address: Host the server listens on.
    """

    def __init__(self, telemetry: Telemetry, address: str) -> None:
        self._telemetry = telemetry
        self._address = address

    async def __call__(self, call: ServerCall, proceed: Proceed) -> Any:
        """Serves the call within its span."""
        carrier = {
            key: value
            for key, value in call.context.invocation_metadata() or ()
            if isinstance(value, str)
        }
        if not self._telemetry.is_recording:
            return await self._serve_idle(carrier, proceed)
        with (
            request_telemetry(self._telemetry),
            self._telemetry.tracer.start_as_current_span(
                call.method,
                context=_PROPAGATOR.extract(carrier, context=Context()),
                kind=SpanKind.SERVER,
                attributes={
                    "rpc.system.name": "grpc",
                    "rpc.method": call.method,
                    "server.address": self._address,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
        ):
            try:
                return await proceed()
            finally:
                _conclude(span, call)

    async def _serve_idle(self, carrier: dict[str, str], proceed: Proceed) -> Any:
        """Serves a call whose span goes nowhere: it has ids, and costs a tenth."""
        parent = SpanContext(0, 0, is_remote=True)
        if "traceparent" in carrier:
            received = _PROPAGATOR.extract(carrier, context=Context())
            parent = trace.get_current_span(received).get_span_context()
        span = self._telemetry.idle_span(parent)
        token = attach(trace.set_span_in_context(span, Context()))
        try:
            with request_telemetry(self._telemetry):
                return await proceed()
        finally:
            detach(token)


def _conclude(span: Span, call: ServerCall) -> None:
    name = call.code.name
    span.set_attribute("rpc.status_code", name)
    if call.error is not None:
        span.set_attribute("cairn.error.reason", call.error.reason.value)
    if call.error_type is not None:
        span.add_event("exception", {"exception.type": call.error_type})
    if name in _FAULTS or call.error_type is not None:
        span.set_attribute("error.type", call.error_type or name)
        span.set_status(Status(StatusCode.ERROR, name))
    elif call.code is grpc.StatusCode.CANCELLED:
        # Not a fault of the server's, and not a success either.
        span.set_attribute("error.type", Code.CANCELLED.name)
