"""All processes that ingestion takes, real ones, started again whenever they die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as ingestion_rpc
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc

from services.rpc.channel import open_channel
from tests.kit.grpc_server import serve
from tests.kit.ports import free_port
from tests.kit.tiny_bert import tiny_bert_folder

ROOT = Path(__file__).parents[2]
_RESTART_SECONDS = 0.1


class CountingEmbedding(embedding_rpc.EmbeddingServiceServicer):
    """Hands everything on to the real service and counts the texts whose vectors were answered."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self.answered: Counter[str] = Counter()
        self.repeated_calls = 0
        """Answers in which a text came that had been answered before."""

    async def Embed(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        answer = await self._stub.Embed(request, timeout=context.time_remaining())
        self.repeated_calls += any(self.answered[text] for text in request.texts)
        self.answered.update(request.texts)
        return answer

    async def CountTokens(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._stub.CountTokens(request, timeout=context.time_remaining())

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self._stub.ListModels(request, timeout=context.time_remaining())

    @property
    def repeated_texts(self) -> int:
        """Texts that were embedded again."""
        return sum(count - 1 for count in self.answered.values())


class Fleet:
    """The processes by name."""

    def __init__(self) -> None:
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._keepers: set[asyncio.Task[None]] = set()
        self.deaths: Counter[str] = Counter()

    def keep(
        self, name: str, command: list[str], environment: Callable[[], Mapping[str, str]]
    ) -> None:
        """Starts a process, and again whenever it ends, each time in the environment of then."""
        task = asyncio.create_task(self._keep(name, command, environment))
        self._keepers.add(task)

    async def _keep(
        self, name: str, command: list[str], environment: Callable[[], Mapping[str, str]]
    ) -> None:
        while True:
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment())
            self._processes[name] = process
            await process.wait()
            self.deaths[name] += 1
            await asyncio.sleep(_RESTART_SECONDS)

    async def kill(self, name: str) -> None:
        """Kills a process with -9; the keeper starts it again."""
        before = self.deaths[name]
        self._signal(name, signal.SIGKILL)
        while self.deaths[name] == before:
            await asyncio.sleep(0.01)

    async def freeze(self, name: str, seconds: float) -> None:
        """Stops a process for so long."""
        self._signal(name, signal.SIGSTOP)
        await asyncio.sleep(seconds)
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, KeyError):
            self._processes[name].send_signal(number)

    async def close(self) -> None:
        """Ends all."""
        for task in self._keepers:
            task.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


class World:
    """The fleet, its stubs and what was counted."""

    def __init__(self, fleet: Fleet, counting: CountingEmbedding) -> None:
        self.fleet = fleet
        self.counting = counting
        self.ingestion: Any = None
        self.retrieval: Any = None
        self.failpoints: deque[str] = deque()
        """Where the next workers that start are to die, one after the other."""

    def doomed(self) -> dict[str, str]:
        """Settings of a worker that starts now."""
        place = f"{self.failpoints.popleft()}:crash" if self.failpoints else ""
        return {"CAIRN_INGESTION_ROLE": "worker", "CAIRN_INGESTION_FAILPOINT": place}


@contextlib.asynccontextmanager
async def running_fleet(
    folder: Path,
    database_url: str,
    valkey_url: str,
    *,
    lease_seconds: float,
    failpoints: Sequence[str] = (),
) -> AsyncIterator[World]:
    """Starts embedding, retrieval, the intake, two workers that are doomed, and one that is not.

    Args:
        folder: Where they keep what they keep.
        database_url: The jobs' database.
        valkey_url: Wakes the workers.
        lease_seconds: How long a job stays with a worker that gives no sign of life.
        failpoints: Where the doomed workers die; after the last they live.
    """
    model = tiny_bert_folder(
        folder / "model", max_tokens=256, config={"max_position_embeddings": 300}
    )
    ports = {name: free_port() for name in ("embedding", "retrieval", "api")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CAIRN_")}
    common = kept | {
        f"CAIRN_{service}_{name}": value
        for service in ("EMBEDDING", "RETRIEVAL", "INGESTION")
        for name, value in {
            "METRICS_PORT": "0",
            "DATA_DIR": str(folder),
            "DRAIN_DELAY_SECONDS": "0",
            "LOG_LEVEL": "error",
        }.items()
    }
    common |= {
        "CAIRN_EMBEDDING_PORT": str(ports["embedding"]),
        "CAIRN_EMBEDDING_MODEL": str(model),
        "CAIRN_EMBEDDING_THREADS": "1",
        "CAIRN_RETRIEVAL_PORT": str(ports["retrieval"]),
        "HF_HUB_OFFLINE": "1",
    }
    fleet = Fleet()
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(fleet.close)
        real = await stack.enter_async_context(open_channel(f"127.0.0.1:{ports['embedding']}"))
        counting = CountingEmbedding(embedding_rpc.EmbeddingServiceStub(real))
        counter = await stack.enter_async_context(
            serve(lambda s: embedding_rpc.add_EmbeddingServiceServicer_to_server(counting, s))
        )
        common |= {
            "CAIRN_INGESTION_PORT": "0",
            "CAIRN_INGESTION_DATABASE_URL": database_url,
            "CAIRN_INGESTION_VALKEY_URL": valkey_url,
            "CAIRN_INGESTION_EMBEDDING_TARGET": counter.target,
            "CAIRN_INGESTION_RETRIEVAL_TARGET": f"127.0.0.1:{ports['retrieval']}",
            "CAIRN_INGESTION_LEASE_SECONDS": str(lease_seconds),
            "CAIRN_INGESTION_POLL_SECONDS": "0.2",
            "CAIRN_INGESTION_WORKER_CONCURRENCY": "16",
        }
        world = World(fleet, counting)
        world.failpoints.extend(failpoints)
        python = [sys.executable, "-m"]
        fleet.keep("embedding", [*python, "services.embedding"], lambda: common)
        fleet.keep("retrieval", [*python, "services.retrieval"], lambda: common)
        api = {"CAIRN_INGESTION_ROLE": "api", "CAIRN_INGESTION_PORT": str(ports["api"])}
        ingestion = [*python, "services.ingestion"]
        fleet.keep("api", ingestion, lambda: common | api)
        fleet.keep("worker0", ingestion, lambda: common | world.doomed())
        fleet.keep("worker1", ingestion, lambda: common | world.doomed())
        fleet.keep("steady", ingestion, lambda: common | {"CAIRN_INGESTION_ROLE": "worker"})
        channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{ports['api']}"))
        world.ingestion = ingestion_rpc.IngestionServiceStub(channel)
        found = await stack.enter_async_context(open_channel(f"127.0.0.1:{ports['retrieval']}"))
        world.retrieval = retrieval_rpc.RetrievalServiceStub(found)
        yield world
