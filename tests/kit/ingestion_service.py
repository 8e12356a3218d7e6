"""The ingestion service in this process: real gRPC to fakes of the services it needs."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import scope_pb2

from services.ingestion.chunker import ChunkerSettings
from services.ingestion.deletion import Deletions
from services.ingestion.deletion_query import DeletionQueries
from services.ingestion.embedding_client import EmbeddingClient
from services.ingestion.failpoint import Failpoint
from services.ingestion.intake import Intake
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.store import JobStore
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool
from services.ingestion.retrieval_client import RetrievalClient
from services.ingestion.servicer import IngestionServicer, IntakeLimits
from services.ingestion.settings import IngestionSettings
from services.ingestion.source_parts import open_parts, spool_folder_of
from services.ingestion.stages.pipeline import Pipeline
from services.ingestion.stages.workers import Capacity, Workers
from services.ingestion.wakeup import Wakeup
from services.rpc.admission import Admission
from services.rpc.channel import open_channel
from tests.kit.fake_embedding import FakeEmbedding
from tests.kit.fake_retrieval import FakeRetrieval
from tests.kit.grpc_server import serve

BOUNDS = QueueBounds(max_jobs_per_tenant=50, max_jobs=80, retry_after_seconds=3.0)


@dataclass
class Suite:
    """What a test needs to talk to the service and to look behind it."""

    stub: Any
    store: JobStore
    embedding: FakeEmbedding
    retrieval: FakeRetrieval
    deletions: Deletions
    scope: scope_pb2.Scope
    new_workers: Any

    async def submit(self, *documents: pb.DocumentInput, collection: str = "docs"):
        """Submits documents and returns the results."""
        response = await self.stub.SubmitDocuments(
            pb.SubmitDocumentsRequest(scope=self.scope, collection=collection, documents=documents)
        )
        return list(response.submissions)

    async def finish(self, *job_ids: str) -> list[pb.Job]:
        """Waits until the jobs have ended and returns them."""
        last: dict[str, pb.Job] = {}
        request = pb.WatchJobsRequest(scope=self.scope, job_ids=job_ids)
        async for message in self.stub.WatchJobs(request, timeout=60):
            last.update({job.job_id: job for job in message.jobs})
        return [last[job_id] for job_id in job_ids]

    async def ingest(self, *documents: pb.DocumentInput, collection: str = "docs") -> list[pb.Job]:
        """Submits documents that must be accepted and waits for their end."""
        submissions = await self.submit(*documents, collection=collection)
        assert not [each.error for each in submissions if each.error.reason]
        return await self.finish(*(each.job.job_id for each in submissions))


def document(
    document_id: str = "d1",
    content: bytes = b"# Title\n\nSome words about granite.",
    *,
    file_name: str = "a.md",
    **header: Any,
) -> pb.DocumentInput:
    """A document to submit."""
    return pb.DocumentInput(
        header=pb.DocumentHeader(document_id=document_id, file_name=file_name, **header),
        content=content,
    )


@contextlib.asynccontextmanager
async def _temporary_folder() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory(prefix="cairn-ingestion-") as folder:
        yield folder


@contextlib.asynccontextmanager
async def run_ingestion(
    database: Path | str,
    *,
    has_workers: bool = True,
    max_document_bytes: int = 1 << 20,
    lease_seconds: float = 20.0,
    clock: Any = None,
    settings: dict[str, Any] | None = None,
    has_schedule: bool = False,
) -> AsyncIterator[Suite]:
    """Runs the service and its fakes for the block.

    Args:
        database: A SQLite file, or a URL.
        has_workers: Whether jobs are worked on.
        max_document_bytes: Largest document.
        lease_seconds: How long a claim lasts.
        clock: The queue's time.
        settings: Of sources and enrichment.
        has_schedule: Whether sources are gone through.
    """
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    embedding, retrieval = FakeEmbedding(), FakeRetrieval()
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        embedding_server = await enter(
            serve(
                lambda server: embedding_rpc.add_EmbeddingServiceServicer_to_server(
                    embedding, server
                )
            )
        )
        retrieval_server = await enter(
            serve(
                lambda server: retrieval_rpc.add_RetrievalServiceServicer_to_server(
                    retrieval, server
                )
            )
        )
        options = {} if clock is None else {"clock": clock}
        store = await enter(
            await JobStore.open(url, BOUNDS, lease_seconds=lease_seconds, **options)
        )
        embedder = EmbeddingClient(await enter(open_channel(embedding_server.target)))
        index = RetrievalClient(await enter(open_channel(retrieval_server.target)))
        wakeup = await enter(Wakeup())
        deletions = Deletions(store, index)
        intake = Intake(store, index, wakeup, max_document_bytes=max_document_bytes)
        queries = DeletionQueries(store, deletions, index)
        folder = Path(await enter(_temporary_folder()))
        settings = IngestionSettings(
            **{"data_dir": folder, "max_document_bytes": max_document_bytes, **(settings or {})}
        )
        parts = await open_parts(settings, store, stack)
        servicer = IngestionServicer(
            store,
            intake,
            queries,
            wakeup,
            Admission(64 << 20, "ingestion_bytes"),
            IntakeLimits(max_document_bytes, 100, spool_folder_of(settings)),
            sources=parts.desk(intake, queries),
            enrichment=parts.enrichment_desk(),
        )
        if has_workers and has_schedule:
            await enter(parts.schedule(intake, deletions, "w1"))
        server = await enter(
            serve(lambda grpc: rpc.add_IngestionServiceServicer_to_server(servicer, grpc))
        )

        @contextlib.asynccontextmanager
        async def new_workers(owner: str = "w1", concurrency: int = 4):
            async with ParserPool(1, ParserLimits()) as parsers:
                pipeline = Pipeline(
                    store,
                    parsers,
                    embedder,
                    index,
                    chunker=ChunkerSettings(),
                    failpoint=Failpoint(""),
                    enricher=parts.enricher(),
                    with_codes=settings.token_codes,
                )
                async with Workers(
                    store,
                    pipeline,
                    wakeup,
                    owner=owner,
                    capacity=Capacity(concurrency, 1),
                    poll_seconds=0.1,
                ) as workers:
                    yield workers

        if has_workers:
            await enter(new_workers())
        channel = await enter(open_channel(server.target))
        yield Suite(
            stub=rpc.IngestionServiceStub(channel),
            store=store,
            embedding=embedding,
            retrieval=retrieval,
            deletions=deletions,
            scope=scope_pb2.Scope(tenant="t", principals=["everyone"], actor="test"),
            new_workers=new_workers,
        )
