"""Client interceptors: a deadline for every call, its span, its metric, and errors as raised there.

One object for each arity, because grpc.aio registers an interceptor for the first arity it has.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from opentelemetry.trace import INVALID_SPAN, SpanKind, Status, StatusCode

from services.rpc import semconv
from services.rpc.deadline import budget_seconds
from services.rpc.errors import ERROR_BY_CODE, Code, Reason, ServiceError
from services.rpc.guard import Guard, GuardedCall
from services.rpc.interceptors.server import is_infrastructure
from services.rpc.metrics import client_duration
from services.rpc.service_identity import HEADER as TOKEN_HEADER
from services.rpc.service_identity import ServiceIdentity
from services.rpc.spans import RecordedSpan
from services.rpc.status import STATUS_BY_CODE, error_from_rpc
from services.rpc.tail import KEEP_HEADER, KEPT_HEADER
from services.rpc.telemetry import active_telemetry, headers_of, start_span

_CODES: dict[grpc.StatusCode, Code | None] = {
    **{status: code for code, status in STATUS_BY_CODE.items()},
    grpc.StatusCode.OK: None,
}

Continuation = Callable[[grpc.aio.ClientCallDetails, Any], Awaitable[Any]]


class ClientCall:
    """One call being made: its span and its clock."""

    def __init__(self, method: str, attributes: dict[str, str | int]) -> None:
        self.method = method
        self._started = time.monotonic()
        self._is_concluded = False
        # Probes are no requests: a trace of its own each second would bury the others.
        self._span = (
            INVALID_SPAN
            if is_infrastructure(f"/{method}")
            else start_span(
                method,
                kind=SpanKind.CLIENT,
                attributes={semconv.RPC_METHOD: method, **attributes},
            )
        )

    def metadata(self, given: Any) -> grpc.aio.Metadata:
        """Returns `given` with the trace's identity added, and what traces are to be kept."""
        pairs: list[tuple[str, str | bytes]] = [*(given or ()), *headers_of(self._span)]
        telemetry = active_telemetry()
        news = b"" if telemetry is None else telemetry.tail.news()
        if news:
            pairs.append((KEPT_HEADER, news))
        return grpc.aio.Metadata(*pairs)

    @property
    def hears(self) -> bool:
        """Whether the answer's metadata could change what becomes of the trace."""
        return isinstance(self._span, RecordedSpan) and not self._span.local.is_sampled

    def hear(self, trailing: Any) -> None:
        """Takes an answer's trailing metadata: whether the trace is to be kept."""
        if (
            trailing is not None
            and isinstance(self._span, RecordedSpan)
            and any(key == KEEP_HEADER for key, _ in trailing)
        ):
            self._span.local.is_asked_for = True

    def conclude(self, code: grpc.StatusCode, reason: str = "") -> None:
        """Ends the span and counts the call; further conclusions change nothing."""
        if self._is_concluded:
            return
        self._is_concluded = True
        self._span.set_attribute(semconv.RPC_STATUS_CODE, code.name)
        if reason:
            self._span.set_attribute(semconv.ERROR_REASON, reason)
        if code is not grpc.StatusCode.OK:
            self._span.set_attribute(semconv.ERROR_TYPE, code.name)
            self._span.set_status(Status(StatusCode.ERROR, code.name))
        self._span.end()
        client_duration(self.method, code.name).observe(time.monotonic() - self._started)

    def conclude_done(self, call: grpc.aio.Call) -> None:
        """Concludes by the status of a call that is done: gRPC's callback for streams."""
        if self.hears:
            self.hear(_now(call.trailing_metadata()))
        self.conclude(_now(call.code()) or grpc.StatusCode.UNKNOWN)

    def error(self, error: grpc.aio.AioRpcError) -> ServiceError:
        """Concludes by `error` and returns it as the peer raised it."""
        translated = error_from_rpc(error)
        self.conclude(error.code(), translated.reason.value)
        return translated


class _Intercepting:
    """What the four interceptors share.

    Args:
        target: For the spans.
        default_timeout_seconds: For calls that give none.
        guard: Decides what is called, and how often; None: every call is made once.
        identity: Signs the calls; None: they are not signed.
    """

    def __init__(
        self,
        target: str,
        default_timeout_seconds: float,
        guard: Guard | None = None,
        identity: ServiceIdentity | None = None,
    ) -> None:
        self._identity = identity
        self._attributes = _server_attributes(target)
        self._guard = guard
        self._default_timeout_seconds = default_timeout_seconds

    def _begin(
        self, details: grpc.aio.ClientCallDetails
    ) -> tuple[ClientCall, grpc.aio.ClientCallDetails]:
        wanted = self._default_timeout_seconds if details.timeout is None else details.timeout
        timeout = budget_seconds(wanted)
        call = ClientCall(_method_of(details).removeprefix("/"), self._attributes)
        return call, grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=timeout,
            metadata=call.metadata(self._signed(call.method, details.metadata)),
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )

    def _signed(self, method: str, given: Any) -> Any:
        token = None if self._identity is None else self._identity.token_for(method)
        return given if token is None else (*(given or ()), (TOKEN_HEADER, token))

    async def _one_answer(
        self,
        continuation: Continuation,
        details: grpc.aio.ClientCallDetails,
        request: Any,
        *,
        may_repeat: bool = True,
    ) -> Any:
        guard = self._guard
        if guard is None or is_infrastructure(_method_of(details)):
            return await self._attempt(continuation, details, request)
        if may_repeat:
            wanted = self._default_timeout_seconds if details.timeout is None else details.timeout
            return await guard.one_answer(
                _method_of(details),
                lambda left: self._attempt(continuation, _within(details, left), request),
                timeout_seconds=budget_seconds(wanted),
            )
        guard.pay_in()
        entered = guard.enter()
        try:
            made = await self._attempt(continuation, details, request)
        except BaseException as error:
            entered.ended(error)
            raise
        entered.ended()
        return made

    async def _attempt(
        self, continuation: Continuation, details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        call, details = self._begin(details)
        try:
            made = await continuation(details, request)
            await made  # here, so that a cancellation reaches the call
        except grpc.aio.AioRpcError as error:
            raise call.error(error) from error
        except asyncio.CancelledError:
            call.conclude(grpc.StatusCode.CANCELLED)
            raise
        except BaseException:
            call.conclude(grpc.StatusCode.UNKNOWN)
            raise
        if call.hears:
            call.hear(await made.trailing_metadata())
        call.conclude(grpc.StatusCode.OK)
        return made

    async def _many_answers(
        self, continuation: Continuation, details: grpc.aio.ClientCallDetails, request: Any
    ) -> AsyncIterator[Any]:
        entered = None
        if self._guard is not None and not is_infrastructure(_method_of(details)):
            self._guard.pay_in()
            entered = self._guard.enter()
        try:
            call, details = self._begin(details)
            try:
                made = await continuation(details, request)
            except BaseException:
                call.conclude(grpc.StatusCode.CANCELLED)
                raise
        except BaseException as error:
            if entered is not None:
                entered.ended(error)
            raise
        # Not when the answers are exhausted: who reads them may leave before the end.
        made.add_done_callback(call.conclude_done)
        if entered is None:
            return _answers(made, call)
        made.add_done_callback(lambda done: entered.ended(_error_of(done)))
        return _guarded_answers(made, call, entered)


async def _answers(made: Any, call: ClientCall) -> AsyncIterator[Any]:
    try:
        async for answer in made:
            yield answer
    except grpc.aio.AioRpcError as error:
        raise call.error(error) from error


async def _guarded_answers(made: Any, call: ClientCall, entered: GuardedCall) -> AsyncIterator[Any]:
    is_first = True
    try:
        async for answer in made:
            if is_first:
                is_first = False
                entered.answered()
            yield answer
    except grpc.aio.AioRpcError as error:
        failure = call.error(error)
        entered.ended(failure)
        raise failure from error


class UnaryUnary(_Intercepting, grpc.aio.UnaryUnaryClientInterceptor):
    """One request, one answer."""

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Makes the call."""
        return await self._one_answer(continuation, client_call_details, request)


class StreamUnary(_Intercepting, grpc.aio.StreamUnaryClientInterceptor):
    """Many requests, one answer."""

    async def intercept_stream_unary(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Makes the call, once: what was sent is gone."""
        return await self._one_answer(
            continuation, client_call_details, request_iterator, may_repeat=False
        )


class UnaryStream(_Intercepting, grpc.aio.UnaryStreamClientInterceptor):
    """One request, many answers."""

    async def intercept_unary_stream(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Makes the call."""
        return await self._many_answers(continuation, client_call_details, request)


class StreamStream(_Intercepting, grpc.aio.StreamStreamClientInterceptor):
    """Many requests, many answers."""

    async def intercept_stream_stream(
        self,
        continuation: Any,
        client_call_details: grpc.aio.ClientCallDetails,
        request_iterator: Any,
    ) -> Any:
        """Makes the call."""
        return await self._many_answers(continuation, client_call_details, request_iterator)


def client_interceptors(
    target: str,
    default_timeout_seconds: float,
    guard: Guard | None = None,
    identity: ServiceIdentity | None = None,
) -> list[grpc.aio.ClientInterceptor]:
    """Returns the interceptors of a channel."""
    return [
        kind(target, default_timeout_seconds, guard, identity)
        for kind in (UnaryUnary, StreamUnary, UnaryStream, StreamStream)
    ]


def _server_attributes(target: str) -> dict[str, str | int]:
    host, _, port = target.rpartition(":")
    if "," in target or not port.isdecimal():
        return {semconv.RPC_SYSTEM_NAME: "grpc", semconv.SERVER_ADDRESS: target}
    return {
        semconv.RPC_SYSTEM_NAME: "grpc",
        semconv.SERVER_ADDRESS: host,
        semconv.SERVER_PORT: int(port),
    }


def _method_of(details: grpc.aio.ClientCallDetails) -> str:
    return details.method.decode() if isinstance(details.method, bytes) else details.method


def _within(details: grpc.aio.ClientCallDetails, seconds: float) -> grpc.aio.ClientCallDetails:
    return grpc.aio.ClientCallDetails(
        method=details.method,
        timeout=seconds,
        metadata=details.metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


def _error_of(call: grpc.aio.Call) -> ServiceError | None:
    """Returns the error of a finished call, without its details."""
    code = _CODES.get(_now(call.code()), Code.INTERNAL)
    return None if code is None else ERROR_BY_CODE[code](Reason.INTERNAL, "")


def _now(reading: Any) -> Any:
    """Returns what a finished call knows without awaiting, for callbacks cannot; else None."""
    try:
        reading.send(None)
    except StopIteration as finished:
        return finished.value
    reading.close()
    return None
