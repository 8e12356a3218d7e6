"""The four services behind the gateway, in the test's own process: small, honest, breakable."""

from __future__ import annotations

import asyncio
import contextlib
import re
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from cairn.embedding.v1 import embedding_service_pb2 as embedding
from cairn.embedding.v1 import embedding_service_pb2_grpc as embedding_rpc
from cairn.generation.v1 import generation_service_pb2 as generation
from cairn.generation.v1 import generation_service_pb2_grpc as generation_rpc
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as ingestion_rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_rpc
from cairn.types.v1 import metadata_pb2, passage_pb2, usage_pb2, vector_pb2

from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ServiceError,
    UnavailableError,
)
from tests.kit.grpc_server import serve

DIMENSIONS = 4
MODEL = "fake-model"
SLOW = "SLOW"
"""A question that takes half a minute between the pieces of its answer."""
TEXT = (
    "Granite is an igneous rock. It forms when magma cools slowly. "
    "Basalt cools quickly at the surface. The quarry of Riga sells 250 tons a year."
)
"""Text of the one document; its chunks are its sentences, in pairs."""


class Fault:
    """How a service misbehaves."""

    def __init__(self) -> None:
        self.error: ServiceError | None = None
        self.delay_seconds = 0.0
        self.before: Callable[[], Awaitable[None]] | None = None
        """Runs before each call: waits or raises by chance, or as long as there is no room."""
        self.calls: list[tuple[str, Any]] = []
        self.cancelled = asyncio.Event()

    async def meet(self, method: str, request: Any) -> None:
        """Notes the call, then misbehaves as told."""
        self.calls.append((method, request))
        try:
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if self.before is not None:
                await self.before()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error

    def requests(self, method: str) -> list[Any]:
        """Requests of one method so far."""
        return [request for name, request in self.calls if name == method]


def _token_vectors(text: str) -> Any:
    """A vector a word; equal words are equal, others are unlike."""
    words = list(re.finditer(r"\w+", text.lower()))
    places = [zlib.crc32(word.group().encode()) % 64 for word in words]
    rows = [struct.pack("<64f", *(float(each == place) for each in range(64))) for place in places]
    return embedding.TokenVectors(
        vectors=vector_pb2.VectorBatch(
            data=b"".join(rows),
            element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
            dimensions=64,
            count=len(rows),
        ),
        starts=[word.start() for word in words],
        ends=[word.end() for word in words],
    )


class FakeEmbedding(embedding_rpc.EmbeddingServiceServicer):
    """Vectors of text lengths."""

    def __init__(self) -> None:
        self.embed = Fault()
        self.rerank = Fault()
        self.tokens = Fault()

    async def Embed(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.embed.meet("Embed", request)
        if request.options.model not in {"", MODEL, "other-model"}:
            raise NotFoundError(Reason.MODEL_NOT_FOUND, "no such model")
        rows = [struct.pack("<4f", len(text), 1, 0, 0) for text in request.texts]
        return embedding.EmbedResponse(
            vectors=vector_pb2.VectorBatch(
                data=b"".join(rows),
                element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                dimensions=DIMENSIONS,
                count=len(rows),
            ),
            reports=[embedding.TextReport(token_count=len(t.split())) for t in request.texts],
            model=request.options.model or MODEL,
            usage=usage_pb2.Usage(embedding_tokens=sum(len(t.split()) for t in request.texts)),
        )

    async def Rerank(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.rerank.meet("Rerank", request)
        words = set(request.query.lower().split())
        scores = [float(len(words & set(p.lower().split()))) for p in request.passages]
        return embedding.RerankResponse(scores=scores, usage=usage_pb2.Usage(rerank_tokens=7))

    async def EncodeTokens(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.tokens.meet("EncodeTokens", request)
        return embedding.EncodeTokensResponse(
            texts=[_token_vectors(text) for text in request.texts],
            model=MODEL,
            usage=usage_pb2.Usage(embedding_tokens=sum(len(t.split()) for t in request.texts)),
        )

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        return embedding.ListModelsResponse(
            models=[
                embedding.Model(name=MODEL, dimensions=DIMENSIONS, is_default=True, revision="r1"),
                embedding.Model(name="other-model", dimensions=8),
            ]
        )


def _chunks() -> list[tuple[int, int]]:
    middle = TEXT.index("Basalt")
    return [(0, middle - 1), (middle, len(TEXT))]


def _passage(ordinal: int, text: str = TEXT, document_id: str = "rocks/granite.md") -> Any:
    start, end = _chunks()[ordinal]
    message = passage_pb2.ScoredPassage(
        passage=passage_pb2.Passage(
            chunk_id=f"{document_id}#{ordinal}",
            document_id=document_id,
            document_version=3,
            collection="default",
            ordinal=ordinal,
            start=start,
            end=end,
            text=text[start:end],
            title="Granite",
            uri="rocks/granite.md",
            heading_path=["Rocks"],
        ),
        scores=passage_pb2.PassageScores(
            dense=0.5 - ordinal / 10, fused=1.0 - ordinal, final=1.0 - ordinal
        ),
    )
    message.passage.metadata["kind"].keyword = "rock"
    message.passage.metadata["year"].integer = 1950
    return message


class FakeRetrieval(retrieval_rpc.RetrievalServiceServicer):
    """One document with two chunks, readable by "everyone"."""

    def __init__(self) -> None:
        self.search = Fault()
        self.position = Fault()
        self.is_empty = False
        self.collections = {"default": MODEL}
        self.kinds: dict[str, int] = {}
        self.updates: list[Any] = []
        self.generation = 1
        self.is_kept = False
        """Whether results may be kept by caches; not unless a test is about them."""

    async def Search(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("Search", request)
        self._check(request.collection)
        wanted = request.options.embedding_model
        if wanted and wanted != self.collections[request.collection]:
            raise FailedPreconditionError(Reason.MODEL_MISMATCH, "another model")
        if self.is_empty or "everyone" not in request.scope.principals:
            return retrieval.SearchResponse()
        found = [_passage(0), _passage(1)][: request.options.top_k or 10]
        return retrieval.SearchResponse(
            passages=found,
            explanation=retrieval.SearchExplanation(
                allowed_count=2, steps=[retrieval.PlanStep(segment="memtable", plan="exact")]
            ),
            usage=usage_pb2.Usage(vectors_scanned=2),
            generation=self.generation,
            is_current=self.is_kept,
        )

    async def Recommend(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("Recommend", request)
        self._check(request.collection)
        return retrieval.RecommendResponse(
            passages=[_passage(1)], generation=self.generation, is_current=self.is_kept
        )

    async def GetPosition(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.position.meet("GetPosition", request)
        self._check(request.collection)
        return retrieval.GetPositionResponse(
            collection=request.collection, generation=self.generation
        )

    async def GetDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("GetDocuments", request)
        self._check(request.collection)
        if (
            "rocks/granite.md" not in request.document_ids
            or "everyone" not in request.scope.principals
        ):
            return retrieval.GetDocumentsResponse()
        return retrieval.GetDocumentsResponse(documents=[self._document(request.omit_text)])

    async def Scroll(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(request.collection)
        readable = "everyone" in request.scope.principals
        return retrieval.ScrollResponse(documents=[self._document(True)] if readable else [])

    async def GetCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("GetCollection", request)
        self._check(request.name)
        return retrieval.GetCollectionResponse(
            collection=self._collection(request.name),
            stats=self._stats(request.name),
        )

    async def UpdateCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(request.name)
        self.updates.append(request)
        if "index_type" in request.update_mask.paths:
            self.kinds[request.name] = request.settings.index_type
        return retrieval.UpdateCollectionResponse(collection=self._collection(request.name))

    async def OptimizeCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(request.name)
        yield retrieval.OptimizeCollectionResponse(
            stage=retrieval.OPTIMIZE_STAGE_BUILDING, fraction=0.5, message="building over 2 vectors"
        )
        await self.search.meet("OptimizeCollection", request)
        if request.index_type:
            self.kinds[request.name] = request.index_type
        yield retrieval.OptimizeCollectionResponse(
            stage=retrieval.OPTIMIZE_STAGE_DONE, fraction=1, message="built"
        )

    async def GetQuota(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("GetQuota", request)
        return retrieval.GetQuotaResponse(
            quota=retrieval.Quota(), vector_count=2, stored_bytes=1_000
        )

    async def SetQuota(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("SetQuota", request)
        return retrieval.SetQuotaResponse(quota=request.quota)

    async def ListCollections(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("ListCollections", request)
        return retrieval.ListCollectionsResponse(
            collections=[self._collection(name) for name in sorted(self.collections)]
        )

    async def CreateCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.search.meet("CreateCollection", request)
        self.collections[request.name] = request.settings.embedding_model
        self.kinds[request.name] = request.settings.index_type
        return retrieval.CreateCollectionResponse(collection=self._collection(request.name))

    async def DeleteCollection(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._check(request.name)
        del self.collections[request.name]
        return retrieval.DeleteCollectionResponse()

    def _check(self, collection: str) -> None:
        if collection not in self.collections:
            raise NotFoundError(Reason.COLLECTION_NOT_FOUND, "no such collection")

    def _collection(self, name: str) -> Any:
        settings = retrieval.CollectionSettings(
            dimensions=DIMENSIONS,
            embedding_model=self.collections[name],
            fields={"year": metadata_pb2.FIELD_TYPE_INTEGER},
            index_type=cast("Any", self.kinds.get(name, 0)),
        )
        return retrieval.Collection(name=name, settings=settings)

    def _stats(self, name: str) -> Any:
        kind = self.kinds.get(name, 0) or retrieval.INDEX_TYPE_FLAT
        return retrieval.CollectionStats(
            document_count=1,
            chunk_count=2,
            index_type=cast("Any", kind),
            bytes_per_vector=48.0,
            recall_loss=None if kind == retrieval.INDEX_TYPE_FLAT else 0.0125,
            view_bytes=4_000,
            segment_count=1,
        )

    def _document(self, omit_text: bool) -> Any:
        return retrieval.Document(
            document_id="rocks/granite.md",
            title="Granite",
            uri="rocks/granite.md",
            text="" if omit_text else TEXT,
            version=3,
            chunks=[
                retrieval.Chunk(chunk_id=f"rocks/granite.md#{i}", start=start, end=end)
                for i, (start, end) in enumerate(_chunks())
            ],
        )


class FakeGeneration(generation_rpc.GenerationServiceServicer):
    """Writes what it is told to."""

    def __init__(self) -> None:
        self.generate = Fault()
        self.engine = "vllm"
        self.pieces = [
            "Granite forms when ",
            "magma cools slowly [",
            "1]. Granite is an igneous rock [9].",
        ]
        self.quotes: list[Any] = []
        self.finish_reason: Any = generation.FINISH_REASON_STOP
        self.between_seconds = 0.0
        self.break_after: int | None = None
        """Pieces after which it fails."""
        self.fallback_reason = ""

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        await self.generate.meet("Generate", request)
        if request.model not in {"", "tiny"}:
            raise NotFoundError(Reason.MODEL_NOT_FOUND, "no such model")
        yield generation.GenerateResponse(
            started=generation.Started(engine=self.engine, model="tiny")
        )
        try:
            for index, piece in enumerate(self.pieces):
                if self.break_after == index:
                    raise UnavailableError(Reason.NOT_READY, "the engine died")
                yield generation.GenerateResponse(delta=generation.Delta(text=piece))
                is_slow = bool(request.messages) and request.messages[-1].content == SLOW
                await asyncio.sleep(30 if is_slow else self.between_seconds)
        except (asyncio.CancelledError, GeneratorExit):
            self.generate.cancelled.set()
            raise
        yield generation.GenerateResponse(
            finished=generation.Finished(
                finish_reason=self.finish_reason,
                text="".join(self.pieces),
                usage=usage_pb2.Usage(prompt_tokens=100, completion_tokens=12),
                engine=self.engine,
                model="tiny",
                quoted_spans=self.quotes,
                fallback_reason=self.fallback_reason,
            )
        )

    async def ListModels(self, request: Any, context: Any) -> Any:  # noqa: N802
        return generation.ListModelsResponse(
            models=[generation.Model(name="tiny", engine=self.engine, is_ready=True)]
        )


class FakeIngestion(ingestion_rpc.IngestionServiceServicer):
    """Jobs that are ready at once."""

    def __init__(self) -> None:
        self.submit = Fault()
        self.jobs: dict[str, Any] = {}
        self.uploads: list[tuple[Any, list[int]]] = []
        """Header and message sizes of each upload."""
        self.sources: dict[str, Any] = {}
        self.enrichment: dict[str, Any] = {}

    async def SubmitDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("SubmitDocuments", request)
        return ingestion.SubmitDocumentsResponse(
            submissions=[self._submission(request.collection, each) for each in request.documents]
        )

    async def GetJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("GetJob", request)
        if request.document_id not in self.jobs:
            raise NotFoundError(Reason.JOB_NOT_FOUND, "no such job")
        return ingestion.GetJobResponse(job=self.jobs[request.document_id])

    async def ListJobs(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("ListJobs", request)
        jobs = [j for j in self.jobs.values() if not request.states or j.state in request.states]
        return ingestion.ListJobsResponse(jobs=jobs)

    async def GetQueueStats(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("GetQueueStats", request)
        queued = sum(job.state == ingestion.JOB_STATE_QUEUED for job in self.jobs.values())
        stats = ingestion.GetQueueStatsResponse(queued_count=queued)
        stats.oldest_job_age.FromSeconds(7)
        return stats

    async def RetryJobs(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("RetryJobs", request)
        jobs = [job for job in self.jobs.values() if job.job_id in request.job_ids]
        return ingestion.RetryJobsResponse(jobs=jobs)

    async def DeleteDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("DeleteDocuments", request)
        count = sum(self.jobs.pop(each, None) is not None for each in request.document_ids)
        return ingestion.DeleteDocumentsResponse(deleted_count=count, is_verified=True)

    async def UploadDocument(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        header, sizes, is_ended = None, [], False
        async for message in request_iterator:
            if message.WhichOneof("part") == "header":
                header = message.header
            elif message.WhichOneof("part") == "end":
                is_ended = True
            else:
                sizes.append(len(message.content))
        await self.submit.meet("UploadDocument", header)
        if not is_ended:
            raise InvalidArgumentError.for_field("end", "is missing")
        self.uploads.append((header, sizes))
        assert header is not None
        document = ingestion.DocumentInput(header=header.document)
        return ingestion.UploadDocumentResponse(
            submission=self._submission(header.collection, document)
        )

    async def FetchDocuments(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("FetchDocuments", request)
        return ingestion.FetchDocumentsResponse(
            submissions=[
                self._submission(
                    request.collection,
                    ingestion.DocumentInput(header=ingestion.DocumentHeader(document_id=url)),
                )
                for url in request.urls
            ]
        )

    async def PutSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("PutSource", request)
        is_created = request.source.name not in self.sources
        self.sources[request.source.name] = request.source
        return ingestion.PutSourceResponse(
            source=request.source, status=self._status(), is_created=is_created
        )

    async def GetSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("GetSource", request)
        if request.name not in self.sources:
            raise NotFoundError(Reason.SOURCE_NOT_FOUND, "no such source")
        return ingestion.GetSourceResponse(source=self.sources[request.name], status=self._status())

    async def ListSources(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("ListSources", request)
        return ingestion.ListSourcesResponse(
            sources=[
                ingestion.SourceEntry(source=each, status=self._status())
                for each in self.sources.values()
            ]
        )

    async def ListSourceItems(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("ListSourceItems", request)
        failure = ingestion.JobFailure(reason="TOO_LARGE", message="is too large")
        item = ingestion.SourceItem(path="a.md", collection="docs", failure=failure)
        return ingestion.ListSourceItemsResponse(items=[item])

    async def SyncSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("SyncSource", request)
        return ingestion.SyncSourceResponse(sync_number=2, status=self._status())

    async def DeleteSource(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("DeleteSource", request)
        return ingestion.DeleteSourceResponse(deleted_count=3)

    async def GetEnrichment(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("GetEnrichment", request)
        own = self.enrichment.get(request.collection)
        return ingestion.GetEnrichmentResponse(
            settings=own or ingestion.EnrichmentSettings(personal_data=1, on_hook_failure=1),
            is_own=own is not None,
            available_hooks=["invoices"],
        )

    async def SetEnrichment(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self.submit.meet("SetEnrichment", request)
        if request.HasField("settings"):
            self.enrichment[request.collection] = request.settings
        else:
            self.enrichment.pop(request.collection, None)
        return ingestion.SetEnrichmentResponse(settings=request.settings)

    @staticmethod
    def _status() -> Any:
        status = ingestion.SourceStatus(
            state=ingestion.SYNC_STATE_IDLE,
            report=ingestion.SyncReport(sync_number=1, item_count=4, failed_count=1),
            requested_sync_number=1,
        )
        status.created_at.GetCurrentTime()
        return status

    def _submission(self, collection: str, document: Any) -> Any:
        header = document.header
        if header.content_type == "image/png":
            failure = ingestion.JobFailure(
                reason="UNSUPPORTED_CONTENT_TYPE", message="image/png cannot be parsed"
            )
            return ingestion.Submission(error=failure)
        document_id = header.document_id or header.file_name or "derived"
        job = ingestion.Job(
            job_id=f"job-{len(self.jobs)}",
            collection=collection,
            document_id=document_id,
            uri=header.uri,
            state=ingestion.JOB_STATE_QUEUED,
            stage=ingestion.STAGE_RECEIVED,
            size_bytes=len(document.content),
            content_type=header.content_type,
        )
        self.jobs[document_id] = job
        return ingestion.Submission(job=job)


@dataclass
class Downstream:
    """The four services and where they are."""

    embedding: FakeEmbedding = field(default_factory=FakeEmbedding)
    retrieval: FakeRetrieval = field(default_factory=FakeRetrieval)
    generation: FakeGeneration = field(default_factory=FakeGeneration)
    ingestion: FakeIngestion = field(default_factory=FakeIngestion)
    targets: dict[str, str] = field(default_factory=dict)
    servers: dict[str, Any] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def running_downstream(
    telemetries: dict[str, Any] | None = None, **services: Any
) -> AsyncIterator[Downstream]:
    """Runs the four services while the block runs; `services` take the place of the usual ones."""
    down = Downstream(**services)
    registrations = {
        "embedding": embedding_rpc.add_EmbeddingServiceServicer_to_server,
        "retrieval": retrieval_rpc.add_RetrievalServiceServicer_to_server,
        "generation": generation_rpc.add_GenerationServiceServicer_to_server,
        "ingestion": ingestion_rpc.add_IngestionServiceServicer_to_server,
    }
    async with contextlib.AsyncExitStack() as stack:
        for name, add in registrations.items():
            served = await stack.enter_async_context(
                serve(
                    lambda server, add=add, name=name: add(getattr(down, name), server),
                    service_names=[f"cairn.{name}.v1.{name.capitalize()}Service"],
                    telemetry=(telemetries or {}).get(name),
                )
            )
            down.targets[name] = served.target
            down.servers[name] = served.server
        yield down
