"""One line for each call: failures always, successes at debug."""

from __future__ import annotations

from typing import Any

import grpc
from structlog.contextvars import clear_contextvars

from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.logs import get_logger

_LEVELS = {
    grpc.StatusCode.OK: "debug",
    grpc.StatusCode.INTERNAL: "error",
    grpc.StatusCode.UNKNOWN: "error",
    grpc.StatusCode.DATA_LOSS: "error",
    grpc.StatusCode.UNAVAILABLE: "warning",
    grpc.StatusCode.DEADLINE_EXCEEDED: "warning",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "warning",
}


async def log_access(call: ServerCall, proceed: Proceed) -> Any:
    """Logs how the call ended. The error's text stays out: it may quote the request."""
    clear_contextvars()
    try:
        return await proceed()
    finally:
        log = getattr(get_logger(), _LEVELS.get(call.code, "info"))
        log(
            "rpc served",
            method=call.method,
            code=call.code.name,
            duration_ms=round(call.seconds * 1000, 3),
            **({} if call.error is None else {"reason": call.error.reason.value}),
        )
