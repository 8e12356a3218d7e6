"""`grpc.health.v1`: one readiness for each service, watched without missing a change.

The servicer of grpcio-health-checking is not used: when one of several watchers of a service
leaves, the others hear of no further change, and its open watches hold a stopping server for the
whole of its grace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
LIVENESS = "liveness"
"""Name that is serving as long as the loop answers: for liveness probes. The others say "ready"."""


class Health(health_pb2_grpc.HealthServicer):
    """Answers `Check` and `Watch` for the named services and for "", the whole server."""

    def __init__(self, service_names: Iterable[str]) -> None:
        self._statuses: dict[str, Any] = dict.fromkeys(["", *service_names], NOT_SERVING)
        self._statuses[LIVENESS] = SERVING
        self._changed = asyncio.Event()
        self._is_closing = False

    def set(self, service_name: str, *, is_serving: bool) -> None:
        """Sets the status of a service and wakes its watchers."""
        self._statuses[service_name] = SERVING if is_serving else NOT_SERVING
        self._wake()

    def set_all(self, *, is_serving: bool) -> None:
        """Sets the status of every service; that the process lives stays true."""
        for name in self._statuses:
            if name != LIVENESS:
                self.set(name, is_serving=is_serving)

    def close(self) -> None:
        """Ends every watch and refuses new ones."""
        self._is_closing = True
        self._wake()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """Returns the status now."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        """Yields the status, and each change of it, until the server closes."""
        last: Any = None
        while not self._is_closing:
            changed = self._changed
            status = self._statuses.get(request.service, SERVICE_UNKNOWN)
            if status != last:
                last = status
                yield health_pb2.HealthCheckResponse(status=status)
            else:
                await changed.wait()
        # An error and no answer: a client that got an answer would watch again at once.
        await context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")

    def _wake(self) -> None:
        """Wakes the waiting; each of them holds the event it saw before it looked."""
        self._changed.set()
        self._changed = asyncio.Event()
