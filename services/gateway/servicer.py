"""`cairn.gateway.v1.GatewayService`: protobuf to domain and back, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import quality_pb2

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent, PassagesFound, SearchResult
from services.gateway.caches.policy import enter_policy, policy_of
from services.gateway.clients.passages_proto import (
    metadata_from_proto,
    metadata_to_proto,
    passages_to_proto,
    usage_to_proto,
)
from services.gateway.collection_rpcs import CollectionRpcs
from services.gateway.entered_rpcs import check_known, time_to_proto
from services.gateway.identity_rpcs import IdentityRpcs
from services.gateway.library import Document, Submission
from services.gateway.quality_rpcs import QualityRpcs
from services.gateway.requests import (
    Mode,
    NewDocument,
    Question,
    RecommendAsk,
    SearchAsk,
    Speaker,
    Turn,
    Verification,
)
from services.gateway.source_rpcs import SourceRpcs
from services.gateway.sources import DeleteAsk
from services.gateway.store.feedback import Feedback
from services.gateway.usage_rpcs import UsageRpcs
from services.rpc.deadline import deadline_in
from services.rpc.errors import InvalidArgumentError, Reason, ServiceError
from services.rpc.telemetry import current_span, current_trace_id

if TYPE_CHECKING:
    import grpc

    from services.gateway.chat_operations import ChatOperations
    from services.gateway.edge.door import Door
    from services.gateway.identity import Caller
    from services.gateway.identity.opening import Identity
    from services.gateway.operations import Operations

_MODES = {
    pb.SEARCH_MODE_UNSPECIFIED: Mode.HYBRID,
    pb.SEARCH_MODE_DENSE: Mode.DENSE,
    pb.SEARCH_MODE_KEYWORD: Mode.KEYWORD,
    pb.SEARCH_MODE_HYBRID: Mode.HYBRID,
}
_VERIFICATIONS = {
    pb.VERIFICATION_UNSPECIFIED: Verification.DROP,
    pb.VERIFICATION_ANNOTATE: Verification.ANNOTATE,
    pb.VERIFICATION_DROP: Verification.DROP,
    pb.VERIFICATION_REFUSE: Verification.REFUSE,
}
_SPEAKERS = {pb.SPEAKER_USER: Speaker.USER, pb.SPEAKER_ASSISTANT: Speaker.ASSISTANT}
_RATINGS = {pb.RATING_UP: "up", pb.RATING_DOWN: "down"}
_MAX_EVENTS = 64

T = TypeVar("T")


class GatewayServicer(CollectionRpcs, SourceRpcs, IdentityRpcs, UsageRpcs, QualityRpcs):
    """Serves the contract.

    Args:
        operations: What the gateway does.
        chat: What it does with models alone.
        identity: Who may come in, and what is written down about it.
        door: Lets callers in.
        timeout_seconds: Deadline of a call that has none.
    """

    def __init__(
        self,
        operations: Operations,
        chat: ChatOperations,
        identity: Identity,
        door: Door,
        timeout_seconds: float,
    ) -> None:
        self._operations = operations
        self._chat = chat
        self._identity = identity
        self._door = door
        self._timeout_seconds = timeout_seconds

    async def Query(  # noqa: N802 - the contract's name
        self, request: pb.QueryRequest, context: grpc.aio.ServicerContext
    ) -> pb.QueryResponse:
        """Answers a question with citations."""
        async with self._entered(context) as caller:
            return _answer(await self._operations.query(caller, _question(request)))

    async def StreamQuery(  # noqa: N802 - the contract's name
        self, request: pb.StreamQueryRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.StreamQueryResponse]:
        """Answers a question as a flow of text, then the whole response."""
        async with self._entered(context) as caller:
            if not request.HasField("query"):
                raise InvalidArgumentError.for_field("query", "must be set")
            question = _question(request.query, "query.")
            events: asyncio.Queue[AnswerEvent | BaseException] = asyncio.Queue(_MAX_EVENTS)

            async def work() -> None:
                try:
                    await events.put(await self._operations.query(caller, question, events.put))
                except Exception as error:  # noqa: BLE001 - raised again by the reader
                    await events.put(error)

            # The generator may be closed between two events: the task must not outlive it.
            task = asyncio.get_running_loop().create_task(work())
            try:
                while True:
                    event = await events.get()
                    if isinstance(event, BaseException):
                        raise event
                    yield _event(event)
                    if isinstance(event, Answer):
                        return
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def Search(  # noqa: N802 - the contract's name
        self, request: pb.SearchRequest, context: grpc.aio.ServicerContext
    ) -> pb.SearchResponse:
        """Finds passages."""
        async with self._entered(context) as caller:
            ask = SearchAsk.checked(
                request.query,
                collection=request.collection,
                history=_turns(request.history),
                filter_text=request.filter,
                top_k=request.top_k,
                mode=_known(_MODES, request.mode, "mode"),
                rerank=request.rerank,
                max_per_document=request.max_per_document,
                explain=request.explain,
            )
            return _search(await self._operations.search(caller, ask))

    async def Recommend(  # noqa: N802 - the contract's name
        self, request: pb.RecommendRequest, context: grpc.aio.ServicerContext
    ) -> pb.RecommendResponse:
        """Finds documents like some and unlike others."""
        async with self._entered(context) as caller:
            ask = RecommendAsk.checked(
                collection=request.collection,
                positive_ids=request.positive_ids,
                negative_ids=request.negative_ids,
                filter_text=request.filter,
                top_k=request.top_k,
                liked_ids=request.liked_ids,
                disliked_ids=request.disliked_ids,
                history_weight=(
                    request.history_weight if request.HasField("history_weight") else None
                ),
                diversity=request.diversity,
                candidates=request.candidates,
            )
            result = await self._operations.recommend(caller, ask)
            return pb.RecommendResponse(
                passages=passages_to_proto(result.passages),
                trace_id=result.trace_id,
                cached=result.cached,
                cached_age_seconds=result.cached_age_seconds,
                degraded=result.degraded,
                timings_ms=result.timings_ms,
            )

    async def SubmitDocuments(  # noqa: N802 - the contract's name
        self, request: pb.SubmitDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.SubmitDocumentsResponse:
        """Accepts documents; each gets a job."""
        async with self._entered(context) as caller:
            documents = [
                _new_document(each, f"documents[{index}]")
                for index, each in enumerate(request.documents)
            ]
            submissions = await self._operations.submit(caller, request.collection, documents)
            return pb.SubmitDocumentsResponse(submissions=map(_submission, submissions))

    async def UploadDocument(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[pb.UploadDocumentRequest],
        context: grpc.aio.ServicerContext,
    ) -> pb.UploadDocumentResponse:
        """Accepts one large document as its bytes come."""
        async with self._entered(context) as caller:
            header = await _upload_header(request_iterator)
            submission = await self._operations.upload(
                caller,
                header.collection,
                _new_document(header.document, "header.document"),
                _upload_content(request_iterator, has_end=header.has_end),
                size_bytes=header.size_bytes if header.HasField("size_bytes") else None,
                sha256=header.sha256,
            )
            return pb.UploadDocumentResponse(submission=_submission(submission))

    async def FetchDocuments(  # noqa: N802 - the contract's name
        self, request: pb.FetchDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.FetchDocumentsResponse:
        """Fetches documents by their URLs and accepts them."""
        async with self._entered(context) as caller:
            submissions = await self._operations.sources.fetch(
                caller,
                request.collection,
                request.urls,
                metadata_from_proto(request.metadata, "metadata"),
                request.acl,
            )
            return pb.FetchDocumentsResponse(submissions=map(_submission, submissions))

    async def DeleteDocuments(  # noqa: N802 - the contract's name
        self, request: pb.DeleteDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteDocumentsResponse:
        """Deletes documents by filter, source or owner."""
        async with self._entered(context) as caller:
            ask = DeleteAsk(request.filter, request.source, request.owner)
            deleted = await self._operations.sources.delete_documents(
                caller, request.collection, ask
            )
            return pb.DeleteDocumentsResponse(
                deleted_count=deleted.deleted_count,
                stopped_job_count=deleted.stopped_job_count,
                remaining_count=deleted.remaining_count,
                is_verified=deleted.is_verified,
            )

    async def GetDocument(  # noqa: N802 - the contract's name
        self, request: pb.GetDocumentRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetDocumentResponse:
        """Returns a document: its state and, once ready, its text."""
        async with self._entered(context) as caller:
            document = await self._operations.get_document(
                caller, request.collection, request.document_id, with_text=not request.omit_text
            )
            return pb.GetDocumentResponse(document=_document(document))

    async def ListDocuments(  # noqa: N802 - the contract's name
        self, request: pb.ListDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListDocumentsResponse:
        """Lists documents with their states, newest first."""
        async with self._entered(context) as caller:
            page = await self._operations.list_documents(
                caller,
                request.collection,
                request.states,
                request.page_size,
                request.page_token,
            )
            return pb.ListDocumentsResponse(
                documents=map(_document, page.entries), next_page_token=page.next_page_token
            )

    async def DeleteDocument(  # noqa: N802 - the contract's name
        self, request: pb.DeleteDocumentRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteDocumentResponse:
        """Deletes a document."""
        async with self._entered(context) as caller:
            await self._operations.delete_document(caller, request.collection, request.document_id)
            return pb.DeleteDocumentResponse()

    async def RetryDocument(  # noqa: N802 - the contract's name
        self, request: pb.RetryDocumentRequest, context: grpc.aio.ServicerContext
    ) -> pb.RetryDocumentResponse:
        """Runs a failed document again."""
        async with self._entered(context) as caller:
            document = await self._operations.retry_document(
                caller, request.collection, request.document_id
            )
            return pb.RetryDocumentResponse(document=_document(document))

    async def SubmitFeedback(  # noqa: N802 - the contract's name
        self, request: pb.SubmitFeedbackRequest, context: grpc.aio.ServicerContext
    ) -> pb.SubmitFeedbackResponse:
        """Stores what a person thinks of an answer."""
        async with self._entered(context) as caller:
            given = Feedback.checked(
                trace_id=request.trace_id,
                rating=_known(_RATINGS, request.rating, "rating"),
                comment=request.comment,
                markers=request.markers,
            )
            feedback_id = await self._operations.submit_feedback(caller, given)
            return pb.SubmitFeedbackResponse(feedback_id=feedback_id)

    @contextlib.asynccontextmanager
    async def _entered(self, context: grpc.aio.ServicerContext) -> AsyncIterator[Caller]:
        """Lets the caller in and runs the block under a deadline; the trace goes out as trailer."""
        authorization = None
        metadata = [(k, v) for k, v in context.invocation_metadata() or () if isinstance(v, str)]
        for key, value in metadata:
            if key == "authorization":
                authorization = value
        enter_policy(policy_of(metadata))
        admitted = await self._door.admit(authorization)
        current_span().set_attribute("cairn.tenant", admitted.caller.scope.tenant)
        admitted.allowance.check()
        trace_id = current_trace_id()
        if trace_id:
            context.set_trailing_metadata((("x-trace-id", trace_id),))
        followed = self._identity.audit.follow(admitted.caller, "grpc", trace_id)
        outcome = Reason.CANCELLED.value
        try:
            with deadline_in(self._timeout_seconds):
                yield admitted.caller
            outcome = "ok"
            await followed.before_answer()
        except ServiceError as error:
            outcome = error.reason.value
            await followed.before_answer(outcome)
            raise
        except Exception:
            outcome = Reason.INTERNAL.value
            raise
        finally:
            followed.end(outcome)


async def _upload_header(messages: AsyncIterator[pb.UploadDocumentRequest]) -> pb.UploadHeader:
    async for message in messages:
        if message.WhichOneof("part") != "header":
            break
        if message.header.document.content:
            raise InvalidArgumentError.for_field(
                "header.document.content", "must be empty: the bytes come in the messages after it"
            )
        return message.header
    raise InvalidArgumentError.for_field("header", "must be the first message of an upload")


async def _upload_content(
    messages: AsyncIterator[pb.UploadDocumentRequest], *, has_end: bool
) -> AsyncIterator[bytes]:
    async for message in messages:
        if message.WhichOneof("part") == "end" and has_end:
            return
        if message.WhichOneof("part") != "content":
            raise InvalidArgumentError.for_field(
                "content", "must follow the header: an upload has one header"
            )
        yield message.content
    if has_end:
        raise InvalidArgumentError.for_field(
            "end", "is missing: the upload broke off; send the document again"
        )


def _known(table: Mapping[Any, T], number: Any, field: str) -> T:
    """Returns what an enum number stands for.

    Raises:
        InvalidArgumentError: it is unset where it must be, or unknown.
    """
    check_known(number, table, field)
    return table[number]


def _question(request: pb.QueryRequest, path: str = "") -> Question:
    temperature = request.temperature if request.HasField("temperature") else None
    if temperature is not None and math.isnan(temperature):
        raise InvalidArgumentError.for_field(f"{path}temperature", "must be a number")
    return Question.checked(
        request.query,
        collection=request.collection,
        history=_turns(request.history, path),
        filter_text=request.filter,
        top_k=request.top_k,
        mode=_known(_MODES, request.mode, f"{path}mode"),
        rerank=request.rerank if request.HasField("rerank") else True,
        model=request.model,
        max_tokens=request.max_tokens,
        temperature=temperature,
        verification=_known(_VERIFICATIONS, request.verification, f"{path}verification"),
        explain=request.explain,
        bypass_cache=request.bypass_cache,
    )


def _turns(turns: Sequence[pb.Turn], path: str = "") -> list[Turn]:
    return [
        Turn(_known(_SPEAKERS, turn.speaker, f"{path}history[{index}].speaker"), turn.text)
        for index, turn in enumerate(turns)
    ]


def _new_document(message: pb.DocumentInput, path: str) -> NewDocument:
    return NewDocument(
        content=message.content,
        document_id=message.document_id,
        uri=message.uri,
        title=message.title,
        content_type=message.content_type,
        file_name=message.file_name,
        metadata=metadata_from_proto(message.metadata, f"{path}.metadata"),
        acl=tuple(message.acl),
        idempotency_key=message.idempotency_key,
    )


def _event(event: AnswerEvent) -> pb.StreamQueryResponse:
    match event:
        case PassagesFound(passages=passages):
            found = pb.PassagesFound(passages=passages_to_proto(passages))
            return pb.StreamQueryResponse(passages=found)
        case AnswerDelta(text=text):
            return pb.StreamQueryResponse(delta=pb.AnswerDelta(text=text))
        case Answer():
            return pb.StreamQueryResponse(response=_answer(event))


def _answer(answer: Answer) -> pb.QueryResponse:
    return pb.QueryResponse(
        answer=answer.answer,
        citations=[
            pb.Citation(
                marker=each.marker,
                document_id=each.document_id,
                document_version=each.document_version,
                chunk_id=each.chunk_id,
                start=each.start,
                end=each.end,
                text=each.text,
                uri=each.uri,
                title=each.title,
                support=each.support,
            )
            for each in answer.citations
        ],
        passages=passages_to_proto(answer.passages),
        refused=answer.refused,
        grounded=answer.grounded,
        degraded=answer.degraded,
        timings_ms=answer.timings_ms,
        usage=usage_to_proto(answer.usage),
        cost=pb.Cost(amount=answer.cost.amount, currency=answer.cost.currency),
        trace_id=answer.trace_id,
        cached=answer.cached,
        cached_age_seconds=answer.cached_age_seconds,
        cached_similarity=answer.cached_similarity,
        support=answer.support,
        engine=answer.engine,
        model=answer.model,
        explanation=_explanations(answer.explanation),
        finish_reason=answer.finish_reason,
        sentences=[
            quality_pb2.SentenceSupport(start=each.start, end=each.end, support=each.support)
            for each in answer.sentences
        ],
    )


def _search(result: SearchResult) -> pb.SearchResponse:
    return pb.SearchResponse(
        passages=passages_to_proto(result.passages),
        degraded=result.degraded,
        timings_ms=result.timings_ms,
        usage=usage_to_proto(result.usage),
        trace_id=result.trace_id,
        explanation=_explanations(result.explanation),
        cached=result.cached,
        cached_age_seconds=result.cached_age_seconds,
    )


def _explanations(explanation: Any) -> list[pb.StageExplanation]:
    return [
        pb.StageExplanation(
            stage=each.stage,
            candidates=passages_to_proto(each.candidates),
            dropped=each.dropped,
            notes=each.notes,
        )
        for each in explanation
    ]


def _submission(submission: Submission) -> pb.Submission:
    return pb.Submission(
        document=_document(submission.document) if submission.document is not None else None,
        is_duplicate=submission.is_duplicate,
        is_unchanged=submission.is_unchanged,
        error_reason=submission.error_reason,
        error_message=submission.error_message,
    )


def _document(document: Document) -> pb.Document:
    message = pb.Document(
        document_id=document.document_id,
        collection=document.collection,
        job_id=document.job_id,
        state=document.state,
        stage=document.stage,
        title=document.title,
        uri=document.uri,
        content_type=document.content_type,
        size_bytes=document.size_bytes,
        chunk_count=document.chunk_count,
        attempt_count=document.attempt_count,
        failure_reason=document.failure_reason,
        failure_message=document.failure_message,
        failure_stage=document.failure_stage,
        created_at=time_to_proto(document.created_at),
        updated_at=time_to_proto(document.updated_at),
        version=document.version,
        text=document.text,
        warnings=document.warnings,
    )
    for name, value in metadata_to_proto(document.metadata).items():
        message.metadata[name].CopyFrom(cast("Any", value))
    return message
