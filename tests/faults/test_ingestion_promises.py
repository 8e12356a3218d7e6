"""What ingestion promises its readers, through the whole suite: versions whole, deletions final."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as ingestion_rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import scope_pb2

from services.rpc.channel import open_channel
from services.rpc.errors import ServiceError
from tests.kit.ingestion_service import document
from tests.kit.suite import Suite, running_suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PARTS = 4


@pytest.fixture(scope="module")
def own_suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    with running_suite(tmp_path_factory.mktemp("promises") / "data") as running:
        yield running


class Clients:
    """Stubs of the services behind the gateway, and a tenant's scope."""

    def __init__(self, ingestion: Any, retrieval: Any, tenant: str) -> None:
        self.ingestion = ingestion
        self.retrieval = retrieval
        self.scope = scope_pb2.Scope(tenant=tenant, principals=["everyone"], actor="service:test")

    async def submit(self, *documents: pb.DocumentInput) -> list[str]:
        """Submits documents and returns their jobs' ids."""
        request = pb.SubmitDocumentsRequest(
            scope=self.scope, collection="docs", documents=documents
        )
        answer = await self.ingestion.SubmitDocuments(request, timeout=30)
        assert not [each.error for each in answer.submissions if each.error.reason]
        return [each.job.job_id for each in answer.submissions]

    async def ready(self, job_ids: list[str]) -> None:
        """Waits until jobs are ready."""
        last: dict[str, pb.Job] = {}
        request = pb.WatchJobsRequest(scope=self.scope, job_ids=job_ids)
        async for message in self.ingestion.WatchJobs(request, timeout=120):
            last.update({job.job_id: job for job in message.jobs})
        assert {job.state for job in last.values()} == {pb.JOB_STATE_READY}

    async def search(self, text: str) -> list[Any]:
        """Returns the passages of a keyword search."""
        request = retrieval_pb.SearchRequest(
            scope=self.scope,
            collection="docs",
            query=retrieval_pb.Query(text=text),
            options=retrieval_pb.SearchOptions(top_k=50, mode=retrieval_pb.SEARCH_MODE_KEYWORD),
        )
        answer = await self.retrieval.Search(request, timeout=20)
        return [each.passage for each in answer.passages]

    async def scroll(self) -> list[Any]:
        """Returns all passages."""
        request = retrieval_pb.ScrollRequest(
            scope=self.scope,
            collection="docs",
            unit=retrieval_pb.SCROLL_UNIT_CHUNK,
            page_size=1000,
        )
        return list((await self.retrieval.Scroll(request, timeout=20)).passages)

    async def get(self, document_id: str) -> list[Any]:
        """Returns a document with its chunks, if it is there."""
        request = retrieval_pb.GetDocumentsRequest(
            scope=self.scope,
            collection="docs",
            document_ids=[document_id],
            include_chunks=True,
        )
        return list((await self.retrieval.GetDocuments(request, timeout=20)).documents)

    async def export(self) -> list[Any]:
        """Returns the documents of an export."""
        request = retrieval_pb.ExportCollectionRequest(
            scope=self.scope, collection="docs", all_documents=True
        )
        stream = self.retrieval.ExportCollection(request, timeout=30)
        return [each async for message in stream for each in message.documents]


@contextlib.asynccontextmanager
async def clients(suite: Suite, tenant: str):
    async with (
        open_channel(suite.address("ingestion"), identity=suite.identity) as ingestion,
        open_channel(suite.address("retrieval"), identity=suite.identity) as retrieval,
    ):
        yield Clients(
            ingestion_rpc.IngestionServiceStub(ingestion),
            retrieval_rpc.RetrievalServiceStub(retrieval),
            tenant,
        )


def stamped(version: int) -> bytes:
    """A document whose every chunk says its version."""
    body = f"Granite of stamp{version} lies here. " * 14
    return "\n\n".join(["# Stones", *(f"## Part {n}\n\n{body}" for n in range(PARTS))]).encode()


def stamps_of(texts: list[str]) -> set[str]:
    return {word for text in texts for word in text.split() if word.startswith("stamp")}


@pytest.mark.parametrize("switches", [12, pytest.param(100, marks=pytest.mark.long)])
async def test_fifty_readers_see_the_old_version_or_the_new_one(own_suite, switches):
    seen: set[str] = set()
    reads = 0

    async def read(using: Clients, number: int, stop: asyncio.Event) -> None:
        nonlocal reads
        while not stop.is_set():
            if number % 3 == 0:
                passages = await using.search("granite")
            elif number % 3 == 1:
                passages = await using.scroll()
            else:
                (whole,) = await using.get("stones")
                passages = whole.chunks
                texts = [whole.text[each.start : each.end] for each in passages]
            # Whole, however it is read.
            assert len(passages) == PARTS, (number % 3, reads, len(passages))
            if number % 3 != 2:
                texts = [each.text for each in passages]
                assert len({each.document_version for each in passages}) == 1
            stamps = stamps_of(texts)
            assert len(stamps) == 1
            seen.update(stamps)
            reads += 1

    async with clients(own_suite, f"readers{switches}") as using:
        await using.ready(await using.submit(document("stones", stamped(0))))
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as readers:
            for number in range(50):
                readers.create_task(read(using, number, stop))
            for version in range(1, switches + 1):
                await using.ready(await using.submit(document("stones", stamped(version))))
            stop.set()
    assert len(seen) > switches / 2
    assert reads > 50


async def nothing_is_left(using: Clients, suite: Suite) -> None:
    """Asserts that no way of reading returns the deleted document."""
    assert [each.document_id for each in await using.search("obsidian")] == []
    assert "doomed" not in {each.document_id for each in await using.scroll()}
    assert await using.get("doomed") == []
    assert "doomed" not in {each.document_id for each in await using.export()}
    counted = await using.retrieval.Count(
        retrieval_pb.CountRequest(scope=using.scope, collection="docs"), timeout=20
    )
    assert counted.document_count == 1
    with suite.client() as client:
        assert client.get("/v1/documents/doomed?collection=docs").status_code == 404
        for mode in ("dense", "keyword", "hybrid"):
            body = {"query": "What is obsidian?", "collection": "docs", "mode": mode}
            found = client.post("/v1/search", json=body)
            assert found.status_code == 200, found.text
            assert "obsidian" not in found.text.lower().replace("what is obsidian?", "")
        answer = client.post("/v1/query", json={"query": "What is obsidian?", "collection": "docs"})
        assert "volcanic" not in answer.text


async def retrieval_again(using: Clients) -> None:
    """Waits until retrieval serves again."""
    while True:
        with contextlib.suppress(ServiceError):
            await using.scroll()
            return
        await asyncio.sleep(0.2)


async def test_what_is_deleted_stays_deleted(own_suite):
    with own_suite.client() as client:
        body = {"query": "What is obsidian?", "collection": "docs"}
        documents = [
            {"document_id": "doomed", "file_name": "a.md", "text": "# Obsidian\n\nObsidian is volcanic glass."},
            {"document_id": "other", "file_name": "b.md", "text": "# Slate\n\nSlate splits well."},
        ]  # fmt: skip
        sent = client.post("/v1/documents", json={"collection": "docs", "documents": documents})
        assert sent.status_code == 202, sent.text
        async with clients(own_suite, "default") as using:
            await using.ready([each["document"]["job_id"] for each in sent.json()["submissions"]])
            # The caches have seen it.
            assert "volcanic" in client.post("/v1/query", json=body).text
            assert "doomed" in client.post("/v1/search", json=body).text
            snapshot = await using.retrieval.CreateSnapshot(
                retrieval_pb.CreateSnapshotRequest(scope=using.scope, collection="docs")
            )
            gone = client.delete("/v1/documents/doomed?collection=docs")
            assert gone.status_code == 204, gone.text
            await nothing_is_left(using, own_suite)
            await using.retrieval.RestoreSnapshot(
                retrieval_pb.RestoreSnapshotRequest(
                    scope=using.scope,
                    collection="docs",
                    snapshot_id=snapshot.snapshot.snapshot_id,
                ),
                timeout=60,
            )
            await nothing_is_left(using, own_suite)
            os.kill(own_suite.state().of_service("retrieval")[0].pid, signal.SIGKILL)
            await retrieval_again(using)
            await nothing_is_left(using, own_suite)


async def test_a_deletion_beats_the_job_that_is_under_way(own_suite):
    text = ("# Pumice\n\n" + "Pumice floats on water for years. " * 4000).encode()
    async with clients(own_suite, "hasty") as using:
        await using.ready(await using.submit(document("anchor", b"# Anchor\n\nAn anchor.")))
        await using.submit(document("pumice", text))
        for pause in (0.05, 0.3, 0.8):
            await asyncio.sleep(pause)
            await using.ingestion.DeleteDocuments(
                pb.DeleteDocumentsRequest(
                    scope=using.scope, collection="docs", document_ids=["pumice"]
                ),
                timeout=60,
            )
            assert await using.get("pumice") == []
            assert await using.search("pumice") == []
            await using.submit(document("pumice", text + str(pause).encode()))
        await using.ingestion.DeleteDocuments(
            pb.DeleteDocumentsRequest(
                scope=using.scope, collection="docs", document_ids=["pumice"]
            ),
            timeout=60,
        )
        # The queue is empty of it, and stays so.
        stats = await using.ingestion.GetQueueStats(pb.GetQueueStatsRequest(scope=using.scope))
        assert stats.queued_count + stats.running_count == 0
        await asyncio.sleep(1.0)
        assert await using.get("pumice") == []


async def test_a_tenant_with_one_document_passes_one_with_many(own_suite):
    async with clients(own_suite, "noisy") as noisy, clients(own_suite, "quiet") as quiet:
        await quiet.ready(await quiet.submit(document("first", b"# First\n\nThe first.")))
        body = "Words of number {n} that are to be embedded, one after the other. " * 8
        many = [document(f"d{n}", f"# D{n}\n\n{body.format(n=n)}".encode()) for n in range(400)]
        for start in range(0, len(many), 100):
            await noisy.submit(*many[start : start + 100])
        await quiet.ready(await quiet.submit(document("one", b"# One\n\nThe one document.")))
        request = pb.GetQueueStatsRequest(scope=noisy.scope)
        left = await noisy.ingestion.GetQueueStats(request)
        assert [each.document_id for each in await quiet.search("one")] == ["one"]
        # It did not wait for its turn behind the four hundred.
        assert left.queued_count + left.running_count > 200
