"""One line for each call: failures always, successes at debug, but for a share of them."""

from __future__ import annotations

from typing import Any

import grpc

from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.logs import forget_tenant, get_logger, is_written, success_level

_OK = grpc.StatusCode.OK
_LEVELS = {
    grpc.StatusCode.INTERNAL: "error",
    grpc.StatusCode.UNKNOWN: "error",
    grpc.StatusCode.DATA_LOSS: "error",
    grpc.StatusCode.UNAVAILABLE: "warning",
    grpc.StatusCode.DEADLINE_EXCEEDED: "warning",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "warning",
}


async def log_access(call: ServerCall, proceed: Proceed) -> Any:
    """Logs how the call ended. The error's text stays out: it may quote the request."""
    forget_tenant()
    try:
        return await proceed()
    finally:
        level = success_level() if call.code is _OK else _LEVELS.get(call.code, "info")
        if is_written(level):
            log = getattr(get_logger(), level)
            log(
                "rpc served",
                method=call.method,
                code=call.code.name,
                duration_ms=round(call.seconds * 1000, 3),
                **({} if call.error is None else {"reason": call.error.reason.value}),
            )
