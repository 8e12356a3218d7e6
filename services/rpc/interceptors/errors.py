"""Every exception becomes a status here, and nowhere else: the only caller of `abort`."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc

from services.rpc.errors import InternalError, Reason, ServiceError
from services.rpc.interceptors.call import Incoming, Proceed, ServerCall
from services.rpc.logs import exception_fields, get_logger, qualified_name
from services.rpc.status import error_from_rpc, grpc_code, header_message, trailing_metadata
from services.rpc.telemetry import current_trace_id

_DRAIN_SECONDS = 0.5
_DIALOGUE_SECONDS = 0.01
"""The same where the caller may wait for an answer before it goes on."""
INTERNAL_MESSAGE = "internal error; its trace id finds it in the logs"


async def answer_errors(call: ServerCall, proceed: Proceed) -> Any:
    """Answers with the status of what the inner layers raise, and notes it in `call`."""
    try:
        response = await proceed()
    except asyncio.CancelledError as error:
        if _is_cancelled(call):
            call.code = (
                grpc.StatusCode.DEADLINE_EXCEEDED
                if call.is_deadline_over
                else grpc.StatusCode.CANCELLED
            )
            raise
        # Something inside was cancelled, not the call. To gRPC this would look as if the caller
        # had left, and the caller would wait for an answer until its deadline.
        await _abort(call, _unexpected(call, error))
    except grpc.aio.AbortError:
        call.code = _set_code(call) or grpc.StatusCode.UNKNOWN
        raise
    except Exception as error:  # noqa: BLE001 - this is where all of them end
        await _abort(call, _service_error(call, error))
    else:
        call.code = _set_code(call) or grpc.StatusCode.OK
        return response


def _is_cancelled(call: ServerCall) -> bool:
    task = asyncio.current_task()
    return call.context.cancelled() or (task is not None and task.cancelling() > 0)


async def _abort(call: ServerCall, error: ServiceError) -> None:
    call.error = error
    call.code = grpc_code(error)
    if call.incoming is not None:
        await _drain(call.incoming)
    await call.context.abort(call.code, header_message(error), trailing_metadata(error))


async def _drain(incoming: Incoming) -> None:
    """Takes in what a refused caller still sends, for a moment.

    A client that is told of the end while it writes knows only that the write failed: gRPC's own
    for Python says INTERNAL then, not what the server said.
    """
    # The servicer may still hold the iterator, or have come to its end: then there is no more.
    with contextlib.suppress(TimeoutError, RuntimeError, grpc.RpcError):
        async with asyncio.timeout(_DRAIN_SECONDS) as limit:
            if incoming.is_dialogue:
                if not incoming.has_begun:
                    await anext(incoming, None)
                limit.reschedule(asyncio.get_running_loop().time() + _DIALOGUE_SECONDS)
            async for _ in incoming:
                pass


def _service_error(call: ServerCall, error: Exception) -> ServiceError:
    """Returns what the caller is told about `error`."""
    for leaf in _leaves(error):
        if isinstance(leaf, grpc.aio.AioRpcError | ServiceError):
            continue
        return _unexpected(call, leaf)
    leaf = next(_leaves(error))
    if isinstance(leaf, grpc.aio.AioRpcError):
        return error_from_rpc(leaf)
    assert isinstance(leaf, ServiceError)
    return leaf


def _leaves(error: BaseException) -> Any:
    """Yields the exceptions of a group, as a `TaskGroup` raises it; else the exception."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _unexpected(call: ServerCall, error: BaseException) -> ServiceError:
    call.error_type = qualified_name(error)
    get_logger().error("unexpected exception", method=call.method, **exception_fields(error))
    return InternalError(
        Reason.INTERNAL, INTERNAL_MESSAGE, metadata={"trace_id": current_trace_id()}
    )


def _set_code(call: ServerCall) -> grpc.StatusCode | None:
    """Returns the code that the servicer set itself, if any but OK."""
    code = call.context.code()
    if not code:
        return None
    if isinstance(code, grpc.StatusCode):
        return code
    return next((each for each in grpc.StatusCode if each.value[0] == code), None)
