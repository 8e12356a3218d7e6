"""How gRPC's thread wakes the event loop: by one byte for each event, which we read all at once.

grpc.aio has a thread that hands events over in a queue and writes a byte into a pair of sockets for
each. The loop empties the queue at one byte and reads the next byte in its next round, though
nothing is left to do. A busy loop has fewer rounds than there are events: some 278 unread bytes
fill the pair, the thread stands still in its write, and with it everything that comes in. Pings
are not answered any more, and after two seconds the peers close connections that are well.

Measured with grpcio 1.85.1: at 400 calls at once the thread stood still for a fifth of the time. So
all bytes are read at once, and one that finds the pair full is left out: those before it wake the
loop. Nothing is lost: an event is in the queue before its byte is written, and the queue is emptied
after bytes were read.
"""

from __future__ import annotations

import socket
from types import ModuleType
from typing import Any

from grpc._cython import cygrpc

_AT_ONCE = 4_096
"""Bytes; more than a pair holds of them."""


class _WakeUps(socket.socket):
    """The end that is read: gives all bytes where one is asked for."""

    __slots__ = ()

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Reads all that has come; nothing, where another loop of the process was quicker."""
        try:
            return super().recv(max(bufsize, _AT_ONCE), flags)
        except BlockingIOError:
            return b""


class _Sockets(ModuleType):
    """The module `socket` as gRPC sees it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    @staticmethod
    def socketpair(*args: Any, **kwargs: Any) -> tuple[socket.socket, socket.socket]:
        """Returns a pair whose first end is read at once, and whose other one does not wait."""
        read, write = socket.socketpair(*args, **kwargs)
        write.setblocking(False)  # noqa: FBT003 - the standard library's signature
        family, kind, proto = read.family, read.type, read.proto
        return _WakeUps(family, kind, proto, fileno=read.detach()), write


def read_at_once() -> None:
    """Has the pairs of this process made so from now on; a gRPC without any is left as it is."""
    if isinstance(getattr(cygrpc, "socket", None), ModuleType):
        setattr(cygrpc, "socket", _Sockets(socket.__name__))  # noqa: B010 - its stubs lack it
