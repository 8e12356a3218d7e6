"""kill -9 of the real process during writes: what was acknowledged is there, nothing is there by half."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
from pathlib import Path

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from tests.kit.retrieval import DIMENSIONS, document, scope

FULL = [pytest.mark.long, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.asynccontextmanager
async def process(folder: Path):
    """Runs `python -m services.retrieval`; yields it with a stub once it serves."""
    port = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("CAIRN_")},
        "CAIRN_RETRIEVAL_PORT": str(port),
        "CAIRN_RETRIEVAL_METRICS_PORT": "0",
        "CAIRN_RETRIEVAL_DATA_DIR": str(folder),
        "CAIRN_RETRIEVAL_DRAIN_DELAY_SECONDS": "0",
    }
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.retrieval",
        cwd=ROOT,
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = rpc.RetrievalServiceStub(channel)
            request = pb.ListCollectionsRequest(scope=scope())
            await stub.ListCollections(request, wait_for_ready=True, timeout=30)
            yield running, stub
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()


def texts(number: int, version: int) -> list[str]:
    return [f"document{number} version{version} part{n}" for n in range(1 + number % 4)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(11, 4), *(pytest.param(seed, 40, marks=FULL) for seed in range(12, 17))],
)
async def test_acknowledged_writes_survive_kill_9(tmp_path, seed, rounds):
    rng = random.Random(seed)
    acked: dict[str, int | None] = {}
    """Version each document is known to have; None: deleted."""
    maybe: set[str] = set()
    """Documents whose last write was not acknowledged: both states are right."""
    async with process(tmp_path) as (running, stub):
        await stub.CreateCollection(
            pb.CreateCollectionRequest(
                scope=scope(),
                name="docs",
                settings=pb.CollectionSettings(dimensions=DIMENSIONS),
            )
        )
        running.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(running.wait(), 20) == 0

    async def write(stub, worker: int, versions: dict[str, int]) -> None:
        while True:
            number = worker * 100 + rng.randint(0, 15)
            name = f"d{number}"
            maybe.add(name)
            if rng.random() < 0.2:
                await stub.Delete(
                    pb.DeleteRequest(scope=scope(), collection="docs", document_ids=[name])
                )
                acked[name] = None
            else:
                versions[name] = versions.get(name, 0) + 1
                response = await stub.Upsert(
                    pb.UpsertRequest(
                        scope=scope(),
                        collection="docs",
                        documents=[document(name, texts(number, versions[name]))],
                    )
                )
                acked[name] = response.versions[0]
            maybe.discard(name)

    for round_number in range(rounds):
        async with process(tmp_path) as (running, stub):
            await verify(stub, acked, maybe)
            maybe.clear()
            versions: dict[str, int] = {}
            writers = [
                asyncio.ensure_future(write(stub, worker + 10 * round_number, versions))
                for worker in range(6)
            ]
            await asyncio.sleep(0.3 + rng.random() * 0.5)
            running.kill()
            results = await asyncio.gather(*writers, return_exceptions=True)
            assert all(isinstance(each, grpc.aio.AioRpcError) for each in results)
    assert len(acked) > 30
    async with process(tmp_path) as (_, stub):
        await verify(stub, acked, maybe)


async def verify(stub, acked: dict[str, int | None], maybe: set[str]) -> None:
    """Compares documents, chunks and search with what was acknowledged."""
    names = sorted({*acked, *maybe})
    if not names:
        return
    found = {}
    for first in range(0, len(names), 500):
        response = await stub.GetDocuments(
            pb.GetDocumentsRequest(
                scope=scope(),
                collection="docs",
                document_ids=names[first : first + 500],
                include_chunks=True,
            ),
            timeout=20,
        )
        found |= {each.document_id: each for each in response.documents}
    for name in maybe:
        acked[name] = found[name].version if name in found else None
    for name, version in acked.items():
        assert (name in found) == (version is not None), name
        if version is not None:
            assert found[name].version == version
    for each in found.values():
        parts = [each.text[chunk.start : chunk.end] for chunk in each.chunks]
        assert parts == each.text.split("\n")
        assert len(parts) == 1 + int(each.document_id[1:]) % 4
    passages = []
    token = ""
    while True:
        page = await stub.Scroll(
            pb.ScrollRequest(
                scope=scope(),
                collection="docs",
                unit=pb.SCROLL_UNIT_CHUNK,
                page_size=1000,
                page_token=token,
            ),
            timeout=20,
        )
        passages += [(each.document_id, each.text) for each in page.passages]
        token = page.next_page_token
        if not token:
            break
    expected = sorted(
        (each.document_id, text) for each in found.values() for text in each.text.split("\n")
    )
    assert sorted(passages) == expected
