"""A server span for each call, child of the caller's span, ended however the call ends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
from opentelemetry.trace import Span, Status, StatusCode
from opentelemetry.util.types import AttributeValue

from services.rpc import semconv
from services.rpc.errors import Code
from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.spans import FAULT_NAMES, PassingSpan, RecordedSpan
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
        # The edge's requests are few beside those it makes, and whom it called says the most.
        self._may_pass = not telemetry.keeps_recent
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
        serving = self._telemetry.serving(call.method, carrier, attributes, may_pass=self._may_pass)
        with serving as span:
            try:
                return await proceed()
            finally:
                if type(span) is PassingSpan:
                    self._conclude_passing(span, call, attributes)
                else:
                    self._conclude(span, call)

    def _conclude(self, span: Span, call: ServerCall) -> None:
        _describe(span, call)
        if isinstance(span, RecordedSpan) and self._telemetry.tail.will_keep(span.local):
            _ask_caller_to_keep(call)

    def _conclude_passing(
        self, passing: PassingSpan, call: ServerCall, attributes: Mapping[str, AttributeValue]
    ) -> None:
        """Records a call, of which nothing was recorded, after all if it ended badly."""
        seconds = call.seconds
        if not (_is_fault(call) or self._telemetry.is_bad(passing, seconds)):
            return
        span = self._telemetry.served_badly(passing, call.method, seconds, attributes)
        self._conclude(span, call)
        span.end()


def _ask_caller_to_keep(call: ServerCall) -> None:
    """Tells the caller of a failure that the answer hides; one that it shows needs no words."""
    if call.code is grpc.StatusCode.OK:
        given = call.context.trailing_metadata() or ()
        call.context.set_trailing_metadata((*given, (KEEP_HEADER, "1")))


def _is_fault(call: ServerCall) -> bool:
    return call.error_type is not None or CODE_NAMES[call.code] in FAULT_NAMES


def _describe(span: Span, call: ServerCall) -> None:
    name = CODE_NAMES[call.code]
    span.set_attribute(semconv.RPC_STATUS_CODE, name)
    if call.error is not None:
        span.set_attribute(semconv.ERROR_REASON, call.error.reason.value)
    if call.error_type is not None:
        span.add_event("exception", {"exception.type": call.error_type})
    if _is_fault(call):
        span.set_attribute(semconv.ERROR_TYPE, call.error_type or name)
        span.set_status(Status(StatusCode.ERROR, name))
    elif call.code is grpc.StatusCode.CANCELLED:
        # Not a fault of the server's, and not a success either.
        span.set_attribute(semconv.ERROR_TYPE, Code.CANCELLED.name)
