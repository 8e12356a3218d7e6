"""The real gateway over fake services: real HTTP, real gRPC, real SQL."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.gateway.__main__ import GatewayServer, gateway
from services.gateway.settings import GatewaySettings
from services.rpc.telemetry import Telemetry, start_telemetry
from tests.kit.downstream import Downstream, running_downstream


@dataclass
class RunningGateway:
    """A gateway, its key and what is behind it."""

    server: GatewayServer
    down: Downstream
    key: str
    settings: GatewaySettings

    @property
    def url(self) -> str:
        """Base URL of its HTTP."""
        return f"http://127.0.0.1:{self.server.http.port}"

    @property
    def grpc_target(self) -> str:
        """Address of its gRPC."""
        return f"127.0.0.1:{self.server.port}"

    def client(self, key: str | None = "", **options: Any) -> httpx.AsyncClient:
        """An HTTP client with a key: the admin's unless said, none for None."""
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.key}"}
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=20, trust_env=False, **options
        )

    async def make_key(self, **body: Any) -> str:
        """Returns a fresh key."""
        async with self.client() as client:
            response = await client.post("/v1/keys", json={"name": "test", **body})
        assert response.status_code == 201, response.text
        return response.json()["secret"]


@contextlib.asynccontextmanager
async def running_gateway(
    folder: Path,
    *,
    down: Downstream | None = None,
    telemetry: Telemetry | None = None,
    **options: Any,
) -> AsyncIterator[RunningGateway]:
    """Runs a gateway, with services of its own unless some are given, and waits until it is ready."""
    async with contextlib.AsyncExitStack() as stack:
        down = down or await stack.enter_async_context(running_downstream())
        settings = GatewaySettings(
            **{
                "port": 0,
                "metrics_port": 0,
                "http_port": 0,
                "data_dir": folder,
                "drain_delay_seconds": 0.0,
                "grace_seconds": 2.0,
                **{f"{name}_target": target for name, target in down.targets.items()},
                **options,
            }
        )
        own = telemetry or start_telemetry("gateway", settings, keeps_recent=True)
        try:
            server = await stack.enter_async_context(gateway(settings, own))
            key = (folder / "gateway" / "admin.key").read_text().strip()
            running = RunningGateway(server, down, key, settings)
            async with running.client(None) as client:
                while (await client.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.02)
            yield running
        finally:
            await stack.aclose()
            if telemetry is None:
                await asyncio.to_thread(own.shutdown)
