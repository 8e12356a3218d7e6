"""IngestionService: messages to the domain and back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc

from services.filters import proto as filters
from services.ingestion import metrics
from services.ingestion.document import Content, ContentCollector, DocumentKey, content_of
from services.ingestion.intake import Intake, Submitted
from services.ingestion.jobs.queries import JobFilter
from services.ingestion.messages import (
    duration,
    header_from_proto,
    job_to_proto,
    states_from_proto,
    submission_to_proto,
)
from services.ingestion.validation import MAX_ID_CHARACTERS, check_collection, too_large
from services.ingestion.watching import watch
from services.rpc.errors import InvalidArgumentError, Reason, ServiceError
from services.rpc.scope_proto import scope_from_proto

if TYPE_CHECKING:
    import grpc

    from services.ingestion.deletion import Deletions
    from services.ingestion.jobs.model import Accepted
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.wakeup import Wakeup
    from services.rpc.admission import Admission

MAX_JOB_IDS = 1000
MAX_DOCUMENT_IDS = 10_000
MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100
_MAX_JOB_ID_CHARACTERS = 64
_UPLOAD_STEP_BYTES = 4 * 1024 * 1024
"""An upload is counted against the bytes in flight in such steps, as it grows."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds on what is sent."""

    max_document_bytes: int
    max_documents_per_request: int


class IngestionServicer(rpc.IngestionServiceServicer):
    """Answers the service's RPCs.

    Args:
        store: The queue.
        intake: Takes documents in.
        deletions: Deletes documents.
        wakeup: Tells workers.
        admission: Bounds the bytes being received.
        limits: Bounds on one request.
    """

    def __init__(
        self,
        store: JobStore,
        intake: Intake,
        deletions: Deletions,
        wakeup: Wakeup,
        admission: Admission,
        limits: IntakeLimits,
    ) -> None:
        self._store = store
        self._intake = intake
        self._deletions = deletions
        self._wakeup = wakeup
        self._admission = admission
        self._limits = limits

    async def SubmitDocuments(  # noqa: N802 - the contract's name
        self, request: pb.SubmitDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.SubmitDocumentsResponse:
        """Takes documents in; each fails alone."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        _check_count("documents", len(request.documents), self._limits.max_documents_per_request)
        async with self._admission.admit(sum(len(each.content) for each in request.documents)):
            read = [_read(each, index) for index, each in enumerate(request.documents)]
            good = [each for each in read if isinstance(each, Submitted)]
            done = iter(await self._intake.submit(scope, request.collection, good))
        results = [each if isinstance(each, ServiceError) else next(done) for each in read]
        _count(results)
        return pb.SubmitDocumentsResponse(submissions=map(submission_to_proto, results))

    async def UploadDocument(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[pb.UploadDocumentRequest],
        context: grpc.aio.ServicerContext,
    ) -> pb.UploadDocumentResponse:
        """Takes one document in, as it comes; what is wrong with it is the call's error."""
        header: pb.UploadHeader | None = None
        async for message in request_iterator:
            if message.WhichOneof("part") != "header":
                raise InvalidArgumentError.for_field(
                    "header", "must be the first message of an upload"
                )
            header = message.header
            break
        if header is None:
            raise InvalidArgumentError.for_field(
                "header", "is missing: an upload begins with a header"
            )
        scope = scope_from_proto(header.scope, "header.scope")
        check_collection(header.collection, "header.collection")
        domain_header = header_from_proto(header.document, "header.document")
        content = await self._receive(request_iterator)
        document = Submitted(domain_header, content, "header.document", "content")
        (result,) = await self._intake.submit(scope, header.collection, [document])
        _count([result])
        if isinstance(result, ServiceError):
            raise result
        return pb.UploadDocumentResponse(submission=submission_to_proto(result))

    async def _receive(self, messages: AsyncIterator[pb.UploadDocumentRequest]) -> Content:
        collector = ContentCollector()
        most = self._limits.max_document_bytes
        admitted = 0
        async with contextlib.AsyncExitStack() as admissions:
            async for message in messages:
                if message.WhichOneof("part") != "content":
                    raise InvalidArgumentError.for_field(
                        "content", "must follow the header: an upload has one header"
                    )
                size_bytes = collector.size_bytes + len(message.content)
                if size_bytes > most:
                    raise too_large(size_bytes, most, "content")
                while admitted < size_bytes:
                    await admissions.enter_async_context(self._admission.admit(_UPLOAD_STEP_BYTES))
                    admitted += _UPLOAD_STEP_BYTES
                collector.add(message.content)
            return collector.finish()

    async def GetJob(  # noqa: N802 - the contract's name
        self, request: pb.GetJobRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetJobResponse:
        """Returns a job by its id or its document."""
        scope = scope_from_proto(request.scope)
        if request.job_id:
            _check_job_id(request.job_id, "job_id")
            job = await self._store.get(scope.tenant, request.job_id)
            return pb.GetJobResponse(job=job_to_proto(job))
        if not request.document_id:
            raise InvalidArgumentError.for_field(
                "job_id", "give a job_id, or a collection and a document_id"
            )
        check_collection(request.collection)
        _check_document_id(request.document_id, "document_id")
        name = await self._intake.own_name(scope, request.collection)
        key = DocumentKey(scope.tenant, name, request.document_id)
        return pb.GetJobResponse(job=job_to_proto(await self._store.get_by_document(key)))

    async def ListJobs(  # noqa: N802 - the contract's name
        self, request: pb.ListJobsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListJobsResponse:
        """Returns a page of jobs, the newest first."""
        scope = scope_from_proto(request.scope)
        name = request.collection
        if name:
            check_collection(name)
            name = await self._intake.own_name(scope, name)
        if request.page_size > MAX_PAGE_SIZE:
            raise InvalidArgumentError.for_field(
                "page_size", f"is {request.page_size}, {MAX_PAGE_SIZE} is the most"
            )
        wanted = JobFilter(
            scope.tenant, name, states_from_proto(request.states), request.latest_only
        )
        page, token = await self._store.list_page(
            wanted, request.page_size or DEFAULT_PAGE_SIZE, request.page_token
        )
        return pb.ListJobsResponse(jobs=map(job_to_proto, page), next_page_token=token)

    async def WatchJobs(  # noqa: N802 - the contract's name
        self, request: pb.WatchJobsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        """Reports jobs until all have ended."""
        scope = scope_from_proto(request.scope)
        job_ids = _job_ids(request.job_ids)
        async for jobs in watch(self._store, scope.tenant, job_ids):
            yield pb.WatchJobsResponse(jobs=map(job_to_proto, jobs))

    async def RetryJobs(  # noqa: N802 - the contract's name
        self, request: pb.RetryJobsRequest, context: grpc.aio.ServicerContext
    ) -> pb.RetryJobsResponse:
        """Queues failed jobs again."""
        scope = scope_from_proto(request.scope)
        if request.job_ids:
            jobs = await self._store.retry(scope.tenant, _job_ids(request.job_ids))
        else:
            if not request.collection:
                raise InvalidArgumentError.for_field(
                    "job_ids", "give job ids, or a collection whose dead letters are to run again"
                )
            check_collection(request.collection)
            name = await self._intake.own_name(scope, request.collection)
            jobs = await self._store.retry_dead_letters(scope.tenant, name)
        await self._wakeup.notify()
        return pb.RetryJobsResponse(jobs=map(job_to_proto, jobs))

    async def CancelJobs(  # noqa: N802 - the contract's name
        self, request: pb.CancelJobsRequest, context: grpc.aio.ServicerContext
    ) -> pb.CancelJobsResponse:
        """Stops jobs that have not ended."""
        scope = scope_from_proto(request.scope)
        jobs = await self._store.cancel(scope.tenant, _job_ids(request.job_ids))
        return pb.CancelJobsResponse(jobs=map(job_to_proto, jobs))

    async def DeleteDocuments(  # noqa: N802 - the contract's name
        self, request: pb.DeleteDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteDocumentsResponse:
        """Deletes documents everywhere."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        has_filter = request.HasField("filter")
        if bool(request.document_ids) == has_filter:
            raise InvalidArgumentError.for_field(
                "document_ids", "give document ids or a filter, one of the two"
            )
        if has_filter:
            filters.from_proto(request.filter)
            deleted = await self._deletions.delete_matching(
                scope, request.collection, request.filter
            )
        else:
            _check_count("document_ids", len(request.document_ids), MAX_DOCUMENT_IDS)
            for index, document_id in enumerate(request.document_ids):
                _check_document_id(document_id, f"document_ids[{index}]")
            ids = list(dict.fromkeys(request.document_ids))
            deleted = await self._deletions.delete(scope, request.collection, ids)
        return pb.DeleteDocumentsResponse(deleted_count=deleted.count, seq=deleted.seq)

    async def Reindex(  # noqa: N802 - the contract's name
        self, request: pb.ReindexRequest, context: grpc.aio.ServicerContext
    ) -> pb.ReindexResponse:
        """Queues the documents of a collection again."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        name = await self._intake.existing_name(scope, request.collection)
        count = await self._store.reindex(scope.tenant, name, reparse=request.reparse)
        await self._wakeup.notify()
        return pb.ReindexResponse(job_count=count)

    async def GetQueueStats(  # noqa: N802 - the contract's name
        self, request: pb.GetQueueStatsRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetQueueStatsResponse:
        """Returns the queue's figures of the tenant."""
        scope = scope_from_proto(request.scope)
        stats = await self._store.stats(scope.tenant)
        return pb.GetQueueStatsResponse(
            queued_count=stats.queued_count,
            running_count=stats.running_count,
            dead_letter_count=stats.dead_letter_count,
            ready_count=stats.ready_count,
            oldest_job_age=duration(stats.oldest_job_age_seconds),
        )


def _read(message: pb.DocumentInput, index: int) -> Submitted | ServiceError:
    field = f"documents[{index}]"
    try:
        header = header_from_proto(message.header, f"{field}.header")
    except ServiceError as error:
        return error
    return Submitted(header, content_of(message.content), f"{field}.header", f"{field}.content")


def _count(results: Sequence[Accepted | ServiceError]) -> None:
    for result in results:
        if isinstance(result, ServiceError):
            outcome = "refused"
        elif result.is_unchanged:
            outcome = "unchanged"
        else:
            outcome = "duplicate" if result.is_duplicate else "accepted"
        metrics.ACCEPTED.labels(outcome).inc()


def _check_count(field: str, count: int, most: int) -> None:
    if count == 0:
        raise InvalidArgumentError.for_field(field, "is empty")
    if count > most:
        raise InvalidArgumentError.for_field(
            field, f"has {count} entries, {most} are allowed; split the request", Reason.TOO_LARGE
        )


def _job_ids(job_ids: Sequence[str]) -> list[str]:
    _check_count("job_ids", len(job_ids), MAX_JOB_IDS)
    for index, job_id in enumerate(job_ids):
        _check_job_id(job_id, f"job_ids[{index}]")
    return list(dict.fromkeys(job_ids))


def _check_job_id(job_id: str, field: str) -> None:
    if not job_id or len(job_id) > _MAX_JOB_ID_CHARACTERS or not job_id.isprintable():
        raise InvalidArgumentError.for_field(field, "is not an id that a submission returned")


def _check_document_id(document_id: str, field: str) -> None:
    if not document_id or len(document_id) > MAX_ID_CHARACTERS or "\x00" in document_id:
        raise InvalidArgumentError.for_field(
            field, f"must have 1 to {MAX_ID_CHARACTERS} characters"
        )


def register(servicer: IngestionServicer, server: Any) -> None:
    """Adds the servicer to a gRPC server."""
    rpc.add_IngestionServiceServicer_to_server(servicer, server)
