"""The services that ingestion takes, as processes of their own over a fresh folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as ingestion_rpc
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 120.0
_CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", 256 << 20),
    ("grpc.max_send_message_length", 256 << 20),
]


@dataclass(frozen=True, slots=True)
class Suite:
    """What a benchmark talks to."""

    embedding: embedding_rpc.EmbeddingServiceStub
    retrieval: retrieval_rpc.RetrievalServiceStub
    ingestion: ingestion_rpc.IngestionServiceStub
    pids: dict[str, int]

    def cpu_seconds(self) -> dict[str, float]:
        """Returns the processor time that each process has taken, parsers included."""
        return {name: sum(map(_ticks, _family(pid))) / _TICKS for name, pid in self.pids.items()}


@contextlib.asynccontextmanager
async def running(workers: int = 1) -> AsyncIterator[Suite]:
    """Starts embedding, retrieval, the intake and its workers, laid out as `cairn up` does."""
    ports = _free_ports(6 + 2 * workers)
    peers = {
        "EMBEDDING_TARGET": f"127.0.0.1:{ports[0]}",
        "RETRIEVAL_TARGET": f"127.0.0.1:{ports[2]}",
    }
    with tempfile.TemporaryDirectory(prefix="cairn-bench-") as folder:
        async with contextlib.AsyncExitStack() as stack:

            async def start(name: str, service: str, first: int, **more: str) -> grpc.aio.Channel:
                settings = {
                    "PORT": str(ports[first]),
                    "METRICS_PORT": str(ports[first + 1]),
                    "DATA_DIR": folder,
                    "LOG_LEVEL": "error",
                    "DRAIN_DELAY_SECONDS": "0",
                    "GRACE_SECONDS": "1",
                    **more,
                }
                pids[name] = await stack.enter_async_context(_process(service, settings))
                channel = grpc.aio.insecure_channel(
                    f"127.0.0.1:{ports[first]}", options=_CHANNEL_OPTIONS
                )
                return await stack.enter_async_context(channel)

            pids: dict[str, int] = {}
            embedding = await start("embedding", "embedding", 0)
            retrieval = await start("retrieval", "retrieval", 2)
            role = {"ROLE": "api" if workers else "all"}
            ingestion = await start("ingestion", "ingestion", 4, **role, **peers)
            channels = [embedding, retrieval, ingestion]
            for number in range(workers):
                name, first = f"worker {number + 1}", 6 + 2 * number
                channels.append(await start(name, "ingestion", first, ROLE="worker", **peers))
            await asyncio.gather(*map(_serving, channels))
            yield Suite(
                embedding_rpc.EmbeddingServiceStub(embedding),
                retrieval_rpc.RetrievalServiceStub(retrieval),
                ingestion_rpc.IngestionServiceStub(ingestion),
                pids,
            )


@contextlib.asynccontextmanager
async def _process(service: str, settings: dict[str, str]) -> AsyncIterator[int]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    given = {f"CAIRN_{service.upper()}_{name}": value for name, value in settings.items()}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"services.{service}", env=kept | given | {"HF_HUB_OFFLINE": "1"}
    )
    try:
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _serving(channel: grpc.aio.Channel) -> None:
    health: Any = health_pb2_grpc.HealthStub(channel)
    request = health_pb2.HealthCheckRequest()
    watch = health.Watch(request, wait_for_ready=True, timeout=_START_SECONDS)
    async for answer in watch:
        if answer.status == health_pb2.HealthCheckResponse.SERVING:
            break
    watch.cancel()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return [pid, *(int(child) for child in children)]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return sum(map(int, fields[11:15]))
