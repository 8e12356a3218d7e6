"""A full disk and a disk that fails: writes are refused, reads and deletes go on, no lie is told."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from tests.kit.retrieval import DIMENSIONS, condition, document, reason, scope
from tests.kit.retrieval_process import retrieval_process

pytestmark = pytest.mark.slow
RESERVE_BYTES = 4 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 48 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a file system: a full disk is not tested")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fat(number: int, text_bytes: int = 64_000) -> pb.Document:
    """A document of some size."""
    text = f"document{number} " + "x" * text_bytes
    return document(f"d{number:05}", [text], group=number % 10)


async def upsert(stub, *documents: pb.Document) -> pb.UpsertResponse:
    return await stub.Upsert(
        pb.UpsertRequest(scope=scope(), collection="docs", documents=documents), timeout=20
    )


async def fill(stub, first: int = 0) -> int:
    """Writes documents until the disk is full; returns the number after the last acknowledged."""
    number = first
    while await fits(stub, fat(number)):
        number += 1
        assert number < first + 5000
    return number


async def fits(stub, document: pb.Document) -> bool:
    """Whether a document could be written."""
    try:
        await upsert(stub, document)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and reason(error) == "STORAGE_FULL":
            return False
        raise
    return True


async def stored(stub) -> set[str]:
    """Documents that are there."""
    found: set[str] = set()
    token = ""
    while True:
        page = await stub.Scroll(
            pb.ScrollRequest(
                scope=scope(),
                collection="docs",
                unit=pb.SCROLL_UNIT_DOCUMENT,
                page_size=1000,
                page_token=token,
            ),
            timeout=20,
        )
        found |= {each.document_id for each in page.documents}
        token = page.next_page_token
        if not token:
            return found


async def create(stub) -> None:
    settings = pb.CollectionSettings(dimensions=DIMENSIONS)
    await stub.CreateCollection(
        pb.CreateCollectionRequest(scope=scope(), name="docs", settings=settings)
    )


async def word_is_found(stub, number: int) -> bool:
    response = await stub.Search(
        pb.SearchRequest(
            scope=scope(), collection="docs", query=pb.Query(text=f"document{number}")
        ),
        timeout=20,
    )
    return bool(response.passages)


async def test_a_full_disk_refuses_writes_and_lets_reads_and_deletes_through(small_disk: Path):
    settings = {"disk_reserve_bytes": RESERVE_BYTES}
    async with retrieval_process(small_disk, **settings) as service:
        stub = service.stub
        await create(stub)
        count = await fill(stub)
        assert count > 100
        # Small ones take what is left, to the last page.
        with contextlib.suppress(grpc.aio.AioRpcError):
            for number in range(5000):
                await upsert(stub, fat(90_000 + number, 10))
        ballast = small_disk / "filler"
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            while True:
                file.write(bytes(4096))
        assert await word_is_found(stub, count // 2)
        assert f"d{count - 1:05}" in await stored(stub)
        for number in range(20):
            deleted = await stub.Delete(
                pb.DeleteRequest(scope=scope(), collection="docs", document_ids=[f"d{number:05}"]),
                timeout=20,
            )
            assert deleted.deleted_count == 1
            assert not await word_is_found(stub, number)
        deleted = await stub.Delete(
            pb.DeleteRequest(scope=scope(), collection="docs", filter=condition("group = 7")),
            timeout=20,
        )
        assert deleted.deleted_count > 10
        service.process.kill()
        await service.process.wait()
    # The disk is still full: the next process starts on it, knows everything, and may delete.
    async with retrieval_process(small_disk, **settings) as service:
        stub = service.stub
        expected = {f"d{n:05}" for n in range(20, count) if n % 10 != 7}
        assert {each for each in await stored(stub) if each < "d9"} == expected
        doomed = sorted(expected)[:100]
        await stub.Delete(
            pb.DeleteRequest(scope=scope(), collection="docs", document_ids=doomed), timeout=20
        )
        ballast.unlink()
        async with asyncio.timeout(20):
            while not await fits(stub, fat(80_000)):
                await asyncio.sleep(0.3)
        assert (small_disk / "retrieval" / "retrieval.db.reserve").stat().st_size == RESERVE_BYTES
        # What deletes freed is used again.
        again = await fill(stub, 81_000)
        assert again - 81_000 > 60
        assert {each for each in await stored(stub) if each < "d8"} == expected - set(doomed)


async def test_a_write_that_the_disk_does_not_confirm_is_never_acknowledged(tmp_path: Path):
    flag = tmp_path / "failing"
    folder = tmp_path / "data"
    folder.mkdir()
    async with retrieval_process(folder, failing_sync=flag, drain_delay_seconds=1) as service:
        stub = service.stub
        await create(stub)
        for number in range(5):
            await upsert(stub, fat(number, 100))
        flag.touch()
        results = await asyncio.gather(
            *(upsert(stub, fat(100 + number, 100)) for number in range(4)),
            *(upsert(stub, fat(number, 200)) for number in range(5)),
            return_exceptions=True,
        )
        assert all(isinstance(each, grpc.aio.AioRpcError) for each in results)
        assert {each.code() for each in results} == {grpc.StatusCode.UNAVAILABLE}
        # The process ends by itself: its next syncs would say nothing about the lost one.
        assert await asyncio.wait_for(service.process.wait(), 20) != 0
        assert b"the disk did not confirm a write" in service.log.read_bytes()
    flag.unlink()
    async with retrieval_process(folder, failing_sync=flag) as service:
        found = await stored(service.stub)
        assert {f"d{number:05}" for number in range(5)} <= found
        await upsert(service.stub, fat(7, 100))
        assert await word_is_found(service.stub, 7)
