"""The process is killed with -9 while it goes through a source: nothing is lost, nothing doubled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc
from google.protobuf.duration_pb2 import Duration

from services.ingestion.failpoint import Failpoint
from services.rpc.channel import open_channel
from tests.faults.test_ingestion_crashes import SCOPE, World, new_world
from tests.kit.ports import free_port
from tests.kit.s3_server import s3_server
from tests.kit.web_server import Page, web_server

COUNT = 30
PLACES = ("sync-submitted", "sync-remembered", "sync-deleted")
"""In this order: what is remembered is not submitted again."""
CHANGED, GONE, ADDED = 3, 7, COUNT
"""Items of the second look: one is another, one is not there any more, one is new."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where items come from, and how they change there."""

    source: pb.Source
    settings: dict[str, str]
    write: Callable[[int, str], None]
    remove: Callable[[int], None]
    paths: Callable[[int], str]


@contextlib.contextmanager
def folder(tmp_path: Path):
    root = tmp_path / "documents"
    root.mkdir()
    source = pb.Source(kind=pb.SOURCE_KIND_FOLDER, location=str(root))

    def path(number: int) -> Path:
        return root / f"{number:03}.md"

    yield Origin(
        source,
        {"SOURCE_FOLDERS": str(root)},
        lambda number, text: path(number).write_text(text),
        lambda number: path(number).unlink(),
        lambda number: path(number).name,
    )


@contextlib.contextmanager
def addresses(_: Path):
    with web_server() as server:

        def write(number: int, text: str) -> None:
            server.pages[f"/{number:03}.md"] = Page(text.encode())

        urls = [f"{server.url}/{number:03}.md" for number in range(COUNT + 1)]
        yield Origin(
            pb.Source(kind=pb.SOURCE_KIND_URL, urls=urls),
            {"URL_INTERNAL_HOSTS": "127.0.0.1"},
            write,
            lambda number: server.pages.pop(f"/{number:03}.md"),
            lambda number: urls[number],
        )


@contextlib.contextmanager
def bucket(_: Path):
    pytest.importorskip("s3fs", reason="the s3 extra is not installed")
    with s3_server() as server:
        keys = {"key": "k", "secret": "s", "endpoint_url": server.url}
        yield Origin(
            pb.Source(
                kind=pb.SOURCE_KIND_OBJECT_STORE, location="s3://stones/docs", credentials="own"
            ),
            {"SOURCE_CREDENTIALS": json.dumps({"own": keys})},
            lambda number, text: server.objects.update(
                {f"stones/docs/{number:03}.md": text.encode()}
            ),
            lambda number: server.objects.pop(f"stones/docs/{number:03}.md"),
            lambda number: f"{number:03}.md",
        )


async def serve_until_ready(world: World, stack: contextlib.AsyncExitStack, **settings: str) -> Any:
    """Starts the whole service in one process; returns it and its stub."""
    port = free_port()
    process = await world.start("all", port, **settings)
    channel = await stack.enter_async_context(open_channel(f"127.0.0.1:{port}"))
    stub: Any = rpc.IngestionServiceStub(channel)
    async with asyncio.timeout(60):
        while process.returncode is None:
            with contextlib.suppress(Exception):
                await stub.GetQueueStats(pb.GetQueueStatsRequest(scope=SCOPE), timeout=1)
                break
            await asyncio.sleep(0.1)
    return process, stub


async def settled(stub: Any, wanted: set[str]) -> None:
    """Waits until a synchronisation without failures has seen exactly these, and they are ready."""
    request = pb.ListSourceItemsRequest(scope=SCOPE, name="stones", page_size=1000)
    async with asyncio.timeout(60):
        while True:
            found = (await stub.ListSourceItems(request)).items
            status = (await stub.GetSource(pb.GetSourceRequest(scope=SCOPE, name="stones"))).status
            is_seen = {each.path for each in found} == wanted
            if is_seen and not status.pending_count and status.report.HasField("ended_at"):
                return
            await asyncio.sleep(0.2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "origin_of",
    [
        folder,
        pytest.param(addresses, marks=pytest.mark.long),
        pytest.param(bucket, marks=pytest.mark.long),
    ],
)
async def test_a_source_is_gone_through_to_its_end_whoever_dies_on_the_way(tmp_path, origin_of):
    assert set(PLACES) == Failpoint.SYNC_PLACES
    with origin_of(tmp_path) as origin:
        async with new_world(tmp_path) as world, contextlib.AsyncExitStack() as stack:
            for number in range(COUNT):
                origin.write(number, f"# Stone {number}\n\nGranite number {number}.\n")
            # Killed in the middle of a batch, and when one was remembered.
            await _first_look(world, stack, origin)
            assert _held(world) == _expected(origin, range(COUNT))

            origin.write(CHANGED, "# Stone\n\nGneiss now.\n")
            origin.remove(GONE)
            origin.write(ADDED, "# Stone\n\nBasalt is new.\n")
            await _second_look(world, stack, origin)
            left = [number for number in range(COUNT) if number not in {CHANGED, GONE}]
            expected = _expected(origin, left)
            expected["stones/" + origin.paths(CHANGED)] = "# Stone\n\nGneiss now.\n"
            expected["stones/" + origin.paths(ADDED)] = "# Stone\n\nBasalt is new.\n"
            assert _held(world) == expected
            assert {len(each.chunks) for each in _documents(world).values()} == {1}


async def _first_look(world: World, stack: contextlib.AsyncExitStack, origin: Origin) -> None:
    source = origin.source
    source.name, source.collection = "stones", "docs"
    source.sync_interval.CopyFrom(Duration(seconds=1))
    is_put = False
    for place in (*PLACES[:2], ""):
        settings = origin.settings | {"FAILPOINT": f"{place}:crash" if place else ""}
        process, stub = await serve_until_ready(world, stack, **settings)
        if not is_put:
            is_put = True
            with contextlib.suppress(Exception):
                await stub.PutSource(pb.PutSourceRequest(scope=SCOPE, source=source))
        if place:
            async with asyncio.timeout(30):
                assert await process.wait() == -signal.SIGKILL
    paths = {origin.paths(number) for number in range(COUNT)}
    await settled(stub, paths)
    jobs = (await stub.ListJobs(pb.ListJobsRequest(scope=SCOPE, page_size=1000))).jobs
    # What was submitted before the process died is not submitted again.
    assert [each.state for each in jobs] == [pb.JOB_STATE_READY] * COUNT
    process.kill()
    await process.wait()


async def _second_look(world: World, stack: contextlib.AsyncExitStack, origin: Origin) -> None:
    for place in (*PLACES, ""):
        settings = origin.settings | {"FAILPOINT": f"{place}:crash" if place else ""}
        process, stub = await serve_until_ready(world, stack, **settings)
        if place:
            async with asyncio.timeout(30):
                assert await process.wait() == -signal.SIGKILL, place
    await settled(stub, {origin.paths(number) for number in range(COUNT + 1) if number != GONE})


def _expected(origin: Origin, numbers: Any) -> dict[str, str]:
    return {
        "stones/" + origin.paths(number): f"# Stone {number}\n\nGranite number {number}.\n"
        for number in numbers
    }


def _held(world: World) -> dict[str, str]:
    return {name: each.text for name, each in _documents(world).items()}


def _documents(world: World) -> dict[str, Any]:
    return world.retrieval.documents["t", "docs"]
