"""A server span for each call, child of the caller's span, ended however the call ends."""

from __future__ import annotations

from typing import Any

import grpc
from opentelemetry.trace import Span, Status, StatusCode

from services.rpc import semconv
from services.rpc.errors import Code
from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.spans import FAULT_NAMES, RecordedSpan
from services.rpc.status import CODE_NAMES
from services.rpc.tail import KEEP_HEADER, KEPT_HEADER
from services.rpc.telemetry import Telemetry

_TRACE_HEADERS = ("traceparent", "tracestate")


class TracingLayer:
    """Opens the server span.

    Args:
        telemetry: Where spans go.
        address: Host the server listens on.
    """

    def __init__(self, telemetry: Telemetry, address: str) -> None:
        self._telemetry = telemetry
        self._attributes = {semconv.RPC_SYSTEM_NAME: "grpc", semconv.SERVER_ADDRESS: address}

    async def __call__(self, call: ServerCall, proceed: Proceed) -> Any:
        """Serves the call within its span."""
        carrier: dict[str, str] = {}
        for key, value in call.context.invocation_metadata() or ():
            if key in _TRACE_HEADERS and isinstance(value, str):
                carrier[key] = value
            elif key == KEPT_HEADER and isinstance(value, bytes):
                self._telemetry.tail.keep(value)
        attributes = {**self._attributes, semconv.RPC_METHOD: call.method}
        with self._telemetry.serving(call.method, carrier, attributes) as span:
            try:
                return await proceed()
            finally:
                _conclude(span, call)
                if isinstance(span, RecordedSpan) and self._telemetry.tail.will_keep(span.local):
                    _ask_caller_to_keep(call)


def _ask_caller_to_keep(call: ServerCall) -> None:
    """Tells the caller of a failure that the answer hides; one that it shows needs no words."""
    if call.code is grpc.StatusCode.OK:
        given = call.context.trailing_metadata() or ()
        call.context.set_trailing_metadata((*given, (KEEP_HEADER, "1")))


def _conclude(span: Span, call: ServerCall) -> None:
    name = CODE_NAMES[call.code]
    span.set_attribute(semconv.RPC_STATUS_CODE, name)
    if call.error is not None:
        span.set_attribute(semconv.ERROR_REASON, call.error.reason.value)
    if call.error_type is not None:
        span.add_event("exception", {"exception.type": call.error_type})
    if name in FAULT_NAMES or call.error_type is not None:
        span.set_attribute(semconv.ERROR_TYPE, call.error_type or name)
        span.set_status(Status(StatusCode.ERROR, name))
    elif call.code is grpc.StatusCode.CANCELLED:
        # Not a fault of the server's, and not a success either.
        span.set_attribute(semconv.ERROR_TYPE, Code.CANCELLED.name)
