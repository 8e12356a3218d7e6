"""An OTLP collector in the test's own process: takes spans over gRPC and keeps them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2 as pb,
)
from opentelemetry.proto.collector.trace.v1 import (
    trace_service_pb2_grpc as rpc,
)
from opentelemetry.proto.trace.v1 import trace_pb2

_KINDS = {
    trace_pb2.Span.SPAN_KIND_INTERNAL: "INTERNAL",
    trace_pb2.Span.SPAN_KIND_SERVER: "SERVER",
    trace_pb2.Span.SPAN_KIND_CLIENT: "CLIENT",
}
_STATUSES = {
    trace_pb2.Status.STATUS_CODE_UNSET: "UNSET",
    trace_pb2.Status.STATUS_CODE_OK: "OK",
    trace_pb2.Status.STATUS_CODE_ERROR: "ERROR",
}


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as a collector sees it."""

    service: str
    name: str
    kind: str
    status: str
    trace_id: str
    span_id: str
    parent_id: str
    """Empty for the root of a trace."""
    attributes: dict[str, Any]
    events: tuple[str, ...]
    start_seconds: float
    """Since 1970."""
    seconds: float
    schema_url: str = ""


class OtlpReceiver(rpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[ReceivedSpan] = []
        self.endpoint = ""
        """Value for the setting `otlp_endpoint`."""
        self._arrived = asyncio.Event()

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes a batch."""
        for resource in request.resource_spans:
            service = _attributes(resource.resource.attributes).get("service.name", "")
            for scope in resource.scope_spans:
                self.spans.extend(
                    _received(service, span, scope.schema_url) for span in scope.spans
                )
        self._arrived.set()
        return pb.ExportTraceServiceResponse()

    async def wait_for(
        self, is_wanted: Callable[[ReceivedSpan], bool], count: int = 1, timeout: float = 10.0
    ) -> list[ReceivedSpan]:
        """Returns the spans that are wanted as soon as there are `count` of them.

        Raises:
            TimeoutError: They did not come; says which did.
        """
        try:
            async with asyncio.timeout(timeout):
                while len(found := [span for span in self.spans if is_wanted(span)]) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
                return found
        except TimeoutError:
            came = [(span.service, span.kind, span.name) for span in self.spans]
            raise TimeoutError(f"{count} spans wanted; of all that came: {came}") from None


@contextlib.asynccontextmanager
async def otlp_receiver() -> AsyncIterator[OtlpReceiver]:
    """Runs a receiver for the block."""
    receiver = OtlpReceiver()
    server = grpc.aio.server()
    rpc.add_TraceServiceServicer_to_server(receiver, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    receiver.endpoint = f"127.0.0.1:{port}"
    try:
        yield receiver
    finally:
        await server.stop(None)


def _received(service: str, span: trace_pb2.Span, schema_url: str) -> ReceivedSpan:
    return ReceivedSpan(
        service=service,
        name=span.name,
        kind=_KINDS.get(span.kind, str(span.kind)),
        status=_STATUSES[span.status.code],
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes=_attributes(span.attributes),
        events=tuple(event.name for event in span.events),
        start_seconds=span.start_time_unix_nano / 1e9,
        seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        schema_url=schema_url,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return None if kind is None else getattr(value, kind)
