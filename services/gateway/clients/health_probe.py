"""Asks a service for its health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.errors import ServiceError

if TYPE_CHECKING:
    import grpc

_TIMEOUT_SECONDS = 1.0


class HealthProbe:
    """Asks through a channel.

    Args:
        channel: To the service's replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # The stub sets its methods when it is made; type checkers do not see them.
        self._stub: Any = health_pb2_grpc.HealthStub(channel)

    async def __call__(self) -> bool:
        """Returns whether a replica can serve."""
        try:
            response = await self._stub.Check(
                health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS
            )
        except ServiceError:
            return False
        return response.status == health_pb2.HealthCheckResponse.SERVING
