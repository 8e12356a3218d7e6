"""The RPCs of documents and jobs: messages to the domain and back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.filters import proto as filters
from services.filters.ast import Equals
from services.ingestion.deletion_query import Condition
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
from services.ingestion.rpcs.checks import (
    check_count,
    check_document_id,
    check_job_id,
    checked_job_ids,
    count_outcomes,
    page_size,
)
from services.ingestion.validation import (
    MAX_URI_CHARACTERS,
    check_collection,
    check_header,
    check_text,
    too_large,
)
from services.ingestion.watching import watch
from services.rpc.errors import InvalidArgumentError, Reason, ServiceError
from services.rpc.scope_proto import scope_from_proto
from services.rpc.streams import refuse_after_the_rest

if TYPE_CHECKING:
    import grpc

    from services.ingestion.deletion_query import DeletionQueries
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.wakeup import Wakeup
    from services.rpc.admission import Admission

MAX_DOCUMENT_IDS = 10_000
MAX_CHUNK_BYTES = 4 * 1024 * 1024
"""Bytes of one message of an upload."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}\Z")
_UPLOAD_STEP_BYTES = 4 * 1024 * 1024
"""An upload is counted against the bytes in flight in such steps, as it grows."""


@dataclass(frozen=True, slots=True)
class IntakeLimits:
    """Bounds on what is sent."""

    max_document_bytes: int
    max_documents_per_request: int
    spool_folder: Path | None = None
    """Where large uploads lie while they come in; None: in memory."""


class DocumentRpcs:
    """Answers the RPCs of documents and jobs."""

    _store: JobStore
    _intake: Intake
    _deletions: DeletionQueries
    _wakeup: Wakeup
    _admission: Admission
    _limits: IntakeLimits

    async def SubmitDocuments(  # noqa: N802 - the contract's name
        self, request: pb.SubmitDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.SubmitDocumentsResponse:
        """Takes documents in; each fails alone."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        check_count("documents", len(request.documents), self._limits.max_documents_per_request)
        async with self._admission.admit(sum(len(each.content) for each in request.documents)):
            read = [_read(each, index) for index, each in enumerate(request.documents)]
            good = [each for each in read if isinstance(each, Submitted)]
            done = iter(await self._intake.submit(scope, request.collection, good))
        results = [each if isinstance(each, ServiceError) else next(done) for each in read]
        count_outcomes(results)
        return pb.SubmitDocumentsResponse(submissions=map(submission_to_proto, results))

    async def UploadDocument(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[pb.UploadDocumentRequest],
        context: grpc.aio.ServicerContext,
    ) -> pb.UploadDocumentResponse:
        """Takes one document in, as it comes; what is wrong with it is the call's error."""
        async with refuse_after_the_rest(request_iterator):
            return await self._upload(request_iterator, context)

    async def _upload(
        self,
        request_iterator: AsyncIterator[pb.UploadDocumentRequest],
        context: grpc.aio.ServicerContext,
    ) -> pb.UploadDocumentResponse:
        header = await self._upload_header(request_iterator)
        scope = scope_from_proto(header.scope, "header.scope")
        check_collection(header.collection, "header.collection")
        domain_header = header_from_proto(header.document, "header.document")
        # What can be refused is refused before the bytes come.
        check_header(domain_header, content_of(b""), "header.document")
        async with contextlib.AsyncExitStack() as admissions:
            content = await self._receive(request_iterator, header, admissions)
            if context.cancelled():  # what came is not all there was
                raise asyncio.CancelledError
            document = Submitted(domain_header, content, "header.document", "content")
            (result,) = await self._intake.submit(scope, header.collection, [document])
        count_outcomes([result])
        if isinstance(result, ServiceError):
            raise result
        return pb.UploadDocumentResponse(submission=submission_to_proto(result))

    async def _upload_header(
        self, messages: AsyncIterator[pb.UploadDocumentRequest]
    ) -> pb.UploadHeader:
        async for message in messages:
            if message.WhichOneof("part") != "header":
                raise InvalidArgumentError.for_field(
                    "header", "must be the first message of an upload"
                )
            _check_declared(message.header, self._limits.max_document_bytes)
            return message.header
        raise InvalidArgumentError.for_field("header", "is missing: an upload begins with a header")

    async def _receive(
        self,
        messages: AsyncIterator[pb.UploadDocumentRequest],
        header: pb.UploadHeader,
        admissions: contextlib.AsyncExitStack,
    ) -> Content:
        collector = ContentCollector(self._limits.spool_folder)
        most = self._limits.max_document_bytes
        admitted = 0
        is_ended = not header.has_end
        async for message in messages:
            if message.WhichOneof("part") == "end" and header.has_end:
                is_ended = True
                break
            if message.WhichOneof("part") != "content":
                raise InvalidArgumentError.for_field(
                    "content", "must follow the header: an upload has one header"
                )
            _check_chunk(message.content)
            size_bytes = collector.size_bytes + len(message.content)
            if size_bytes > most:
                raise too_large(size_bytes, most, "content")
            while admitted < size_bytes:
                await admissions.enter_async_context(self._admission.admit(_UPLOAD_STEP_BYTES))
                admitted += _UPLOAD_STEP_BYTES
            await asyncio.to_thread(collector.add, message.content)
        if not is_ended:
            raise InvalidArgumentError.for_field(
                "end", "is missing: the upload broke off; send the document again"
            )
        content = collector.finish()
        _check_received(header, content)
        return content

    async def GetJob(  # noqa: N802 - the contract's name
        self, request: pb.GetJobRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetJobResponse:
        """Returns a job by its id or its document."""
        scope = scope_from_proto(request.scope)
        if request.job_id:
            check_job_id(request.job_id, "job_id")
            job = await self._store.get(scope.tenant, request.job_id)
            return pb.GetJobResponse(job=job_to_proto(job))
        if not request.document_id:
            raise InvalidArgumentError.for_field(
                "job_id", "give a job_id, or a collection and a document_id"
            )
        check_collection(request.collection)
        check_document_id(request.document_id, "document_id")
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
        wanted = JobFilter(
            scope.tenant, name, states_from_proto(request.states), request.latest_only
        )
        page, token = await self._store.list_page(
            wanted, page_size(request.page_size), request.page_token
        )
        return pb.ListJobsResponse(jobs=map(job_to_proto, page), next_page_token=token)

    async def WatchJobs(  # noqa: N802 - the contract's name
        self, request: pb.WatchJobsRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        """Reports jobs until all have ended."""
        scope = scope_from_proto(request.scope)
        job_ids = checked_job_ids(request.job_ids)
        async for jobs in watch(self._store, scope.tenant, job_ids):
            yield pb.WatchJobsResponse(jobs=map(job_to_proto, jobs))

    async def RetryJobs(  # noqa: N802 - the contract's name
        self, request: pb.RetryJobsRequest, context: grpc.aio.ServicerContext
    ) -> pb.RetryJobsResponse:
        """Queues failed jobs again."""
        scope = scope_from_proto(request.scope)
        if request.job_ids:
            jobs = await self._store.retry(scope.tenant, checked_job_ids(request.job_ids))
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
        jobs = await self._store.cancel(scope.tenant, checked_job_ids(request.job_ids))
        return pb.CancelJobsResponse(jobs=map(job_to_proto, jobs))

    async def DeleteDocuments(  # noqa: N802 - the contract's name
        self, request: pb.DeleteDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteDocumentsResponse:
        """Deletes documents everywhere."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        given = [
            name
            for name, is_given in (
                ("document_ids", bool(request.document_ids)),
                ("filter", request.HasField("filter")),
                ("source", bool(request.source)),
                ("owner", bool(request.owner)),
            )
            if is_given
        ]
        if len(given) != 1:
            raise InvalidArgumentError.for_field(
                "document_ids", "give exactly one of document_ids, filter, source and owner"
            )
        if request.document_ids:
            check_count("document_ids", len(request.document_ids), MAX_DOCUMENT_IDS)
            for index, document_id in enumerate(request.document_ids):
                check_document_id(document_id, f"document_ids[{index}]")
            ids = list(dict.fromkeys(request.document_ids))
            deleted = await self._deletions.delete(scope, request.collection, ids)
        else:
            deleted = await self._deletions.delete_where(
                scope, request.collection, _condition(request)
            )
        return pb.DeleteDocumentsResponse(
            deleted_count=deleted.count,
            seq=deleted.seq,
            stopped_job_count=deleted.stopped_job_count,
            remaining_count=deleted.remaining_count,
            is_verified=deleted.is_verified,
        )

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


def _condition(request: pb.DeleteDocumentsRequest) -> Condition:
    if request.HasField("filter"):
        return Condition(filters.from_proto(request.filter), request.filter)
    field, value = ("source", request.source) if request.source else ("owner", request.owner)
    check_text(value, MAX_URI_CHARACTERS, field)
    tree = Equals(field, value)
    actor = request.owner
    return Condition(tree, filters.to_proto(tree), actor)


def _check_declared(header: pb.UploadHeader, most: int) -> None:
    if header.HasField("size_bytes"):
        if header.size_bytes < 0:
            raise InvalidArgumentError.for_field("header.size_bytes", "must not be below 0")
        if header.size_bytes > most:
            raise too_large(header.size_bytes, most, "header.size_bytes")
    if header.sha256 and not _SHA256.match(header.sha256):
        raise InvalidArgumentError.for_field(
            "header.sha256", "must be 64 hexadecimal digits, or empty"
        )


def _check_chunk(data: bytes) -> None:
    if len(data) > MAX_CHUNK_BYTES:
        raise InvalidArgumentError.for_field(
            "content",
            f"a message has {len(data)} bytes, {MAX_CHUNK_BYTES} are allowed; send more messages",
            Reason.TOO_LARGE,
        )


def _check_received(header: pb.UploadHeader, content: Content) -> None:
    if header.HasField("size_bytes") and header.size_bytes != content.size_bytes:
        raise InvalidArgumentError.for_field(
            "content",
            f"{content.size_bytes} bytes came, header.size_bytes says {header.size_bytes}; "
            "send the document again",
        )
    if header.sha256 and header.sha256.lower() != content.digest:
        raise InvalidArgumentError.for_field(
            "content", "the bytes do not have the hash header.sha256; send the document again"
        )
