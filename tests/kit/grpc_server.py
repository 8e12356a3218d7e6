"""Runs any servicer behind the real `RpcServer`, on a free port of this machine."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc

from services.rpc.server import RpcServer
from services.rpc.settings import Port, ServiceSettings, settings_config
from services.rpc.telemetry import Telemetry, start_telemetry


class RpcTestSettings(ServiceSettings):
    """Settings of a server under test: free ports, no delays."""

    model_config = settings_config("CAIRN_TEST_")

    port: Port = 0
    metrics_port: Port = 0
    drain_delay_seconds: float = 0.0
    grace_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Served:
    """A running server."""

    server: RpcServer
    port: int

    @property
    def target(self) -> str:
        """Where clients find it."""
        return f"127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def serve(
    register: Callable[[grpc.aio.Server], Any],
    *,
    service_names: Sequence[str] = (),
    telemetry: Telemetry | None = None,
    settings: ServiceSettings | None = None,
    callers: Sequence[str] | None = None,
    extra_interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    is_ready: bool = True,
) -> AsyncIterator[Served]:
    """Runs a server for the block.

    Args:
        register: Adds the servicer: `lambda server: add_XServicer_to_server(servicer, server)`.
        service_names: For health and reflection.
        telemetry: The server's; one without export is made if there is none.
        settings: The server's.
        callers: As for `RpcServer`.
        extra_interceptors: As for `RpcServer`.
        is_ready: Whether health says "serving" at once.
    """
    settings = settings or RpcTestSettings()
    own = start_telemetry("test", settings) if telemetry is None else None
    server = RpcServer(
        settings,
        telemetry or own,
        service_names=service_names,
        callers=callers,
        extra_interceptors=extra_interceptors,
    )
    register(server.grpc)
    port = await server.start()
    server.set_ready(is_ready)
    try:
        yield Served(server, port)
    finally:
        await server.stop()
        if own is not None:
            await asyncio.to_thread(own.shutdown)
