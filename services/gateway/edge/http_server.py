"""An HTTP/1.1 server inside our event loop: uvicorn with time limits on what clients send.

uvicorn has no time-out for headers or for clients that do not read, and no bound on the size of
headers or on connections; its own signal handling would fight with the gRPC server's. All of it is
mended here.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.rpc.errors import StartupError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

HEADER_SECONDS = 10.0
"""A request line and its headers must come within it; so must the first byte of a connection."""
SEND_SECONDS = 30.0
"""A client must read something of its answer within it."""
MAX_HEADER_BYTES = 64 * 1024
KEEP_ALIVE_SECONDS = 75
MAX_CONNECTIONS = 8_192
_BACKLOG = 2_048
_HEAD = b"HTTP/1.1 "
_LINGER_SECONDS = 1.0
"""A client that is refused in the middle of sending gets so long to read why."""


class _TimedProtocol(HttpToolsProtocol):
    """Closes connections that send too slowly, too much, or do not read."""

    _header_timer: asyncio.TimerHandle | None = None
    _send_timer: asyncio.TimerHandle | None = None
    _header_bytes = 0
    _in_headers = True
    _is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", _OneWrite(transport, self.loop))
        if len(self.connections) > MAX_CONNECTIONS:
            self._refuse(503, b"Service Unavailable")
            return
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_send_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        if self._in_headers:
            if self._header_timer is None:  # the next request of a kept connection
                self._expect_headers()
            self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > MAX_HEADER_BYTES and not self._is_refused:
            self._refuse(431, b"Request Header Fields Too Large")

    def on_headers_complete(self) -> None:
        self._stop_timer()
        self._in_headers = False
        self._header_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_headers = True

    def pause_writing(self) -> None:
        """Gives a client up that reads nothing for `SEND_SECONDS`."""
        super().pause_writing()
        self._stop_send_timer()
        self._send_timer = self.loop.call_later(SEND_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The client reads again."""
        self._stop_send_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers what is not HTTP."""
        self._refuse(400, b"Bad Request")

    def _expect_headers(self) -> None:
        self._stop_timer()
        self._header_timer = self.loop.call_later(HEADER_SECONDS, self._too_slow)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _stop_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        if self._header_bytes:
            self._refuse(408, b"Request Timeout")
        elif not self.transport.is_closing():
            self.transport.close()

    def _refuse(self, status: int, phrase: bytes) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        body = (
            b'{"type":"about:blank","title":"%s","status":%d,"detail":"%s","reason":"INVALID_FIELD",'
            b'"violations":[],"trace_id":"","retry_after_seconds":null}' % (phrase, status, phrase)
        )
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n%s" % (status, phrase, len(body), body)
        )
        # Closing while data still comes would reset the connection, and the answer would be lost.
        self._is_refused = True
        self.transport.write_eof()
        self._header_timer = self.loop.call_later(_LINGER_SECONDS, self.transport.abort)


class _OneWrite:
    """A transport that writes a response's head together with what follows it at once.

    Written by themselves they are two packets, and the client is woken for each.

    Args:
        transport: Everything else is its own.
        loop: The event loop.
    """

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def write(self, data: bytes) -> None:
        """Writes; a head waits for its body until the loop's next round at most."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            self._transport.write(data)

    def write_eof(self) -> None:
        """Ends what is written."""
        self._flush()
        self._transport.write_eof()

    def close(self) -> None:
        """Closes the connection when all is written."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)


class _QuietServer(uvicorn.Server):
    """Leaves signals alone: one place in the process handles them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class HttpServer:
    """Serves an ASGI application: bind, start, stop.

    Args:
        app: The application.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        grace_seconds: Time that running requests get to end.
    """

    def __init__(self, app: ASGIApp, host: str, port: int, grace_seconds: float) -> None:
        self._host = host
        self._port = port
        self._server = _QuietServer(
            uvicorn.Config(
                app,
                http=_TimedProtocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=max(1, round(grace_seconds)),
                backlog=_BACKLOG,
            )
        )
        self._sockets: list[socket.socket] = []
        self._task: asyncio.Task[None] | None = None
        self.port = 0
        """Port the server listens on, once bound."""

    def bind(self) -> int:
        """Takes the address and returns the port.

        Raises:
            StartupError: the address cannot be bound.
        """
        bound = _bind(self._host, self._port)
        self._sockets = [bound]
        self.port = bound.getsockname()[1]
        return self.port

    async def start(self, group: asyncio.TaskGroup) -> None:
        """Serves in a task of `group` until `stop`."""
        self._task = group.create_task(self._server.serve(self._sockets))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Accepts nothing more, lets running requests end within the grace, closes."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait((self._task,))

    @property
    def connection_count(self) -> int:
        """Open connections."""
        return len(self._server.server_state.connections)


def _bind(host: str, port: int) -> socket.socket:
    family: Any = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio switches Nagle off; else answers wait 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # A port whose former owner just ended can be taken; one that is in use cannot.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)  # noqa: FBT003 - the standard library's signature
    except OSError as error:
        bound.close()
        raise StartupError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; is the port taken? "
            "change CAIRN_GATEWAY_HTTP_PORT or CAIRN_GATEWAY_HTTP_HOST"
        ) from error
    return bound
