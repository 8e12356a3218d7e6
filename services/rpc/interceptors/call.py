"""What the layers around a served call know of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc

from services.rpc.errors import ServiceError

# gRPC rounds deadlines up on the wire, by up to one part in a hundred, and the network delays them.
_DEADLINE_SLACK_RATIO = 0.01
_DEADLINE_SLACK_SECONDS = 0.02


class Incoming:
    """The messages of a caller that sends many, as they come.

    Args:
        messages: gRPC's iterator.
        is_dialogue: Whether the caller gets many answers, too, and may wait for one before it
            sends more.
    """

    __slots__ = ("_messages", "has_begun", "is_dialogue")

    def __init__(self, messages: AsyncIterator[bytes], *, is_dialogue: bool) -> None:
        self._messages = messages
        self.is_dialogue = is_dialogue
        self.has_begun = False
        """Whether a message was taken in."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message = await anext(self._messages)
        self.has_begun = True
        return message


@dataclass(slots=True)
class ServerCall:
    """One call being served. The layer that maps errors says how it ended; outer layers read it."""

    method: str
    """Fully qualified: "cairn.embedding.v1.EmbeddingService/Embed"."""
    context: grpc.aio.ServicerContext[Any, Any]
    code: grpc.StatusCode = grpc.StatusCode.OK
    error: ServiceError | None = None
    """What the call was answered with."""
    error_type: str | None = None
    """Type of the exception that nobody expected."""
    started: float = field(default_factory=time.monotonic)
    timeout_seconds: float | None = None
    """Time the caller gave, None for no limit."""
    incoming: Incoming | None = None
    """Messages of a caller that sends many."""

    @property
    def service_and_name(self) -> tuple[str, str]:
        """The two parts of `method`."""
        service, _, name = self.method.rpartition("/")
        return service, name

    @property
    def seconds(self) -> float:
        """Time since the call began."""
        return time.monotonic() - self.started

    @property
    def is_deadline_over(self) -> bool:
        """True when the caller's time has run out, or will within the accuracy of deadlines."""
        if self.timeout_seconds is None:
            return False
        slack = _DEADLINE_SLACK_SECONDS + _DEADLINE_SLACK_RATIO * self.timeout_seconds
        return self.seconds >= self.timeout_seconds - slack


Proceed = Callable[[], Awaitable[Any]]
"""Runs the next layer, the servicer at last; returns its answer (None for a stream)."""


class Layer(Protocol):
    """Something that happens around every call, whatever its arity."""

    async def __call__(self, call: ServerCall, proceed: Proceed) -> Any:
        """Serves `call` by awaiting `proceed()`."""
        ...
