"""The real retrieval process: started, filled, asked over gRPC, its CPU time and memory read."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc.aio
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc
from cairn.types.v1 import metadata_pb2, scope_pb2, vector_pb2

from benchmarks.retrieval.workers import ROOT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLLECTION = "bench"
SCOPE = scope_pb2.Scope(tenant="bench", principals=["everyone"], actor="service:bench")
BATCH = 256
_TICKS = os.sysconf("SC_CLK_TCK")
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_TEXT = "A passage of the benchmark, as long as a sentence is, about row "


class Service:
    """A running process.

    Args:
        folder: Its data directory, which stays.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: asyncio.subprocess.Process | None = None
        self._channel: grpc.aio.Channel | None = None
        self.stub: Any = None
        self.target = ""
        """Where it listens."""
        self.started_at = 0.0

    async def start(self) -> None:
        """Starts the process and connects; it may not be ready yet."""
        port = _free_port()
        settings = {
            "CAIRN_RETRIEVAL_PORT": str(port),
            "CAIRN_RETRIEVAL_METRICS_PORT": "0",
            "CAIRN_RETRIEVAL_DATA_DIR": str(self._folder),
            "CAIRN_RETRIEVAL_DRAIN_DELAY_SECONDS": "0",
            "CAIRN_RETRIEVAL_LOG_LEVEL": "warning",
            "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}",
        }
        self.started_at = time.perf_counter()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.retrieval", env=os.environ | settings, cwd=ROOT,
            stdout=sys.stderr,
        )  # fmt: skip
        self.target = f"127.0.0.1:{port}"
        self._channel = grpc.aio.insecure_channel(self.target, options=OPTIONS)
        self.stub = rpc.RetrievalServiceStub(self._channel)

    async def stop(self) -> None:
        """Ends the process as an operator does."""
        if self._channel is not None:
            await self._channel.close()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), 60)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    async def answers(self, request: pb.SearchRequest, seconds: float = 300.0) -> float:
        """Waits for the first answer; returns the seconds since the start."""
        give_up = time.perf_counter() + seconds
        while True:
            try:
                await self.stub.Search(request, timeout=30)
            except grpc.aio.AioRpcError:
                if time.perf_counter() > give_up:
                    raise
                await asyncio.sleep(0.02)
            else:
                return time.perf_counter() - self.started_at

    async def connected(self) -> None:
        """Waits until calls are taken."""
        assert self._channel is not None, "started"
        await asyncio.wait_for(self._channel.channel_ready(), 60)

    async def settled(self, seconds: float = 120.0) -> None:
        """Waits until background work has ended: three quiet looks in a row."""
        quiet = 0
        give_up = time.perf_counter() + seconds
        while quiet < 3 and time.perf_counter() < give_up:
            before = self.cpu_seconds()
            await asyncio.sleep(0.7)
            quiet = quiet + 1 if self.cpu_seconds() - before < 0.08 else 0

    async def optimized(self) -> None:
        """Asks for the index to be built over all rows, and waits for it."""
        request = pb.OptimizeCollectionRequest(scope=SCOPE, name=COLLECTION)
        async for _ in self.stub.OptimizeCollection(request, timeout=600):
            pass

    def cpu_seconds(self) -> float:
        """Returns the CPU time of the process, its threads and its children."""
        return sum(_cpu(pid) for pid in self._pids())

    def own_cpu_seconds(self) -> float:
        """Returns the CPU time of the process alone, without builders beside it."""
        return _cpu(self.pid)

    def memory(self) -> dict[str, int]:
        """Returns the resident bytes by kind."""
        text = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return {
            name: int(fields[key].split()[0]) * 1024
            for name, key in (("anonymous", "RssAnon"), ("resident", "VmRSS"))
        }

    @property
    def pid(self) -> int:
        """Process id."""
        assert self._process is not None, "started"
        return self._process.pid

    def _pids(self) -> list[int]:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text("utf-8")
        return [self.pid, *map(int, children.split())]


@contextlib.asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Service]:
    """Yields a process that takes calls."""
    service = Service(folder)
    await service.start()
    try:
        await service.connected()
        yield service
    finally:
        await service.stop()


async def create(service: Service, dimensions: int) -> None:
    """Creates the collection."""
    await service.stub.CreateCollection(
        pb.CreateCollectionRequest(
            scope=SCOPE, name=COLLECTION, settings=pb.CollectionSettings(dimensions=dimensions)
        )
    )


def upserts(
    vectors: NDArray[np.float32], tags: Sequence[Sequence[str]], first: int = 0
) -> Iterator[pb.UpsertStreamRequest]:
    """Yields writes of 256 documents of one chunk each."""
    for start in range(0, len(vectors), BATCH):
        documents = [
            _document(first + row, vectors[row], tags[row])
            for row in range(start, min(start + BATCH, len(vectors)))
        ]
        request = pb.UpsertRequest(scope=SCOPE, collection=COLLECTION, documents=documents)
        yield pb.UpsertStreamRequest(batch_id=start, request=request)


def search(vector: NDArray[np.float32], tag: str = "", **options: Any) -> pb.SearchRequest:
    """Returns a search for ten chunks near a vector."""
    chosen = pb.SearchOptions(mode=pb.SEARCH_MODE_DENSE, top_k=10, **options)
    if tag:
        chosen.filter.CopyFrom(_tagged(tag))
    query = pb.Query(vector=_vector(vector))
    return pb.SearchRequest(scope=SCOPE, collection=COLLECTION, query=query, options=chosen)


def batch(vectors: NDArray[np.float32], tag: str = "", **options: Any) -> pb.BatchSearchRequest:
    """Returns one request with a query for each vector."""
    chosen = pb.SearchOptions(mode=pb.SEARCH_MODE_DENSE, top_k=10, **options)
    if tag:
        chosen.filter.CopyFrom(_tagged(tag))
    queries = [pb.Query(vector=_vector(each)) for each in vectors]
    return pb.BatchSearchRequest(
        scope=SCOPE, collection=COLLECTION, queries=queries, options=chosen
    )


def _document(row: int, vector: NDArray[np.float32], tags: Sequence[str]) -> pb.Document:
    text = f"{_TEXT}{row}."
    chunk = pb.Chunk(chunk_id="c0", start=0, end=len(text), vector=_vector(vector))
    metadata = {
        "tags": metadata_pb2.MetadataValue(tags=metadata_pb2.Tags(values=tags)),
        "row": metadata_pb2.MetadataValue(integer=row),
    }
    return pb.Document(document_id=f"d{row:07}", text=text, metadata=metadata, chunks=[chunk])


def _vector(vector: NDArray[np.float32]) -> vector_pb2.Vector:
    return vector_pb2.Vector(
        data=vector.astype("<f4", copy=False).tobytes(),
        element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
        dimensions=len(vector),
    )


def _tagged(tag: str) -> metadata_pb2.Filter:
    value = metadata_pb2.MetadataValue(keyword=tag)
    return metadata_pb2.Filter(equals=metadata_pb2.FieldValue(field="tags", value=value))


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _cpu(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
