"""What the gateway does, once for every surface: permission, work, meter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from typing import TYPE_CHECKING

from services.gateway.answer_figures import note_answer, note_search
from services.gateway.arrivals import CountedBytes, arrived, arriving
from services.gateway.audit.trail import note_subjects
from services.gateway.collection_operations import CollectionOperations
from services.gateway.identity import Caller, Operation
from services.gateway.library import STATES, Chunk, Document, Submission
from services.gateway.metering import tokens_of
from services.gateway.pages import Page, page_size_of
from services.gateway.requests import MAX_DOCUMENTS, check_document_id
from services.gateway.store.feedback import Origin
from services.gateway.submissions import check_accepted
from services.gateway.texts import DEFAULT_COLLECTION, check_collection, check_range, check_text
from services.gateway.usage import Usage
from services.rpc.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
)
from services.rpc.logs import get_logger, is_written, keyed_hash, success_level

if TYPE_CHECKING:
    from services.gateway.answer import Answer, SearchResult
    from services.gateway.caches.pipeline import CachedPipeline
    from services.gateway.clients.embedding_client import (
        EmbeddedTexts,
        EmbeddingClient,
        EmbeddingModel,
    )
    from services.gateway.clients.ingestion_client import IngestionClient
    from services.gateway.clients.retrieval_client import RetrievalClient
    from services.gateway.library import StoredDocument
    from services.gateway.limits.desk import LimitDesk
    from services.gateway.metering import Metering
    from services.gateway.passages import ScoredPassage
    from services.gateway.pipeline.rag import Emit
    from services.gateway.quality_desk import QualityDesk
    from services.gateway.requests import NewDocument, Question, RecommendAsk, SearchAsk
    from services.gateway.source_operations import SourceOperations
    from services.gateway.store.feedback import Feedback, FeedbackStore
    from services.gateway.usage_desk import UsageDesk

_MAX_EMBED_TEXTS = 256
PROGRAM_VERSION = metadata.version("cairn-rag")
_MAX_ORDINAL_DIGITS = 9


class Operations:
    """Everything a caller may ask for.

    Args:
        pipeline: Answers and searches.
        embedding: The embedding service.
        retrieval: The retrieval service.
        ingestion: The ingestion service.
        metering: Reserves and meters what requests use.
        usage: What callers may see of what was used.
        limits: What callers may see of limits.
        feedback: Keeps ratings.
        sources: What callers may do with sources.
        quality: Checks of answers and refusal thresholds.
    """

    def __init__(
        self,
        *,
        pipeline: CachedPipeline,
        embedding: EmbeddingClient,
        retrieval: RetrievalClient,
        ingestion: IngestionClient,
        metering: Metering,
        usage: UsageDesk,
        limits: LimitDesk,
        feedback: FeedbackStore,
        sources: SourceOperations,
        quality: QualityDesk,
    ) -> None:
        self._pipeline = pipeline
        self.caches = pipeline
        self.query_seconds = pipeline.seconds
        """Deadline of a question or search that has none or a later one."""
        self._embedding = embedding
        self._retrieval = retrieval
        self._ingestion = ingestion
        self._metering = metering
        self.usage = usage
        self.limits = limits
        self._feedback = feedback
        self.sources = sources
        self.collections = CollectionOperations(retrieval, embedding, ingestion, quality)
        self.quality = quality

    async def query(self, caller: Caller, question: Question, emit: Emit | None = None) -> Answer:
        """Answers a question; see `RagPipeline.answer`."""
        caller.require(Operation.QUERY, question.collection)
        note_subjects("query", (question.query,))
        expected = self._metering.asking(question, is_stream=emit is not None)
        async with self._metering.request(caller, Operation.QUERY, question.collection, expected):
            question = await self.quality.calibrated(caller, question)
            answer = await self._pipeline.answer(caller.scope, question, emit)
        note_subjects("document", dict.fromkeys(_documents(answer.passages)))
        note_answer(answer)
        self._feedback.remember(
            caller.scope.tenant,
            answer.trace_id,
            Origin(
                keyed_hash(question.query),
                {
                    "cairn": PROGRAM_VERSION,
                    "collection": question.collection,
                    "engine": answer.engine,
                    "model": answer.model,
                    "cached": answer.cached,
                },
            ),
        )
        _log_asked("question answered", question.query, question.collection, answer)
        return answer

    async def search(self, caller: Caller, ask: SearchAsk) -> SearchResult:
        """Finds passages; see `RagPipeline.search`."""
        caller.require(Operation.SEARCH, ask.collection)
        note_subjects("query", (ask.query,))
        expected = self._metering.expected(Usage(embedding_tokens=tokens_of([ask.query])))
        async with self._metering.request(caller, Operation.SEARCH, ask.collection, expected):
            result = await self._pipeline.search(caller.scope, ask)
        note_subjects("document", dict.fromkeys(_documents(result.passages)))
        note_search(result)
        _log_asked("search answered", ask.query, ask.collection, result)
        return result

    async def recommend(self, caller: Caller, ask: RecommendAsk) -> SearchResult:
        """Finds documents like others; see `RagPipeline.recommend`."""
        caller.require(Operation.RECOMMEND, ask.collection)
        named = (*ask.positive_ids, *ask.negative_ids, *ask.liked_ids, *ask.disliked_ids)
        note_subjects("document", named)
        async with self._metering.request(caller, Operation.RECOMMEND, ask.collection):
            result = await self._pipeline.recommend(caller.scope, ask)
        note_subjects("document", dict.fromkeys(_documents(result.passages)))
        note_search(result)
        return result

    async def embed(
        self, caller: Caller, texts: Sequence[str], model: str, dimensions: int
    ) -> EmbeddedTexts:
        """Returns vectors of texts."""
        caller.require(Operation.EMBED)
        check_range("input (entries)", len(texts), 1, _MAX_EMBED_TEXTS)
        for index, text in enumerate(texts):
            check_text(f"input[{index}]", text, limit=100_000, required=True)
        expected = self._metering.expected(
            Usage(embedding_tokens=tokens_of(texts)), model, vectors=len(texts)
        )
        async with self._metering.request(caller, Operation.EMBED, expected=expected) as meter:
            result = await self._embedding.embed_texts(caller.scope, texts, model, dimensions)
            meter.model = result.model
            meter.vector_count = len(texts)
            meter.usage += Usage(embedding_tokens=result.tokens)
        return result

    async def embedding_models(self, caller: Caller) -> tuple[EmbeddingModel, ...]:
        """Returns the loaded embedding models."""
        caller.require(Operation.EMBED)
        return await self._embedding.models(caller.scope)

    async def submit(
        self, caller: Caller, collection: str, documents: Sequence[NewDocument]
    ) -> tuple[Submission, ...]:
        """Hands documents to ingestion; a bad one fails alone.

        Raises:
            InvalidArgumentError: there is none, or none could be accepted.
        """
        collection = check_collection(collection)
        caller.require(Operation.INGEST, collection)
        check_range("documents (entries)", len(documents), 1, MAX_DOCUMENTS)
        refused: dict[int, InvalidArgumentError] = {}
        for index, document in enumerate(documents):
            try:
                document.check(f"documents[{index}]")
            except InvalidArgumentError as error:
                refused[index] = error
        good = [each for index, each in enumerate(documents) if index not in refused]
        accepted: Sequence[Submission] = ()
        if good:
            expected = arriving(len(good), sum(each.size_bytes for each in good))
            async with self._metering.request(
                caller, Operation.INGEST, collection, expected
            ) as meter:
                accepted = await self._ingestion.submit(caller.scope, collection, good)
                arrived(meter, zip(accepted, (each.size_bytes for each in good), strict=True))
        taken = iter(accepted)
        submissions = tuple(
            _refusal(refused[index]) if index in refused else next(taken)
            for index in range(len(documents))
        )
        check_accepted(submissions)
        return submissions

    async def upload(
        self,
        caller: Caller,
        collection: str,
        document: NewDocument,
        content: AsyncIterator[bytes],
        *,
        size_bytes: int | None = None,
        sha256: str = "",
    ) -> Submission:
        """Hands a document to ingestion as its bytes come.

        Args:
            caller: Who sends it.
            collection: Where it goes.
            document: What is known of it; its content is not looked at.
            content: Its bytes.
            size_bytes: How many come; None: not known.
            sha256: Their hash; empty: not known.

        Raises:
            InvalidArgumentError: something about it is wrong.
        """
        collection = check_collection(collection)
        caller.require(Operation.INGEST, collection)
        document.check_header("header.document")
        async with self._metering.request(
            caller, Operation.INGEST, collection, arriving(1, size_bytes or 0)
        ) as meter:
            counted = CountedBytes(content)
            submission = await self._ingestion.upload(
                caller.scope, collection, document, counted, size_bytes=size_bytes, sha256=sha256
            )
            arrived(meter, [(submission, counted.size_bytes)])
        return submission

    async def get_document(
        self, caller: Caller, collection: str, document_id: str, *, with_text: bool = True
    ) -> Document:
        """Returns a document with its state.

        Raises:
            NotFoundError: there is none, or none the caller may see.
        """
        collection = check_collection(collection)
        caller.require(Operation.READ_DOCUMENTS, collection)
        check_document_id(document_id)
        note_subjects("document", (document_id,))
        stored, job = await asyncio.gather(
            self._stored(caller, collection, document_id, with_text=with_text),
            self._job(caller, collection, document_id),
        )
        if stored is None and (job is None or not _sees_job(caller, collection, job)):
            raise _no_document()
        return _joined(collection, stored, job)

    async def list_documents(
        self,
        caller: Caller,
        collection: str,
        states: Sequence[str] = (),
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Document]:
        """Returns a page of documents: with their jobs for editors, as indexed for viewers.

        A page may be shorter than asked for: what the caller may not see is left out of it.
        """
        collection = check_collection(collection)
        caller.require(Operation.READ_DOCUMENTS, collection)
        for index, state in enumerate(states):
            if state not in STATES:
                raise InvalidArgumentError.for_field(
                    f"states[{index}]", f"must be one of {', '.join(STATES)}"
                )
        size = page_size_of(page_size)
        check_text("page_token", page_token, limit=2_048)
        if not caller.may(Operation.INGEST, collection):
            if states and "ready" not in states:
                return Page((), "")
            found, token = await self._retrieval.scroll_documents(
                caller.scope, collection, size, page_token
            )
            return Page(tuple(_joined(collection, each, None) for each in found), token)
        jobs, token = await self._ingestion.list_jobs(
            caller.scope, collection, states, size, page_token
        )
        if not jobs and collection != DEFAULT_COLLECTION:
            # Nothing yet, or no such collection: that is for retrieval to say.
            await self._retrieval.get_collection(caller.scope, collection)
        return Page(await self._visible(caller, collection, jobs), token)

    async def list_chunks(
        self,
        caller: Caller,
        collection: str,
        document_id: str,
        page_size: int = 0,
        page_token: str = "",
    ) -> Page[Chunk]:
        """Returns a page of a document's chunks, in their order.

        Raises:
            NotFoundError: there is no such document in the index, or none the caller may read.
        """
        collection = check_collection(collection)
        caller.require(Operation.READ_DOCUMENTS, collection)
        check_document_id(document_id)
        note_subjects("document", (document_id,))
        size, first = page_size_of(page_size), _ordinal(page_token)
        chunks = await self._retrieval.get_chunks(caller.scope, collection, document_id)
        if chunks is None:
            raise _no_document()
        last = first + size
        return Page(chunks[first:last], str(last) if last < len(chunks) else "")

    async def delete_document(self, caller: Caller, collection: str, document_id: str) -> None:
        """Deletes a document everywhere.

        Raises:
            NotFoundError: there was none.
        """
        collection = check_collection(collection)
        caller.require(Operation.DELETE_DOCUMENT, collection)
        check_document_id(document_id)
        note_subjects("document", (document_id,))
        # Ingestion deletes what is indexed and what is on its way; its count has the former only.
        job = await self._job(caller, collection, document_id)
        deleted = await self._ingestion.delete(caller.scope, collection, [document_id])
        if not deleted and job is None:
            raise _no_document()

    async def retry_document(self, caller: Caller, collection: str, document_id: str) -> Document:
        """Runs a failed document again.

        Raises:
            NotFoundError: there is none.
        """
        collection = check_collection(collection)
        caller.require(Operation.INGEST, collection)
        check_document_id(document_id)
        note_subjects("document", (document_id,))
        job = await self._job(caller, collection, document_id)
        if job is None:
            raise _no_document()
        return await self._ingestion.retry(caller.scope, job.job_id) or job

    async def submit_feedback(self, caller: Caller, given: Feedback) -> str:
        """Stores a rating and returns its identifier."""
        caller.require(Operation.FEEDBACK)
        return await self._feedback.add(caller, given)

    async def _stored(
        self, caller: Caller, collection: str, document_id: str, *, with_text: bool
    ) -> StoredDocument | None:
        try:
            found = await self._retrieval.get_documents(
                caller.scope, collection, [document_id], with_text=with_text
            )
        except NotFoundError:  # the collection is not there yet
            return None
        return found.get(document_id)

    async def _job(self, caller: Caller, collection: str, document_id: str) -> Document | None:
        try:
            return await self._ingestion.get_job(caller.scope, collection, document_id)
        except NotFoundError:
            return None

    async def _visible(
        self, caller: Caller, collection: str, jobs: Sequence[Document]
    ) -> tuple[Document, ...]:
        """Leaves out indexed documents whose access list does not name the caller."""
        if caller.may(Operation.SEE_ALL_DOCUMENTS, collection) or not jobs:
            return tuple(jobs)
        try:
            readable = await self._retrieval.get_documents(
                caller.scope, collection, [job.document_id for job in jobs], with_text=False
            )
        except NotFoundError:
            readable = {}
        return tuple(
            job for job in jobs if job.document_id in readable or _sees_job(caller, collection, job)
        )


def _documents(passages: Sequence[ScoredPassage]) -> Iterator[str]:
    return (each.passage.document_id for each in passages)


def _sees_job(caller: Caller, collection: str, job: Document) -> bool:
    """Whether the job alone may be shown: operators see all; editors what is not indexed yet."""
    if caller.may(Operation.SEE_ALL_DOCUMENTS, collection):
        return True
    return caller.may(Operation.INGEST, collection) and job.version == 0


def _joined(collection: str, stored: StoredDocument | None, job: Document | None) -> Document:
    """Returns the document as the job and the index know it together."""
    base = job or Document(document_id=stored.document_id if stored else "", collection=collection)
    if stored is None:
        return base
    return replace(
        base,
        title=stored.title or base.title,
        uri=stored.uri or base.uri,
        chunk_count=stored.chunk_count or base.chunk_count,
        version=stored.version,
        text=stored.text,
        metadata=stored.metadata,
        created_at=base.created_at or stored.committed_at,
        updated_at=base.updated_at or stored.committed_at,
    )


def _refusal(error: InvalidArgumentError) -> Submission:
    return Submission(None, error_reason=error.reason.value, error_message=error.message)


def _no_document() -> NotFoundError:
    return NotFoundError(
        Reason.DOCUMENT_NOT_FOUND, "there is no such document, or none this key may read"
    )


def _ordinal(page_token: str) -> int:
    if not page_token:
        return 0
    if not page_token.isdecimal() or len(page_token) > _MAX_ORDINAL_DIGITS:
        raise InvalidArgumentError.for_field("page_token", "is not one that was given out")
    return int(page_token)


def _log_asked(event: str, query: str, collection: str, answer: Answer | SearchResult) -> None:
    """Logs one question: as a hash, which finds its repetitions and tells nobody what it was."""
    level = success_level()
    if is_written(level):
        getattr(get_logger(), level)(
            event,
            query_hash=keyed_hash(query),
            collection=collection,
            count=len(answer.passages),
            status=",".join(answer.degraded) or "complete",
            duration_ms=answer.timings_ms.get("total", 0.0),
        )
