"""Uploads: checked against what their header says, whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import resource

import grpc
import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.document import DocumentHeader, content_of
from services.ingestion.intake import Intake, Submitted
from services.ingestion.wakeup import Wakeup
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason, ServiceError
from services.rpc.scope import Scope
from tests.kit.ingestion_service import run_ingestion

MIB = 1 << 20


@pytest.fixture
async def suite(tmp_path):
    async with run_ingestion(
        tmp_path / "jobs.sqlite", has_workers=False, max_document_bytes=64 * MIB
    ) as running:
        yield running


def upload(suite, *pieces: bytes, document=None, **header):
    """The messages of an upload."""
    document = document or pb.DocumentHeader(document_id="d", file_name="a.txt")
    yield pb.UploadDocumentRequest(
        header=pb.UploadHeader(scope=suite.scope, collection="docs", document=document, **header)
    )
    for piece in pieces:
        yield pb.UploadDocumentRequest(content=piece)


async def test_what_the_header_says_is_checked(suite):
    pieces = [b"Granite ", b"is ", b"hard."]
    whole = b"".join(pieces)
    digest = hashlib.sha256(whole).hexdigest()
    answer = await suite.stub.UploadDocument(
        upload(suite, *pieces, size_bytes=len(whole), sha256=digest.upper())
    )
    content = await suite.store.read_content(answer.submission.job.job_id)
    assert b"".join(content) == whole


async def test_an_upload_may_say_where_it_ends(suite):
    async def messages():
        for message in upload(suite, b"Granite", has_end=True):
            yield message
        yield pb.UploadDocumentRequest(end=pb.UploadEnd())

    answer = await suite.stub.UploadDocument(messages())
    content = await suite.store.read_content(answer.submission.job.job_id)
    assert b"".join(content) == b"Granite"


BAD = {
    "other hash": ({"sha256": "0" * 64}, [b"x"], "content", Reason.INVALID_FIELD),
    "broken off": ({"has_end": True}, [b"x"], "end", Reason.INVALID_FIELD),
    "no hash": ({"sha256": "xyz"}, [b"x"], "header.sha256", Reason.INVALID_FIELD),
    "fewer bytes": ({"size_bytes": 5}, [b"x"], "content", Reason.INVALID_FIELD),
    "more bytes": ({"size_bytes": 0}, [b"x"], "content", Reason.INVALID_FIELD),
    "negative": ({"size_bytes": -1}, [b"x"], "header.size_bytes", Reason.INVALID_FIELD),
    "declared too large": ({"size_bytes": 200 * MIB}, [], "header.size_bytes", Reason.TOO_LARGE),
    "empty": ({}, [], "content", Reason.EMPTY_TEXT),
    "a message too large": ({}, [b"x" * (4 * MIB + 1)], "content", Reason.TOO_LARGE),
    "bad id": (
        {"document": pb.DocumentHeader(document_id=" d")},
        [],
        "header.document.document_id",
        Reason.INVALID_FIELD,
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_bad_uploads_leave_nothing(suite, name):
    header, pieces, field, reason = BAD[name]
    with pytest.raises(InvalidArgumentError) as caught:
        await suite.stub.UploadDocument(upload(suite, *pieces, **header))
    assert caught.value.reason is reason
    assert caught.value.violations[0].field == field
    assert (await suite.store.stats("t")).queued_count == 0


async def test_200_mb_are_refused_when_the_limit_is_reached_and_never_held(suite):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sent = 0

    def pieces():
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b"x" * MIB

    with pytest.raises(InvalidArgumentError) as caught:
        await suite.stub.UploadDocument(_with(suite, pieces()))
    assert caught.value.reason is Reason.TOO_LARGE
    assert caught.value.metadata["limit"] == str(64 * MIB)
    assert (await suite.store.stats("t")).queued_count == 0
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 60 * 1024, f"{grown} KiB more, both sides of the call together"


def _with(suite, pieces):
    yield from upload(suite)
    for piece in pieces:
        yield pb.UploadDocumentRequest(content=piece)


async def test_a_caller_that_leaves_in_the_middle_leaves_nothing(suite):
    arrived = asyncio.Event()

    async def messages():
        for message in upload(suite, b"half of ", b"it"):
            yield message
        arrived.set()
        await asyncio.Event().wait()

    call = suite.stub.UploadDocument(messages())
    task = asyncio.ensure_future(_awaited(call))
    await arrived.wait()
    await asyncio.sleep(0.2)
    call.cancel()
    with pytest.raises((asyncio.CancelledError, grpc.aio.AioRpcError, ServiceError)):
        await task
    await asyncio.sleep(0.3)
    assert (await suite.store.stats("t")).queued_count == 0


async def _awaited(call):
    return await call


async def test_a_large_document_arrives_whole(suite):
    piece = bytes(range(256)) * 4096
    answer = await suite.stub.UploadDocument(_with(suite, [piece] * 40), timeout=60)
    stored = await suite.store.read_content(answer.submission.job.job_id)
    digest = hashlib.sha256()
    for part in stored:
        digest.update(part)
    assert digest.hexdigest() == hashlib.sha256(piece * 40).hexdigest()
    assert answer.submission.job.size_bytes == 40 * MIB


async def test_the_same_key_with_other_content_is_refused(suite):
    document = pb.DocumentHeader(document_id="d", file_name="a.txt", idempotency_key="k")
    first = await suite.stub.UploadDocument(upload(suite, b"one", document=document))
    again = await suite.stub.UploadDocument(upload(suite, b"one", document=document))
    assert again.submission.is_duplicate
    assert again.submission.job.job_id == first.submission.job.job_id
    with pytest.raises(ServiceError) as caught:
        await suite.stub.UploadDocument(upload(suite, b"two", document=document))
    assert caught.value.reason is Reason.IDEMPOTENCY_CONFLICT
    assert caught.value.code.name == "ALREADY_EXISTS"
    assert (await suite.store.stats("t")).queued_count == 1


async def test_collections_need_not_come_into_being_by_themselves(suite):
    strict = Intake(
        suite.store,
        suite.deletions._index,
        Wakeup(),
        max_document_bytes=1000,
        creates_collections=False,
    )
    document = Submitted(DocumentHeader(file_name="a.txt"), content_of(b"x"), "header", "content")
    with pytest.raises(NotFoundError) as caught:
        await strict.submit(Scope("t", (), "test"), "nowhere", [document])
    assert caught.value.reason is Reason.COLLECTION_NOT_FOUND
    suite.retrieval.go_down()
    with pytest.raises(ServiceError) as caught:
        await strict.submit(Scope("t", (), "test"), "nowhere", [document])
    assert caught.value.code.name == "UNAVAILABLE"
    assert (await suite.store.stats("t")).queued_count == 0
