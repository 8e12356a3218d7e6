"""A real gRPC service with a method of each arity, for tests of what lies around servicers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue

SERVICE = "cairn.test.v1.EchoService"
ARITIES = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")

Behaviour = Callable[[str], AsyncIterator[str]]


async def echo(text: str) -> AsyncIterator[str]:
    """Answers with the text itself."""
    yield text


class Echo:
    """Answers each text as `behaviour` says; unary answers are the joined ones."""

    def __init__(self, behaviour: Behaviour = echo) -> None:
        self._behaviour = behaviour

    def register(self, server: grpc.aio.Server) -> None:
        """Adds the service to a server."""
        codec = {
            "request_deserializer": StringValue.FromString,
            "response_serializer": StringValue.SerializeToString,
        }
        server.add_generic_rpc_handlers(
            [
                grpc.method_handlers_generic_handler(
                    SERVICE,
                    {
                        "UnaryUnary": grpc.unary_unary_rpc_method_handler(self._one, **codec),
                        "UnaryStream": grpc.unary_stream_rpc_method_handler(self._many, **codec),
                        "StreamUnary": grpc.stream_unary_rpc_method_handler(self._join, **codec),
                        "StreamStream": grpc.stream_stream_rpc_method_handler(self._each, **codec),
                    },
                )
            ]
        )

    async def _one(self, request: StringValue, _context: Any) -> StringValue:
        answers = [answer async for answer in self._behaviour(request.value)]
        return StringValue(value="".join(answers))

    async def _many(self, request: StringValue, _context: Any) -> AsyncIterator[StringValue]:
        async with contextlib.aclosing(self._behaviour(request.value)) as answers:
            async for answer in answers:
                yield StringValue(value=answer)

    async def _join(self, requests: AsyncIterator[StringValue], _context: Any) -> StringValue:
        answers = [
            answer async for request in requests async for answer in self._behaviour(request.value)
        ]
        return StringValue(value="".join(answers))

    async def _each(
        self, requests: AsyncIterator[StringValue], _context: Any
    ) -> AsyncIterator[StringValue]:
        async for request in requests:
            async with contextlib.aclosing(self._behaviour(request.value)) as answers:
                async for answer in answers:
                    yield StringValue(value=answer)


class EchoStub:
    """Calls the service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        codec = {
            "request_serializer": StringValue.SerializeToString,
            "response_deserializer": StringValue.FromString,
        }
        self.unary_unary = channel.unary_unary(f"/{SERVICE}/UnaryUnary", **codec)
        self.unary_stream = channel.unary_stream(f"/{SERVICE}/UnaryStream", **codec)
        self.stream_unary = channel.stream_unary(f"/{SERVICE}/StreamUnary", **codec)
        self.stream_stream = channel.stream_stream(f"/{SERVICE}/StreamStream", **codec)

    def call(self, arity: str, text: str, **options: Any) -> Any:
        """Begins a call and returns it."""
        message = StringValue(value=text)
        if arity == "UnaryUnary":
            return self.unary_unary(message, **options)
        if arity == "UnaryStream":
            return self.unary_stream(message, **options)
        if arity == "StreamUnary":
            return self.stream_unary(_only(message), **options)
        return self.stream_stream(_only(message), **options)

    async def ask(self, arity: str, text: str, **options: Any) -> list[str]:
        """Makes a call and returns its answers."""
        call = self.call(arity, text, **options)
        if arity in ("UnaryUnary", "StreamUnary"):
            return [(await call).value]
        return [answer.value async for answer in call]


async def _only(message: StringValue) -> AsyncIterator[StringValue]:
    yield message
