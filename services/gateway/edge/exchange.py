"""Around every HTTP request: trace, deadline, credential, limits, cancellation, metrics, log."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from opentelemetry.trace import Span, Status, StatusCode, format_span_id, format_trace_id
from prometheus_client import Gauge

from services.gateway.audit.trail import note_outcome
from services.gateway.caches.policy import enter_policy, policy_of
from services.gateway.edge.body import Body
from services.gateway.edge.problem import HttpError, body_for, headers_of, status_of
from services.rpc import semconv
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    ServiceError,
)
from services.rpc.instruments import Histogram, InFlight
from services.rpc.logs import (
    exception_fields,
    forget_tenant,
    get_logger,
    is_written,
    success_level,
)
from services.rpc.metrics import STAGE_SECONDS, series

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from services.gateway.audit.log import AuditLog, Followed
    from services.gateway.edge.direct import DirectApi
    from services.gateway.edge.door import Door
    from services.rpc.admission import Admission
    from services.rpc.telemetry import Telemetry

MAX_BODY_BYTES = 1_000_000
MAX_UPLOAD_BYTES = 64_000_000
_UPLOAD_PATHS = frozenset({"/v1/documents", "/openai/v1/files"})

BODY_SECONDS = 10.0
"""A body may take this long, and longer by its size at the slowest rate below."""
SLOWEST_BYTES_PER_SECOND = 16_384

UNWATCHED_SECONDS = 0.05
"""Requests that end sooner are not watched for clients who leave: a task for each costs as much as
looking into the cache does."""

LINGER_SECONDS = 5.0
_LINGER_BYTES = 256_000_000

_CLOSED_PREFIXES = ("/v1/", "/openai/", "/mcp")
"""Where a key is needed, be there a route or not."""
_PROBES = frozenset({"/healthz", "/readyz"})
_TIMEOUT_HEADER = b"x-cairn-timeout-ms"
_CLIENT_LEFT = 499

_SECONDS = Histogram(
    "cairn_http_request_duration_seconds",
    "Duration of HTTP requests, from the first byte to the last.",
    ["route", "method", "status"],
    buckets=STAGE_SECONDS,
)
_IN_FLIGHT = InFlight(Gauge("cairn_http_requests_in_flight", "HTTP requests being served."))
_KNOWN_METHODS = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Exchange:
    """The outermost ASGI layer.

    Args:
        app: Routes.
        door: Lets callers in.
        audit: Where what they do is written down.
        telemetry: Where spans go.
        admission: Bounds requests at once.
        uploads: Bounds the bytes of uploads at once.
        timeout_seconds: Deadline of a request that asks for none or a later one.
        is_draining: Whether connections should end, so that clients go elsewhere.
    """

    def __init__(
        self,
        app: DirectApi,
        *,
        door: Door,
        audit: AuditLog,
        telemetry: Telemetry,
        admission: Admission,
        uploads: Admission,
        timeout_seconds: float,
        is_draining: Callable[[], bool],
    ) -> None:
        self._app = app
        self._door = door
        self._audit = audit
        self._telemetry = telemetry
        self._admission = admission
        self._uploads = uploads
        self._timeout_seconds = timeout_seconds
        self._is_draining = is_draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            return
        forget_tenant()
        carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        enter_policy(policy_of(carrier.items()))
        attributes = {
            semconv.HTTP_REQUEST_METHOD: _method(scope),
            semconv.URL_SCHEME: scope.get("scheme", "http"),
        }
        with self._telemetry.serving(_method(scope), carrier, attributes) as span:
            answer = _Answer(receive, send, span, is_closing=self._is_draining())
            started = time.monotonic()
            _IN_FLIGHT.now += 1
            try:
                await self._serve(scope, receive, answer)
            except asyncio.CancelledError:
                answer.status = answer.status or _CLIENT_LEFT
                raise
            finally:
                _IN_FLIGHT.now -= 1
                _note_route(self._app, scope)
                _conclude(scope, span, answer.status, time.monotonic() - started)

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        try:
            if _needs_key(scope["path"]):
                admitted = await self._door.admit(_header(scope, b"authorization"))
                is_openai = scope["path"].startswith("/openai/")
                answer.extra_headers = admitted.allowance.headers(is_openai=is_openai)
                admitted.allowance.check()
                scope["state"]["caller"] = admitted.caller
                answer.followed = self._audit.follow(admitted.caller, "http", answer.trace_id)
            with deadline_in(self._deadline_seconds(scope)):
                await self._work(scope, receive, answer)
            answer.check_noted()
        except ServiceError as error:
            await answer.refuse(scope["path"], error)
        except ExceptionGroup as group:
            await answer.refuse(scope["path"], _first_error(group))
        except Exception as error:  # noqa: BLE001 - the last place before the client
            get_logger().error("request failed", route=_route(scope), **exception_fields(error))
            await answer.refuse(scope["path"], _internal())
        finally:
            if answer.followed is not None:
                answer.followed.end(_outcome(answer.status))

    async def _work(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """Reads the body, then runs the application until it ends or the client leaves."""
        is_upload = scope["path"] in _UPLOAD_PATHS and scope["method"] == "POST"
        limit = MAX_UPLOAD_BYTES if is_upload else MAX_BODY_BYTES
        declared = _declared_length(scope, limit)
        bytes_at_once = (declared or limit) if is_upload else 0
        async with self._admission.admit(1), self._uploads.admit(bytes_at_once):
            with Body() as body:
                await self._with_body(scope, receive, answer, body, limit)

    async def _with_body(
        self, scope: Scope, receive: Receive, answer: _Answer, body: Body, limit: int
    ) -> None:
        if not await _read_body(receive, limit, body):
            answer.status = _CLIENT_LEFT
            return
        answer.is_body_read = True
        # In this task, with one beside it: a group of two costs each request 50 µs more.
        work = asyncio.current_task()
        watch = _Watch(receive, work)
        try:
            await self._app(scope, body.replay(), answer.send)
        except asyncio.CancelledError:
            if work is None or not watch.has_left:
                raise
            work.uncancel()
            answer.status = _CLIENT_LEFT
        finally:
            watch.stop()

    def _deadline_seconds(self, scope: Scope) -> float:
        text = _header(scope, _TIMEOUT_HEADER)
        if text is None:
            return self._timeout_seconds
        if not text.isdecimal() or not 1 <= len(text) <= 9 or int(text) == 0:
            raise InvalidArgumentError.for_field(
                "X-Cairn-Timeout-Ms", "must be a whole number of milliseconds above 0"
            )
        return min(self._timeout_seconds, int(text) / 1e3)


class _Answer:
    """Writes the response and knows how far it is."""

    def __init__(self, receive: Receive, send: Send, span: Span, *, is_closing: bool) -> None:
        context = span.get_span_context()
        self._receive = receive
        self._send = send
        self._is_closing = is_closing
        self.trace_id = format_trace_id(context.trace_id)
        flags = f"{int(context.trace_flags):02x}"
        self._headers = [
            (b"x-trace-id", self.trace_id.encode()),
            (b"x-request-id", self.trace_id.encode()),  # where OpenAI's clients look for it
            (
                b"traceresponse",
                f"00-{self.trace_id}-{format_span_id(context.span_id)}-{flags}".encode(),
            ),
        ]
        self.extra_headers: list[tuple[bytes, bytes]] = []
        self.status = 0
        self.is_body_read = False
        self.followed: Followed | None = None
        """Writes down what the request did, once it is known whose it is."""
        self._unnoted: ServiceError | None = None

    def check_noted(self) -> None:
        """Passes when the entry of a change was written, or there was none to write.

        Raises:
            ServiceError: it was not; what the application answered was held back.
        """
        error, self._unnoted = self._unnoted, None
        if error is not None:
            raise error

    async def send(self, message: Message) -> None:
        """Passes a message of the application on."""
        if self._unnoted is not None:
            return
        if message["type"] == "http.response.start":
            if self.followed is not None:
                try:
                    await self.followed.before_answer(_outcome(message["status"]))
                except ServiceError as error:
                    # Not raised here: to the framework the response has begun.
                    self._unnoted = error
                    return
            self.status = message["status"]
            headers = list(message.get("headers", ()))
            names = {name for name, _ in headers}
            headers += [each for each in _SECURITY_HEADERS if each[0] not in names]
            headers += self._headers + self.extra_headers
            if self._is_closing or not self.is_body_read:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        await self._send(message)

    async def refuse(self, path: str, error: ServiceError) -> None:
        """Answers with an error, unless the response has begun: then the connection breaks off."""
        note_outcome(error.reason.value)
        if self.status:
            raise ConnectionAbortedError("the response broke off")
        body, content_type = body_for(path, error, self.trace_id)
        headers = [(b"content-type", content_type.encode()), *_length(body)]
        headers += [(k.encode(), v.encode()) for k, v in headers_of(error).items()]
        start = {"type": "http.response.start", "status": status_of(error), "headers": headers}
        await self.send(start)
        await self.send({"type": "http.response.body", "body": body, "more_body": True})
        if not self.is_body_read:
            await self._linger()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        """Reads what still comes: closing before would reset the connection and lose the answer."""
        size = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_SECONDS):
                while size < _LINGER_BYTES:
                    message = await self._receive()
                    size += len(message.get("body", b""))
                    if message["type"] == "http.disconnect" or not message.get("more_body"):
                        return


def _outcome(status: int) -> str:
    """Returns what the audit log says of an answer that gave no reason."""
    if status in {0, _CLIENT_LEFT}:
        return Reason.CANCELLED.value
    return "ok" if status < 400 else f"HTTP_{status}"


def _needs_key(path: str) -> bool:
    return path.startswith(_CLOSED_PREFIXES)


def _header(scope: Scope, name: bytes) -> str | None:
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


def _declared_length(scope: Scope, limit: int) -> int | None:
    text = _header(scope, b"content-length")
    if text is None or not text.isdecimal():
        return None
    length = int(text)
    if length > limit:
        raise _too_large(limit)
    return length


async def _read_body(receive: Receive, limit: int, body: Body) -> bool:
    """Reads the whole body; returns False when the client left.

    Raises:
        HttpError: 413 or 408.
    """
    started = time.monotonic()
    while True:
        seconds = BODY_SECONDS + body.size_bytes / SLOWEST_BYTES_PER_SECOND
        try:
            async with asyncio.timeout(started + seconds - time.monotonic()):
                message = await receive()
        except TimeoutError:
            raise HttpError(
                408, Reason.DEADLINE_EXCEEDED, "the request's body came too slowly"
            ) from None
        if message["type"] == "http.disconnect":
            return False
        chunk = message.get("body", b"")
        if body.size_bytes + len(chunk) > limit:
            raise _too_large(limit)
        await body.add(chunk)
        if not message.get("more_body", False):
            return True


class _Watch:
    """Cancels the work of a request that lasts when its client leaves.

    Args:
        receive: Says when the client has left.
        work: The task that serves the request.
    """

    __slots__ = ("_receive", "_task", "_timer", "_work")

    def __init__(self, receive: Receive, work: asyncio.Task[None] | None) -> None:
        self._receive = receive
        self._work = work
        self._task: asyncio.Task[None] | None = None
        loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = loop.call_later(UNWATCHED_SECONDS, self._begin)

    @property
    def has_left(self) -> bool:
        """Whether the client has left and the work was cancelled for it."""
        return self._task is not None and self._task.done()

    def stop(self) -> None:
        """The work is over."""
        timer, self._timer = self._timer, None  # the timer refers to us
        if timer is not None:
            timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = asyncio.get_running_loop().create_task(
            _cancel_when_left(self._receive, self._work)
        )


async def _cancel_when_left(receive: Receive, work: asyncio.Task[None] | None) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    if work is not None:
        work.cancel()


def _too_large(limit: int) -> HttpError:
    return HttpError(413, Reason.TOO_LARGE, f"the body is over {limit} bytes")


def _length(body: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", str(len(body)).encode())]


def _internal() -> InternalError:
    return InternalError(Reason.INTERNAL, "a fault of ours; the trace id finds it in the logs")


def _first_error(group: ExceptionGroup) -> ServiceError:
    """Returns the error of the request's own task."""
    for error in group.exceptions:
        if isinstance(error, ServiceError):
            return error
        if isinstance(error, ExceptionGroup):
            return _first_error(error)
    get_logger().error("request failed", **exception_fields(group.exceptions[0]))
    return _internal()


def _route(scope: Scope) -> str:
    route = scope.get("route")
    return getattr(route, "path", "unmatched")


def _note_route(app: DirectApi, scope: Scope) -> None:
    """Notes the route of a request that was refused before the application looked for it.

    Otherwise nobody would see which routes refuse: at the door, for want of room, for the body.
    """
    if "route" not in scope and (route := app.route_of(scope)) is not None:
        scope["route"] = route


def _method(scope: Scope) -> str:
    """Returns the method; one that nobody knows is not repeated: it may be anything."""
    return scope["method"] if scope["method"] in _KNOWN_METHODS else "_OTHER"


def _conclude(scope: Scope, span: Span, status: int, seconds: float) -> None:
    route = _route(scope)
    method = _method(scope)
    span.update_name(f"{method} {route}")
    span.set_attribute(semconv.HTTP_ROUTE, route)
    span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, status)
    if status >= 500 or not status:
        span.set_attribute(semconv.ERROR_TYPE, str(status or "aborted"))
        span.set_status(Status(StatusCode.ERROR))
    series(_SECONDS, route, method, str(status)).observe(seconds)
    level = "error" if status == 500 else "warning" if status >= 500 else success_level()
    if route in _PROBES:
        level = "debug"
    if not is_written(level):
        return
    getattr(get_logger(), level)(
        "http served",
        route=route,
        method=method,
        status=status,
        duration_ms=round(seconds * 1e3, 3),
    )
