"""The innermost part of a call: decode the request, run the servicer, encode its answers.

gRPC decodes before any interceptor runs and answers UNKNOWN to bytes that are no message; so it
is given no decoder, and the decoding happens here, where an error is the caller's.

A servicer's async generator is run here within the call's own task and closed in it. Left to gRPC,
a cancelled call's generator is closed by the garbage collector, in another context.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from services.rpc.errors import InvalidArgumentError, Reason

Codec = Callable[[Any], Any]


async def serve(
    handler: grpc.RpcMethodHandler[Any, Any], request: Any, context: grpc.aio.ServicerContext
) -> bytes | None:
    """Runs the servicer's method on undecoded input.

    Args:
        handler: What the servicer registered.
        request: The request's bytes, or the iterator over them.
        context: The call's; takes the answers of a stream.

    Returns:
        The encoded answer, or None after a stream.

    Raises:
        InvalidArgumentError: The bytes are not the method's message.
    """
    decode: Codec = handler.request_deserializer or _same
    encode: Codec = handler.response_serializer or _same
    method: Callable[..., Any] = (
        handler.unary_unary  # pyright: ignore[reportAssignmentType] - one of the four is set
        or handler.unary_stream
        or handler.stream_unary
        or handler.stream_stream
    )
    decoded = (
        _decode_each(decode, request) if handler.request_streaming else _decode(decode, request)
    )
    result = method(decoded, context)
    if not handler.response_streaming:
        return _encode(encode, await result)
    if not hasattr(result, "aclose"):
        if asyncio.iscoroutine(result):
            result.close()
        raise TypeError("a streaming method must be an async generator")
    async with contextlib.aclosing(result) as answers:
        async for answer in answers:
            await context.write(_encode(encode, answer))
    return None


def _encode(encode: Codec, answer: Any) -> bytes:
    """Returns an answer's bytes; a servicer may have encoded it itself, where that is cheaper."""
    return answer if isinstance(answer, bytes) else encode(answer)


def _same(message: Any) -> Any:
    return message


def _decode(decode: Codec, serialised: bytes) -> Any:
    try:
        return decode(serialised)
    except DecodeError:
        raise InvalidArgumentError(
            Reason.INVALID_FIELD,
            "the request's bytes are not a message of the method's type, or a string in it is no "
            "valid UTF-8: one with a lone surrogate, say",
        ) from None


async def _decode_each(decode: Codec, serialised: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for each in serialised:
        yield _decode(decode, each)
