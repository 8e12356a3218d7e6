"""The echo service as a process of its own: `python -m tests.kit.echo_process`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

from services.rpc.logs import configure_logging
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry
from tests.kit.echo import SERVICE, Echo
from tests.kit.grpc_server import RpcTestSettings


class EchoProcessSettings(RpcTestSettings):
    """Settings of the process."""

    startup_seconds: float = 0.0
    """Time that pretends to be the loading of a model."""


async def answer(text: str) -> AsyncIterator[str]:
    """Echoes; "hang" takes for ever."""
    yield text
    if text == "hang":
        await asyncio.sleep(3600)


async def main() -> None:
    """Serves until a signal comes."""
    settings = load_settings(EchoProcessSettings)
    configure_logging("echo", settings.log_level)
    telemetry = start_telemetry("echo", settings)
    serve_metrics(settings.host, settings.metrics_port)
    server = RpcServer(settings, telemetry, service_names=[SERVICE])
    Echo(answer).register(server.grpc)
    await server.start()
    await asyncio.sleep(settings.startup_seconds)
    server.set_ready(True)
    await server.wait_for_signal_then_drain()
    telemetry.shutdown()


if __name__ == "__main__":
    sys.exit(run_service(main()))
