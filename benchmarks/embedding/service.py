"""Our service as a process, and what clients ask of it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc.aio
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.embedding.processes import Measured, free_port, process

SCOPE = scope_pb2.Scope(tenant="bench")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    measured: Measured
    stub: rpc.EmbeddingServiceStub
    seconds_to_ready: float

    async def embed(self, texts: Sequence[str], lane: pb.Lane | None = None) -> None:
        """Embeds texts in one call: one text as a query, several as bulk work."""
        usual = pb.LANE_INTERACTIVE if len(texts) == 1 else pb.LANE_BULK
        options = pb.EmbedOptions(lane=lane or usual)
        request = pb.EmbedRequest(scope=SCOPE, texts=texts, options=options)
        await self.stub.Embed(request, timeout=300)


@contextlib.asynccontextmanager
async def service(threads: int, **settings: str) -> AsyncIterator[Service]:
    """Starts the service, waits until it is ready, and stops it at the end."""
    port = free_port()
    wanted = {
        "PORT": str(port),
        "METRICS_PORT": str(free_port()),
        "THREADS": str(threads),
        "LOG_LEVEL": "error",
        "DRAIN_DELAY_SECONDS": "0",
        **settings,
    }
    environment = {f"CAIRN_EMBEDDING_{name}": value for name, value in wanted.items()}
    started = time.perf_counter()
    command = [sys.executable, "-m", "services.embedding"]
    async with (
        process(command, environment) as measured,
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(  # pyright: ignore[reportAttributeAccessIssue]
            health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=120
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()
        ready = time.perf_counter() - started
        yield Service(measured, rpc.EmbeddingServiceStub(channel), ready)
