"""The server interceptor: one for all arities, made of layers.

Outermost first: tracing, metrics, access log, errors, deadline; then interceptors of the service
(authentication, say), then the servicer. Health and reflection pass by: probes are no requests.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import grpc

from services.rpc.interceptors.call import Incoming, Layer, Proceed, ServerCall
from services.rpc.interceptors.messages import serve
from services.rpc.tail import KEPT_HEADER

_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], "Awaitable[Handler | None]"]


def is_infrastructure(method: str) -> bool:
    """True for health and reflection."""
    return method.startswith(_INFRASTRUCTURE)


class LayeredInterceptor(grpc.aio.ServerInterceptor):
    """Runs each call within the layers.

    Args:
        layers: Outermost first. One of them must map errors to statuses.
        hear: Told the ids of traces to keep that come with a health check: on a quiet day nothing
            else comes.
    """

    def __init__(
        self, layers: Sequence[Layer], hear: Callable[[bytes], None] | None = None
    ) -> None:
        self._layers = tuple(layers)
        self._hear = hear
        self._wrapped: dict[str, tuple[Handler, Handler]] = {}
        """Handlers by method, plain and with the layers around them: made once, not per call."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Returns the method's handler with the layers around it."""
        method = handler_call_details.method
        if is_infrastructure(method):
            for key, value in handler_call_details.invocation_metadata or ():
                if key == KEPT_HEADER and self._hear is not None and isinstance(value, bytes):
                    self._hear(value)
            return await continuation(handler_call_details)
        try:
            handler = await continuation(handler_call_details)
        except Exception as error:  # noqa: BLE001 - answered, with its status, by the layers
            # An inner interceptor refused the call before its arity was known. To gRPC a method
            # that streams both ways and does neither fits any.
            return grpc.stream_stream_rpc_method_handler(self._layered(method, _raiser(error)))
        if handler is None:
            return handler  # unknown method: gRPC answers UNIMPLEMENTED

        known = self._wrapped.get(method)
        if known is not None and known[0] is handler:
            return known[1]

        async def run(request: Any, context: grpc.aio.ServicerContext) -> Any:
            return await serve(handler, request, context)

        wrapped = _with_behaviour(handler, self._layered(method, run, handler))
        self._wrapped[method] = (handler, wrapped)
        return wrapped

    def _layered(
        self, method: str, innermost: Callable[..., Awaitable[Any]], handler: Handler | None = None
    ) -> Any:
        async def behaviour(request: Any, context: grpc.aio.ServicerContext) -> Any:
            remaining = context.time_remaining()
            call = ServerCall(method.removeprefix("/"), context, timeout_seconds=remaining)
            if handler is not None and handler.request_streaming:
                request = Incoming(request, is_dialogue=handler.response_streaming)
                call.incoming = request

            async def proceed() -> Any:
                return await innermost(request, context)

            run: Proceed = proceed
            for layer in reversed(self._layers):
                run = _around(layer, call, run)
            return await run()

        return behaviour


class ExceptInfrastructure(grpc.aio.ServerInterceptor):
    """Runs an interceptor for every method but those of health and reflection."""

    def __init__(self, interceptor: grpc.aio.ServerInterceptor) -> None:
        self._interceptor = interceptor

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Returns the handler, intercepted or not."""
        if is_infrastructure(handler_call_details.method):
            return await continuation(handler_call_details)
        return await self._interceptor.intercept_service(continuation, handler_call_details)


def _around(layer: Layer, call: ServerCall, inner: Proceed) -> Proceed:
    async def proceed() -> Any:
        return await layer(call, inner)

    return proceed


def _raiser(error: Exception) -> Callable[..., Awaitable[Any]]:
    async def fail(_request: Any, _context: Any) -> None:
        raise error

    return fail


def _with_behaviour(handler: Handler, behaviour: Any) -> Handler:
    """Returns a handler of the same arity that hands bytes in and takes bytes out."""
    if handler.request_streaming:
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(behaviour)
        return grpc.stream_unary_rpc_method_handler(behaviour)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(behaviour)
    return grpc.unary_unary_rpc_method_handler(behaviour)
