"""kill -9 while views close, merge, rebuild and save their parts, and while snapshots are written."""

from __future__ import annotations

import asyncio
import random
import time

import grpc
import psutil
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from tests.kit.retrieval import DIMENSIONS, direction, document, scope
from tests.kit.retrieval_process import retrieval_process

FULL = [pytest.mark.long, pytest.mark.timeout(1800)]
SETTINGS = {"graph_rows": 100, "poll_seconds": 0.01}
"""Views of a hundred rows close and merge them; from a thousand on their files are saved."""


def made(number: int, version: int, chunks: int = 40):
    """A document whose chunks say which version it is."""
    texts = [f"document{number} version{version} part{n}" for n in range(chunks)]
    vectors = [direction(number * 100_000 + version * 100 + n) for n in range(chunks)]
    return document(f"d{number}", texts, vectors=vectors, n=version)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "rounds"),
    [(1, 3), *(pytest.param(seed, 40, marks=FULL) for seed in range(2, 7))],
)
async def test_views_and_snapshots_survive_kill_9(tmp_path, seed, rounds):
    rng = random.Random(seed)
    acked: dict[int, int] = {}
    maybe: dict[int, int] = {}
    folder = tmp_path / "data"
    async with retrieval_process(folder, **SETTINGS) as running:
        settings = pb.CollectionSettings(dimensions=DIMENSIONS)
        request = pb.CreateCollectionRequest(scope=scope(), name="docs", settings=settings)
        await running.stub.CreateCollection(request)

    async def write(stub, worker: int) -> None:
        while True:
            number = worker * 10 + rng.randint(0, 9)
            version = max(acked.get(number, 0), maybe.get(number, 0)) + 1
            maybe[number] = version
            if rng.random() < 0.1:
                ids = [f"d{number}"]
                await stub.Delete(
                    pb.DeleteRequest(scope=scope(), collection="docs", document_ids=ids)
                )
                maybe.pop(number)
                acked[number] = 0
                continue
            await stub.Upsert(
                pb.UpsertRequest(
                    scope=scope(), collection="docs", documents=[made(number, version)]
                )
            )
            acked[number] = maybe.pop(number)

    async def snapshot(stub) -> None:
        while True:
            try:
                await stub.CreateSnapshot(
                    pb.CreateSnapshotRequest(scope=scope(), collection="docs")
                )
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.1)

    for _ in range(rounds):
        async with retrieval_process(folder, **SETTINGS) as running:
            await verify(running.stub, acked, maybe)
            maybe.clear()
            work = [asyncio.ensure_future(write(running.stub, n)) for n in range(4)]
            work.append(asyncio.ensure_future(snapshot(running.stub)))
            await asyncio.sleep(1.0 + 2.0 * rng.random())
            running.process.kill()
            await running.process.wait()
            results = await asyncio.gather(*work, return_exceptions=True)
            assert all(isinstance(each, grpc.aio.AioRpcError) for each in results), results
        await no_builder_lives(folder)
    async with retrieval_process(folder, **SETTINGS) as running:
        await verify(running.stub, acked, maybe)
        views = list((folder / "retrieval" / "views").glob("replica-*"))
        assert [each.name for each in views] == ["replica-0"]


async def verify(stub, acked: dict[int, int], maybe: dict[int, int]) -> None:
    """Holds search and count against what was acknowledged."""
    names = [f"d{number}" for number in {**acked, **maybe}]
    if not names:
        return
    response = await stub.GetDocuments(
        pb.GetDocumentsRequest(scope=scope(), collection="docs", document_ids=names), timeout=30
    )
    found = {
        int(each.document_id[1:]): int(each.metadata["n"].integer) for each in response.documents
    }
    for number, version in maybe.items():
        # Not acknowledged: the new version, no document, or what was there before.
        assert found.get(number, 0) in {version, 0, acked.get(number, 0)}, number
        acked[number] = found.get(number, 0)
    assert found == {number: version for number, version in acked.items() if version}
    for number, version in list(acked.items())[:20]:
        query = pb.Query(vector=made(number, max(version, 1)).chunks[3].vector)
        response = await stub.Search(
            pb.SearchRequest(
                scope=scope(),
                collection="docs",
                query=query,
                options=pb.SearchOptions(mode=pb.SEARCH_MODE_DENSE, top_k=1),
            ),
            timeout=30,
        )
        best = response.passages[0] if response.passages else None
        if version:
            assert best is not None
            assert best.passage.text == f"document{number} version{version} part3"
        elif best is not None:
            assert best.passage.document_id != f"d{number}"


async def no_builder_lives(folder) -> None:
    """Builders end with the process that started them."""

    def builders() -> list[psutil.Process]:
        return [
            each
            for each in psutil.process_iter(["cmdline"])
            if str(folder) in " ".join(each.info["cmdline"] or ())
            and "snapshots.builder" in " ".join(each.info["cmdline"] or ())
        ]

    give_up = time.monotonic() + 10
    while builders():
        assert time.monotonic() < give_up
        await asyncio.sleep(0.05)
