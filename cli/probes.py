"""Ways to ask a process whether it is ready to serve."""

from __future__ import annotations

import asyncio
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TIMEOUT_SECONDS = 2.0


class Probe(Protocol):
    """Asks one process."""

    async def is_ready(self) -> bool:
        """Returns whether it serves now; a process that cannot be reached does not."""
        ...


class GrpcProbe:
    """Asks by the gRPC health protocol, for the server as a whole."""

    def __init__(self, address: str) -> None:
        """Asks the server at `host:port`."""
        self._address = address

    async def is_ready(self) -> bool:
        """Returns whether the server says SERVING."""
        return await grpc_health(self._address) == "SERVING"


class ValkeyProbe:
    """Asks Valkey for a PONG."""

    def __init__(self, host: str, port: int, password: str) -> None:
        """Logs in with `password`."""
        self._host = host
        self._port = port
        self._password = password

    async def is_ready(self) -> bool:
        """Returns whether it accepts the password and commands."""
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    writer.write(f"AUTH {self._password}\r\nPING\r\n".encode())
                    return [await reader.readline() for _ in range(2)] == [b"+OK\r\n", b"+PONG\r\n"]
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False


async def grpc_health(address: str) -> str:
    """Returns what the server at `host:port` says of itself.

    `SERVING`, `NOT_SERVING`, `UNKNOWN`, or `UNREACHABLE` when there is no answer.
    """
    # A channel per question: a kept one would wait in connection backoff after a restart.
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            reply = await stub.Check(  # pyright: ignore[reportAttributeAccessIssue] - no stubs
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS
            )
        except grpc.aio.AioRpcError:
            return "UNREACHABLE"
        return health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
