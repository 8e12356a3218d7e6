"""Streams of answers that end their call when nobody reads them any more.

Leaving `async for answer in stub.Generate(...)` early, as a generator does whose own reader has
gone, does not cancel the call in grpc.aio: the call object is part of a reference cycle, so the
peer works on until the garbage collector comes or the deadline passes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc


class AnswerStream:
    """A running call with many answers; cancels it when the last reference to it goes.

    Everything but iteration is the call's own: `cancel`, `read`, `write`, `done`, `code`.
    """

    def __init__(self, call: Any) -> None:
        self._call = call

    def __aiter__(self) -> AsyncIterator[Any]:
        # Not kept: the iterator refers to the stream, and both must go without the collector.
        return self._answers()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __del__(self) -> None:
        if not self._call.done():
            self._call.cancel()

    async def _answers(self) -> AsyncIterator[Any]:
        async for answer in self._call:
            yield answer


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
