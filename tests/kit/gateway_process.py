"""The gateway in processes of its own, to be killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.kit.downstream import Downstream

_START_SECONDS = 60.0


@dataclass(slots=True)
class GatewayProcess:
    """A running gateway."""

    process: asyncio.subprocess.Process
    http_port: int
    folder: Path

    def client(self, key: str) -> httpx.AsyncClient:
        """An HTTP client with a key."""
        return httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{self.http_port}",
            headers={"authorization": f"Bearer {key}"},
            timeout=30,
            trust_env=False,
        )

    async def kill(self) -> None:
        """Ends it as the kernel does, at once."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@contextlib.asynccontextmanager
async def gateway_process(
    folder: Path, down: Downstream, **options: object
) -> AsyncIterator[GatewayProcess]:
    """Runs a gateway while the block runs, and waits until it is ready."""
    settings = {
        "port": 0,
        "http_port": 0,
        "metrics_port": 0,
        "data_dir": folder,
        "drain_delay_seconds": 0,
        "grace_seconds": 2,
        **{f"{name}_target": target for name, target in down.targets.items()},
        **options,
    }
    env = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    env |= {f"CAIRN_GATEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.gateway",
        env=env,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(_START_SECONDS):
            http_port = await _http_port(process.stderr)
            # A full pipe would stop the gateway.
            reading = asyncio.create_task(_drop(process.stderr))
            running = GatewayProcess(process, http_port, folder)
            async with running.client("none") as client:
                while (await client.get("/readyz")).status_code != 200:
                    await asyncio.sleep(0.05)
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if reading is not None:
            await reading


async def _http_port(lines: asyncio.StreamReader) -> int:
    while line := await lines.readline():
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "listening for http":
            return event["port"]
    raise AssertionError("the gateway ended")


async def _drop(lines: asyncio.StreamReader) -> None:
    while await lines.read(65_536):
        pass
