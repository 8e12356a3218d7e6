"""What streams need beside what grpc.aio gives them.

Leaving `async for answer in stub.Generate(...)` early, as a generator does whose own reader has
gone, does not cancel the call in grpc.aio: the call object is part of a reference cycle, so the
peer works on until the garbage collector comes or the deadline passes. `AnswerStream` ends it.

A client of grpc.aio that is still sending when its answer comes often sees INTERNAL ("Failed
execute_batch") instead of the status that it was sent. `refuse_after_the_rest` lets it finish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from services.rpc.errors import ServiceError

_MOST_DROPPED_BYTES = 1 << 30
_DROPPING_SECONDS = 10.0


class AnswerStream:
    """A running call with many answers; cancels it when the last reference to it goes.

    Everything but iteration is the call's own: `cancel`, `read`, `write`, `done`, `code`.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __aiter__(self) -> AsyncIterator[Any]:
        # Not kept: the iterator refers to the stream, and both must go without the collector.
        return _Answers(self, aiter(self._call))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __del__(self) -> None:
        if not self._call.done():
            self._call.cancel()


class _Answers:
    """Iterates over a stream's answers and keeps the stream meanwhile; no generator's cost."""

    __slots__ = ("_answers", "_stream")

    def __init__(self, stream: AnswerStream, answers: AsyncIterator[Any]) -> None:
        self._stream = stream
        self._answers = answers

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    def __anext__(self) -> Awaitable[Any]:
        return self._answers.__anext__()


def end_abandoned_streams(channel: grpc.aio.Channel) -> grpc.aio.Channel:
    """Makes the channel's calls with many answers `AnswerStream`s, and returns the channel."""
    channel.unary_stream = _wrapped(channel.unary_stream)
    channel.stream_stream = _wrapped(channel.stream_stream)
    return channel


def _wrapped(make_method: Callable[..., Any]) -> Any:
    def make(*args: Any, **kwargs: Any) -> Callable[..., AnswerStream]:
        method = make_method(*args, **kwargs)

        def call(*call_args: Any, **call_kwargs: Any) -> AnswerStream:
            return AnswerStream(method(*call_args, **call_kwargs))

        return call

    return make


@contextlib.asynccontextmanager
async def refuse_after_the_rest(messages: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Lets a client send what it still has to send before it is told what was wrong.

    Messages are dropped one by one as they come, for a while and up to a size.

    Args:
        messages: What is left of the request; the block reads from it.
    """
    try:
        yield
    except ServiceError:
        left = _MOST_DROPPED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DROPPING_SECONDS):
                async for message in messages:
                    left -= message.ByteSize()
                    if left < 0:
                        break
        raise
