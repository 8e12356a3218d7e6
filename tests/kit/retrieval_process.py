"""The retrieval service as a process of its own, to be killed and starved."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from tests.kit.ports import free_port
from tests.kit.retrieval import scope

ROOT = Path(__file__).parents[2]


@dataclass
class RetrievalProcess:
    """A running process and its stub."""

    process: Process
    stub: Any
    log: Path


@contextlib.asynccontextmanager
async def retrieval_process(
    folder: Path, *, failing_sync: Path | None = None, **settings: object
) -> AsyncIterator[RetrievalProcess]:
    """Runs `python -m services.retrieval` over a data directory until the block ends.

    Args:
        folder: The data directory.
        failing_sync: While this file exists, no sync of the database succeeds.
        settings: Further settings by their names in the settings class.
    """
    port = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")},
        "CAIRN_RETRIEVAL_PORT": str(port),
        "CAIRN_RETRIEVAL_METRICS_PORT": "0",
        "CAIRN_RETRIEVAL_DATA_DIR": str(folder),
        "CAIRN_RETRIEVAL_DRAIN_DELAY_SECONDS": "0",
        "CAIRN_RETRIEVAL_DISK_RESERVE_BYTES": "0",
        **{f"CAIRN_RETRIEVAL_{key.upper()}": str(value) for key, value in settings.items()},
    }
    command = ["-m", "services.retrieval"]
    if failing_sync is not None:
        command = ["-m", "tests.kit.failing_sync", str(failing_sync), "services.retrieval"]
    log = folder.parent / f"{folder.name}-{port}.log"
    with log.open("wb") as stderr:
        running = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=ROOT, env=environment, stderr=stderr
        )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = rpc.RetrievalServiceStub(channel)
            await _wait_until_served(running, stub, log)
            yield RetrievalProcess(running, stub, log)
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


async def _wait_until_served(process: Process, stub: Any, log: Path) -> None:
    request = pb.ListCollectionsRequest(scope=scope())
    served = asyncio.ensure_future(stub.ListCollections(request, wait_for_ready=True, timeout=60))
    ended = asyncio.ensure_future(process.wait())
    await asyncio.wait((served, ended), return_when=asyncio.FIRST_COMPLETED)
    if not served.done():
        served.cancel()
        raise AssertionError(f"the service ended: {log.read_text()[-2000:]}")
    ended.cancel()
    await served
