"""kill -9 of the real process during upserts, deletes, merges of segments and snapshots.

What was acknowledged is there, nothing is there by half, nothing deleted comes back, and the view that
the next process makes of its files and the log is the truth's own.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
from collections import deque

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from tests.kit.retrieval import DIMENSIONS, document, scope
from tests.kit.retrieval_process import retrieval_process

SETTINGS = {"graph_rows": 100, "max_snapshots": 1000}
"""Segments are closed every hundred rows, so that merges are always under way."""
FULL = [pytest.mark.long, pytest.mark.timeout(1800)]


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
    made: list[str] = []
    """Snapshots that were acknowledged."""
    folder = tmp_path / "data"
    folder.mkdir()
    async with retrieval_process(folder, **SETTINGS) as service:
        await service.stub.CreateCollection(
            pb.CreateCollectionRequest(
                scope=scope(),
                name="docs",
                settings=pb.CollectionSettings(dimensions=DIMENSIONS),
            )
        )
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(service.process.wait(), 60) == 0

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
        async with retrieval_process(folder, **SETTINGS) as service:
            await verify(service.stub, acked, maybe)
            maybe.clear()
            if round_number % 4 == 0:
                made.append(await take_snapshot(service.stub))
            versions: dict[str, int] = {}
            work = [
                write(service.stub, worker + 10 * round_number, versions) for worker in range(6)
            ]
            work += [snapshot(service.stub, made), optimize(service.stub)]
            work.append(stream(service.stub, rng, acked, maybe))
            tasks = [asyncio.ensure_future(each) for each in work]
            await asyncio.sleep(0.3 + rng.random() * 0.7)
            service.process.kill()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(each, grpc.aio.AioRpcError) for each in results), results
    assert len(acked) > 30
    async with retrieval_process(folder, **SETTINGS) as service:
        await verify(service.stub, acked, maybe)
        listed = await service.stub.ListSnapshots(
            pb.ListSnapshotsRequest(scope=scope(), collection="docs")
        )
        assert made[-1] in {each.snapshot_id for each in listed.snapshots}


async def stream(stub, rng: random.Random, acked: dict[str, int | None], maybe: set[str]) -> None:
    """Writes a flow of documents that nobody deletes; some come again while they are under way."""
    sent: deque[str] = deque()

    async def flow():
        for batch in itertools.count():
            number = rng.randint(0, 30)
            sent.append(f"s{number}")
            maybe.add(sent[-1])
            new = document(sent[-1], texts(number, batch))
            request = pb.UpsertRequest(scope=scope(), collection="docs", documents=[new])
            yield pb.UpsertStreamRequest(batch_id=batch, request=request)
            await asyncio.sleep(0.005)

    async for ack in stub.UpsertStream(flow()):
        name = sent.popleft()
        acked[name] = ack.response.versions[0]
        if name not in sent:
            maybe.discard(name)


async def snapshot(stub, made: list[str]) -> None:
    """Takes snapshots, one after the other."""
    while True:
        made.append(await take_snapshot(stub))
        await asyncio.sleep(0.1)


async def take_snapshot(stub) -> str:
    response = await stub.CreateSnapshot(pb.CreateSnapshotRequest(scope=scope(), collection="docs"))
    return response.snapshot.snapshot_id


async def optimize(stub) -> None:
    """Has the segments merged, again and again."""
    while True:
        async for _ in stub.OptimizeCollection(
            pb.OptimizeCollectionRequest(scope=scope(), name="docs")
        ):
            pass
        await asyncio.sleep(0.05)


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
        version = found[name].version if name in found else None
        if name.startswith("s"):
            assert (version or 0) >= (acked.get(name) or 0), name
        acked[name] = version
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
    checked = await stub.CheckCollection(
        pb.CheckCollectionRequest(scope=scope(), name="docs"), timeout=20
    )
    assert checked.check.is_consistent, checked
