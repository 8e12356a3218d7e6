"""Answers as server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from services.gateway.edge.problem import encode
from services.rpc.errors import InternalError, Reason, ServiceError
from services.rpc.logs import exception_fields, get_logger

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"
EVENTS: dict[str, Any] = {
    MEDIA_TYPE: {
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {"event": {"type": "string"}, "data": {"type": "string"}},
        }
    }
}
"""How OpenAPI describes a stream: by one of its events."""

SendData = Callable[[bytes], Awaitable[None]]


def event(name: str, data: Any) -> bytes:
    """Returns one named event; JSON has no raw line ends, so one data line is enough."""
    return b"event: " + name.encode() + b"\ndata: " + encode(data) + b"\n\n"


class EventStream(Response):
    """Runs `work`, which writes events.

    The response begins with the first event: until then an error is an ordinary response with its
    own status. Later ones become an event by `render_error`.

    Args:
        work: Writes the events.
        render_error: Makes the last event of a stream that failed.
        headers: Of the response, beside a stream's own; `work` may add to them until it writes.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        work: Callable[[SendData], Awaitable[None]],
        render_error: Callable[[ServiceError], bytes],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(media_type=MEDIA_TYPE)
        self._told: Mapping[str, str] = {} if headers is None else headers
        self._work = work
        self._render_error = render_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Writes the stream."""
        has_begun = False

        async def write(data: bytes) -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                headers = [
                    (b"content-type", b"text/event-stream; charset=utf-8"),
                    (b"cache-control", b"no-store"),
                    (b"x-accel-buffering", b"no"),
                    *((name.encode(), value.encode()) for name, value in self._told.items()),
                ]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": data, "more_body": True})

        try:
            await self._work(write)
        except ServiceError as error:
            if not has_begun:
                raise
            await write(self._render_error(error))
        except Exception as error:
            if not has_begun:
                raise
            get_logger().error("stream failed", **exception_fields(error))
            failure = InternalError(
                Reason.INTERNAL, "a fault of ours; the trace id finds it in the logs"
            )
            await write(self._render_error(failure))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
