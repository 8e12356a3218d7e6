"""Calls any RPC by its name, with a message or with raw bytes, and tells how it ended."""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended."""

    code: grpc.StatusCode
    message: str
    reason: str
    """Reason of the ErrorInfo; empty when there is none."""
    violations: tuple[str, ...] = ()
    """Fields named by the BadRequest detail."""


def _outcome(error: grpc.aio.AioRpcError) -> Outcome:
    reason, violations = "", []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
                if detail.Unpack(info):
                    reason = info.reason
                elif detail.Unpack(bad):
                    violations = [violation.field for violation in bad.field_violations]
    return Outcome(error.code(), error.details() or "", reason, tuple(violations))


async def call(
    channel: grpc.aio.Channel,
    service: str,
    method: str,
    request: Message | bytes,
    *,
    timeout_seconds: float = 10,
    metadata: tuple[tuple[str, str], ...] = (),
) -> Outcome:
    """Calls `service/method` with one request message and reads the answer to its end."""
    descriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[method]
    payload = request if isinstance(request, bytes) else request.SerializeToString()
    shape = ("stream" if descriptor.client_streaming else "unary") + (
        "_stream" if descriptor.server_streaming else "_unary"
    )
    multicallable = getattr(channel, shape)(f"/{service}/{method}")
    argument = iter([payload]) if descriptor.client_streaming else payload
    try:
        running = multicallable(argument, timeout=timeout_seconds, metadata=metadata)
        if descriptor.server_streaming:
            async for _ in running:
                pass
        else:
            await running
    except grpc.aio.AioRpcError as error:
        return _outcome(error)
    return Outcome(grpc.StatusCode.OK, "", "")
