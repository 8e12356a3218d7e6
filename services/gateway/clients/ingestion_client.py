"""The ingestion service: submissions and their jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc
from cairn.types.v1 import metadata_pb2

from services.filters.proto import value_to_proto
from services.gateway.library import Document, Submission
from services.gateway.overview import QueueFigures
from services.rpc.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
)
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.gateway.requests import NewDocument
    from services.rpc.scope import Scope

_TIMEOUT_SECONDS = 10.0
_SUBMIT_TIMEOUT_SECONDS = 60.0
_TOGETHER_BYTES = 4 * 1024 * 1024
"""Larger documents go as streams of their own."""
_REQUEST_BYTES = 16 * 1024 * 1024
_PIECE_BYTES = 1024 * 1024
_STATES = {
    pb.JOB_STATE_QUEUED: "queued",
    pb.JOB_STATE_RUNNING: "running",
    pb.JOB_STATE_READY: "ready",
    pb.JOB_STATE_DEAD_LETTER: "dead_letter",
    pb.JOB_STATE_CANCELLED: "cancelled",
    pb.JOB_STATE_SUPERSEDED: "superseded",
}
_STATE_NUMBERS = {name: number for number, name in _STATES.items()}
_STAGES = {
    pb.STAGE_RECEIVED: "received",
    pb.STAGE_PARSED: "parsed",
    pb.STAGE_CHUNKED: "chunked",
    pb.STAGE_EMBEDDED: "embedded",
    pb.STAGE_INDEXED: "indexed",
}


class IngestionClient:
    """Calls `cairn.ingestion.v1.IngestionService`.

    Args:
        channel: To its replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.IngestionServiceStub(channel)

    async def submit(
        self, scope: Scope, collection: str, documents: Sequence[NewDocument]
    ) -> tuple[Submission, ...]:
        """Hands documents over; one result each, in order.

        Small ones go together, large ones as streams of their own.

        Raises:
            ServiceError: the service does not answer, or refuses them as a whole.
        """
        results: dict[int, Submission] = {}
        for group in _groups(documents):
            if len(group) == 1 and documents[group[0]].size_bytes > _TOGETHER_BYTES:
                (place,) = group
                results[place] = await self._upload_one(scope, collection, documents[place])
                continue
            sent = [await _input(documents[place]) for place in group]
            response = await self._stub.SubmitDocuments(
                pb.SubmitDocumentsRequest(
                    scope=scope_to_proto(scope), collection=collection, documents=sent
                ),
                timeout=_SUBMIT_TIMEOUT_SECONDS,
            )
            results.update(
                zip(group, map(submission_from_proto, response.submissions), strict=True)
            )
        return tuple(results[place] for place in range(len(documents)))

    async def _upload_one(self, scope: Scope, collection: str, document: NewDocument) -> Submission:
        content = _pieces(document.content) if document.file is None else document.file.pieces()
        try:
            return await self.upload(
                scope, collection, document, content, size_bytes=document.size_bytes
            )
        except (AlreadyExistsError, FailedPreconditionError, InvalidArgumentError) as error:
            # This document's fault: the others stand.
            return Submission(None, error_reason=error.reason.value, error_message=error.message)

    async def upload(
        self,
        scope: Scope,
        collection: str,
        document: NewDocument,
        content: AsyncIterator[bytes],
        *,
        size_bytes: int | None = None,
        sha256: str = "",
    ) -> Submission:
        """Hands one document over as its bytes come.

        Raises:
            ServiceError: the service does not answer, or refuses it.
        """
        broken: list[BaseException] = []

        async def messages() -> AsyncIterator[pb.UploadDocumentRequest]:
            yield pb.UploadDocumentRequest(
                header=pb.UploadHeader(
                    scope=scope_to_proto(scope),
                    collection=collection,
                    document=_header(document),
                    size_bytes=size_bytes,
                    sha256=sha256,
                    has_end=True,
                )
            )
            try:
                async for piece in content:
                    for start in range(0, len(piece), _PIECE_BYTES):
                        yield pb.UploadDocumentRequest(content=piece[start : start + _PIECE_BYTES])
                yield pb.UploadDocumentRequest(end=pb.UploadEnd())
            except Exception as error:  # noqa: BLE001 - raised again below
                # Cancelling alone is not enough: the service may see the end of the stream first.
                # It takes no document whose `end` did not come.
                broken.append(error)
                call.cancel()

        call = self._stub.UploadDocument(messages(), timeout=_SUBMIT_TIMEOUT_SECONDS)
        try:
            response = await call
        except BaseException:
            if broken:
                raise broken[0] from None
            raise
        return submission_from_proto(response.submission)

    async def get_job(self, scope: Scope, collection: str, document_id: str) -> Document:
        """Returns the newest job of a document.

        Raises:
            NotFoundError: there is none.
            ServiceError: the service does not answer.
        """
        response = await self._stub.GetJob(
            pb.GetJobRequest(
                scope=scope_to_proto(scope), collection=collection, document_id=document_id
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        return _document(response.job)

    async def list_jobs(
        self,
        scope: Scope,
        collection: str,
        states: Sequence[str],
        page_size: int,
        page_token: str,
    ) -> tuple[tuple[Document, ...], str]:
        """Returns a page of the newest job of each document, and the next token.

        Raises:
            ServiceError: the service does not answer, or refuses the token.
        """
        response = await self._stub.ListJobs(
            pb.ListJobsRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                states=[_STATE_NUMBERS[state] for state in states],
                page_size=page_size,
                page_token=page_token,
                latest_only=True,
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        return tuple(_document(job) for job in response.jobs), response.next_page_token

    async def queue_figures(self, scope: Scope) -> QueueFigures:
        """Returns how many jobs of the tenant wait, run, failed and are done.

        Raises:
            ServiceError: the service does not answer.
        """
        stats = await self._stub.GetQueueStats(
            pb.GetQueueStatsRequest(scope=scope_to_proto(scope)), timeout=_TIMEOUT_SECONDS
        )
        return QueueFigures(
            queued_count=stats.queued_count,
            running_count=stats.running_count,
            dead_letter_count=stats.dead_letter_count,
            ready_count=stats.ready_count,
            oldest_job_age_seconds=stats.oldest_job_age.ToMilliseconds() / 1e3,
        )

    async def retry(self, scope: Scope, job_id: str) -> Document | None:
        """Queues a failed job again; None when ingestion reports no such job.

        Raises:
            ServiceError: the job's state does not allow it, or the service does not answer.
        """
        response = await self._stub.RetryJobs(
            pb.RetryJobsRequest(scope=scope_to_proto(scope), job_ids=[job_id]),
            timeout=_TIMEOUT_SECONDS,
        )
        return _document(response.jobs[0]) if response.jobs else None

    async def delete(self, scope: Scope, collection: str, document_ids: Sequence[str]) -> int:
        """Deletes documents everywhere; returns how many there were.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(
                scope=scope_to_proto(scope), collection=collection, document_ids=document_ids
            ),
            timeout=_TIMEOUT_SECONDS,
        )
        return response.deleted_count

    async def delete_all(self, scope: Scope, collection: str) -> int:
        """Deletes every document of a collection everywhere; returns how many there were.

        Raises:
            ServiceError: the service does not answer.
        """
        everything = metadata_pb2.Filter(all_of=metadata_pb2.FilterList())
        response = await self._stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(
                scope=scope_to_proto(scope), collection=collection, filter=everything
            ),
            timeout=_SUBMIT_TIMEOUT_SECONDS,
        )
        return response.deleted_count


def _groups(documents: Sequence[NewDocument]) -> list[list[int]]:
    """Returns the places of documents that are handed over together, in order."""
    groups: list[list[int]] = []
    size_bytes = 0
    for place, document in enumerate(documents):
        is_full = size_bytes + document.size_bytes > _REQUEST_BYTES
        if not groups or is_full or document.size_bytes > _TOGETHER_BYTES:
            groups.append([])
            size_bytes = 0
        groups[-1].append(place)
        size_bytes += document.size_bytes
        if document.size_bytes > _TOGETHER_BYTES:
            size_bytes = _REQUEST_BYTES + 1
    return groups


async def _input(document: NewDocument) -> pb.DocumentInput:
    content = document.content
    if document.file is not None:
        content = b"".join([piece async for piece in document.file.pieces()])
    return pb.DocumentInput(header=_header(document), content=content)


def _header(document: NewDocument) -> pb.DocumentHeader:
    return pb.DocumentHeader(
        document_id=document.document_id,
        uri=document.uri,
        title=document.title,
        content_type=document.content_type,
        file_name=document.file_name,
        metadata={name: value_to_proto(value) for name, value in document.metadata.items()},
        acl=document.acl,
        idempotency_key=document.idempotency_key,
    )


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    yield content


def submission_from_proto(message: pb.Submission) -> Submission:
    """Returns what became of a submitted document."""
    return Submission(
        document=_document(message.job) if message.HasField("job") else None,
        is_duplicate=message.is_duplicate,
        is_unchanged=message.is_unchanged,
        error_reason=message.error.reason if message.HasField("error") else "",
        error_message=message.error.message if message.HasField("error") else "",
    )


def _document(job: pb.Job) -> Document:
    return Document(
        document_id=job.document_id,
        collection=job.collection,
        job_id=job.job_id,
        state=_STATES.get(job.state, "queued"),
        stage=_STAGES.get(job.stage, ""),
        title=job.title,
        uri=job.uri,
        content_type=job.content_type,
        size_bytes=job.size_bytes,
        chunk_count=job.chunk_count,
        attempt_count=job.attempt_count,
        failure_reason=job.failure.reason if job.HasField("failure") else "",
        failure_message=job.failure.message if job.HasField("failure") else "",
        failure_stage=_STAGES.get(job.failure.stage, "") if job.HasField("failure") else "",
        created_at=job.created_at.ToDatetime() if job.HasField("created_at") else None,
        updated_at=job.updated_at.ToDatetime() if job.HasField("updated_at") else None,
        version=job.document_version,
        warnings=tuple(job.warnings),
    )
