"""Calls to other services: each has a deadline, a span, a metric, and errors as raised there.

What is done for a call stands around the channel's methods and not in interceptors of gRPC's, which
give each call a task more, and each answer of a stream two generators more to come through.

Leaving `async for answer in stub.Generate(...)` early, as a generator does whose own reader has
gone, does not cancel the call in grpc.aio: the call object is part of a reference cycle, so the
peer works on until the garbage collector comes or the deadline passes. `AnswerStream` ends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.trace import INVALID_SPAN, Span, SpanKind, Status, StatusCode

from services.rpc import semconv
from services.rpc.deadline import budget_seconds
from services.rpc.errors import ERROR_BY_CODE, Code, Reason, ServiceError
from services.rpc.guard import Guard, GuardedCall
from services.rpc.interceptors.server import is_infrastructure
from services.rpc.metrics import client_duration
from services.rpc.service_identity import HEADER as TOKEN_HEADER
from services.rpc.service_identity import ServiceIdentity
from services.rpc.spans import RecordedSpan
from services.rpc.status import CODE_NAMES, STATUS_BY_CODE, error_from_rpc
from services.rpc.tail import KEEP_HEADER, KEPT_HEADER
from services.rpc.telemetry import active_telemetry, start_span
from services.rpc.trace_headers import headers_of

_OK = grpc.StatusCode.OK
_CODES: dict[grpc.StatusCode, Code | None] = {
    **{status: code for code, status in STATUS_BY_CODE.items()},
    _OK: None,
}


class ClientCall:
    """One call being made: its span and its clock.

    Args:
        method: "cairn.embedding.v1.EmbeddingService/Embed".
        span: Ended with the call.
    """

    __slots__ = ("_is_concluded", "_method", "_span", "_started")

    def __init__(self, method: str, span: Span) -> None:
        self._method = method
        self._started = time.monotonic()
        self._is_concluded = False
        self._span = span

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
        span, name = self._span, CODE_NAMES[code]
        span.set_attribute(semconv.RPC_STATUS_CODE, name)
        if reason:
            span.set_attribute(semconv.ERROR_REASON, reason)
        if code is not _OK:
            span.set_attribute(semconv.ERROR_TYPE, name)
            span.set_status(Status(StatusCode.ERROR, name))
        span.end()
        client_duration(self._method, name).observe(time.monotonic() - self._started)

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


@dataclass(frozen=True, slots=True)
class Caller:
    """How the calls of one channel are made."""

    target: str
    """For the spans."""
    default_timeout_seconds: float
    """For calls that give none."""
    guard: Guard | None = None
    """Decides what is called, and how often; None: every call is made once."""
    identity: ServiceIdentity | None = None
    """Signs the calls; None: they are not signed."""


def make_calls_by(channel: grpc.aio.Channel, caller: Caller) -> grpc.aio.Channel:
    """Has the calls of a channel's stubs made as `caller` says, and returns the channel."""
    for arity, kind, may_repeat in (
        ("unary_unary", OneAnswer, True),
        ("stream_unary", OneAnswer, False),  # what was sent is gone
        ("unary_stream", AnswerStream, False),
        ("stream_stream", AnswerStream, False),
    ):
        setattr(channel, arity, _wrapped(getattr(channel, arity), caller, kind, may_repeat))
    return channel


def _wrapped(
    make_method: Callable[..., Any], caller: Caller, kind: Callable[..., Any], may_repeat: bool
) -> Callable[..., Any]:
    def make(path: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        method = _Method(make_method(path, *args, **kwargs), path, caller, may_repeat=may_repeat)

        def call(
            request: Any, *, timeout: float | None = None, metadata: Any = None, **options: Any
        ) -> Any:
            return kind(method, request, timeout, metadata, options)

        return call

    return make


class _Method:
    """One method of a peer, and what each call of it begins with.

    Args:
        make: Makes a call of gRPC's.
        path: "/cairn.embedding.v1.EmbeddingService/Embed".
        caller: How calls are made.
        may_repeat: Whether a call may be made twice as far as its request goes.
    """

    def __init__(
        self, make: Callable[..., Any], path: str, caller: Caller, *, may_repeat: bool
    ) -> None:
        self.make = make
        self.path = path
        self.name = path.removeprefix("/")
        self.may_repeat = may_repeat
        self._is_probe = is_infrastructure(path)
        self.guard = None if self._is_probe else caller.guard
        self._caller = caller
        self._attributes = {semconv.RPC_METHOD: self.name, **_server_attributes(caller.target)}

    def timeout_seconds(self, given: float | None) -> float:
        """Returns the time-out of a call.

        Raises:
            DeadlineExceededError: the running request has no time left.
        """
        return budget_seconds(self._caller.default_timeout_seconds if given is None else given)

    def begin(self, given: Any) -> tuple[ClientCall, grpc.aio.Metadata]:
        """Begins a call's span; returns it with the call's metadata, which begins with `given`."""
        # Probes are no requests: a trace of its own each second would bury the others.
        span = (
            INVALID_SPAN
            if self._is_probe
            else start_span(self.name, kind=SpanKind.CLIENT, attributes=self._attributes)
        )
        pairs: list[tuple[str, str | bytes]] = [*(given or ()), *headers_of(span)]
        identity = self._caller.identity
        token = None if identity is None else identity.token_for(self.name)
        if token is not None:
            pairs.append((TOKEN_HEADER, token))
        telemetry = active_telemetry()
        if telemetry is not None and (news := telemetry.tail.news()):
            pairs.append((KEPT_HEADER, news))
        return ClientCall(self.name, span), grpc.aio.Metadata(*pairs)


class OneAnswer:
    """A call with one answer. It begins when it is awaited, and may be cancelled meanwhile."""

    __slots__ = ("_made", "_metadata", "_method", "_options", "_request", "_timeout")

    def __init__(
        self,
        method: _Method,
        request: Any,
        timeout: float | None,
        metadata: Any,
        options: dict[str, Any],
    ) -> None:
        self._method = method
        self._request = request
        self._timeout = timeout
        self._metadata = metadata
        self._options = options
        self._made: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return self._run().__await__()

    def cancel(self) -> bool:
        """Cancels the call, if it is on its way; returns whether it was."""
        return self._made is not None and self._made.cancel()

    async def _run(self) -> Any:
        method, guard = self._method, self._method.guard
        if guard is None:
            return await self._attempt(self._timeout)
        if method.may_repeat:
            seconds = method.timeout_seconds(self._timeout)
            return await guard.one_answer(method.path, self._attempt, timeout_seconds=seconds)
        guard.pay_in()
        entered = guard.enter()
        try:
            answer = await self._attempt(self._timeout)
        except BaseException as error:
            entered.ended(error)
            raise
        entered.ended()
        return answer

    async def _attempt(self, wanted: float | None) -> Any:
        seconds = self._method.timeout_seconds(wanted)
        call, metadata = self._method.begin(self._metadata)
        try:
            made = self._made = self._method.make(
                self._request, timeout=seconds, metadata=metadata, **self._options
            )
            answer = await made
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
        call.conclude(_OK)
        return answer


class AnswerStream:
    """A running call with many answers; cancels it when the last reference to it goes.

    Everything but reading is the call's own: `cancel`, `write`, `done`, `code`.
    """

    def __init__(
        self,
        method: _Method,
        request: Any,
        timeout: float | None,
        metadata: Any,
        options: dict[str, Any],
    ) -> None:
        self._call: Any = None
        entered: GuardedCall | None = None
        if method.guard is not None:
            method.guard.pay_in()
            entered = method.guard.enter()
        try:
            seconds = method.timeout_seconds(timeout)
            self._client_call, pairs = method.begin(metadata)
            try:
                self._call = method.make(request, timeout=seconds, metadata=pairs, **options)
            except BaseException:
                self._client_call.conclude(grpc.StatusCode.UNKNOWN)
                raise
        except BaseException as error:
            if entered is not None:
                entered.ended(error)
            raise
        self._entered = entered
        # Not when the answers are exhausted: who reads them may leave before the end.
        self._call.add_done_callback(self._client_call.conclude_done)
        if entered is not None:
            self._call.add_done_callback(lambda done: entered.ended(_error_of(done)))

    def __aiter__(self) -> AsyncIterator[Any]:
        # Not kept: the iterator refers to the stream, and both must go without the collector.
        return _Answers(self, aiter(self._call))

    async def read(self) -> Any:
        """Returns the next answer; `grpc.aio.EOF` after the last one.

        Raises:
            ServiceError: the call failed.
        """
        try:
            answer = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise self.failed(error) from error
        self.answered()
        return answer

    async def each(self, first: Any, take: Callable[[Any], Awaitable[object] | None]) -> None:
        """Reads to the end, without a generator's cost for each answer.

        Args:
            first: What `read` has returned.
            take: Gets it and each of the others; what it returns is awaited before the next.

        Raises:
            ServiceError: the call failed.
        """
        answer, read = first, self._call.read
        end: Any = grpc.aio.EOF  # pyright: ignore[reportAttributeAccessIssue] - its stubs lack it
        try:
            while answer is not end:
                wait = take(answer)
                if wait is not None:
                    await wait
                answer = await read()
        except grpc.aio.AioRpcError as error:
            raise self.failed(error) from error

    def answered(self) -> None:
        """The peer has begun to answer."""
        if self._entered is not None:
            self._entered.answered()
            self._entered = None

    def failed(self, error: grpc.aio.AioRpcError) -> ServiceError:
        """Returns the error of the call as the peer raised it."""
        return self._client_call.error(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._call, name)

    def __del__(self) -> None:
        if self._call is not None and not self._call.done():
            self._call.cancel()


class _Answers:
    """Iterates over a stream's answers and keeps the stream meanwhile."""

    __slots__ = ("_answers", "_stream")

    def __init__(self, stream: AnswerStream, answers: AsyncIterator[Any]) -> None:
        self._stream = stream
        self._answers = answers

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            answer = await self._answers.__anext__()
        except grpc.aio.AioRpcError as error:
            raise self._stream.failed(error) from error
        self._stream.answered()
        return answer


def _server_attributes(target: str) -> dict[str, str | int]:
    host, _, port = target.rpartition(":")
    if "," in target or not port.isdecimal():
        return {semconv.RPC_SYSTEM_NAME: "grpc", semconv.SERVER_ADDRESS: target}
    return {
        semconv.RPC_SYSTEM_NAME: "grpc",
        semconv.SERVER_ADDRESS: host,
        semconv.SERVER_PORT: int(port),
    }


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
