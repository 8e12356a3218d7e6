"""RetrievalService: protobuf to the domain and back."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import usage_pb2

from services.filters.proto import value_to_proto
from services.retrieval import (
    checks,
    documents_from_proto,
    from_proto,
    limits,
    to_proto,
    vectors_proto,
    wire,
)
from services.retrieval.collection_calls import CollectionCalls
from services.retrieval.likeness import Likeness
from services.retrieval.metrics import QUERIES_EMPTY, QUERIES_FOUND
from services.retrieval.queries import SearchMode
from services.retrieval.search import Reach, check_query
from services.retrieval.transfer_calls import TransferCalls
from services.retrieval.vectors import unit
from services.retrieval.write_stream import Write, in_order
from services.rpc.errors import InvalidArgumentError
from services.rpc.scope_proto import scope_from_proto
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from services.filters.ast import Filter
    from services.retrieval.administration import Administration
    from services.retrieval.backend import CollectionSearcher
    from services.retrieval.documents import Document
    from services.retrieval.library import Library
    from services.retrieval.queries import Answer, SearchOptions
    from services.retrieval.snapshots.archive import Archive
    from services.retrieval.transfer import Exporter
    from services.rpc.admission import Admission

SLOW_SECONDS = 0.15
"""A search that takes longer misses its objective: its trace is kept whatever the share."""


class RetrievalServicer(CollectionCalls, TransferCalls):
    """Answers the contract's calls.

    Args:
        library: Collections and documents.
        searcher: Searches.
        administration: Settings, quotas, checks.
        exporter: Reads collections whole.
        queries: Bounds the queries in work.
        writes: Bounds the bytes of writes in work.
        archive: Snapshots; None: there are none.
    """

    def __init__(
        self,
        library: Library,
        searcher: CollectionSearcher,
        administration: Administration,
        exporter: Exporter,
        queries: Admission,
        writes: Admission,
        archive: Archive | None = None,
    ) -> None:
        self._library = library
        self._administration = administration
        self._exporter = exporter
        self._archive = archive
        self._searcher = searcher
        self._queries = queries
        self._writes = writes

    async def Upsert(self, request: pb.UpsertRequest, context: Any) -> Any:
        """Writes whole document versions."""
        return await self._upsert(request)

    async def UpsertStream(
        self, request_iterator: AsyncIterator[pb.UpsertStreamRequest], context: Any
    ) -> AsyncIterator[pb.UpsertStreamResponse]:
        """Writes a flow of documents; one acknowledgement per message, in order."""

        async def begin(
            message: pb.UpsertStreamRequest, nbytes: int
        ) -> Write[pb.UpsertStreamResponse]:
            new, write = await self._begin_upsert(message.request, nbytes)

            async def work() -> pb.UpsertStreamResponse:
                return pb.UpsertStreamResponse(batch_id=message.batch_id, response=await write())

            return Write(frozenset(each.document_id for each in new), work)

        writes = in_order(request_iterator, begin, lambda message: message.ByteSize(), self._writes)
        async with contextlib.aclosing(writes) as answers:
            async for answer in answers:
                yield answer

    async def Delete(self, request: pb.DeleteRequest, context: Any) -> Any:
        """Deletes documents by id or by filter."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.collection, "collection")
        has_filter = request.HasField("filter")
        if has_filter and request.document_ids:
            raise InvalidArgumentError.for_field(
                "filter", "give either document_ids or a filter, not both"
            )
        if not has_filter and not request.document_ids:
            raise InvalidArgumentError.for_field(
                "document_ids", "give document_ids or a filter: nothing is deleted by default"
            )
        ids = from_proto.document_ids(
            request.document_ids, "document_ids", is_required=not has_filter
        )
        tree = from_proto.optional_filter(request.filter, "filter", is_set=has_filter)
        async with self._writes.admit(request.ByteSize()):
            deleted = await self._library.delete(scope.tenant, name, ids, tree)
        return pb.DeleteResponse(seq=deleted.seq, deleted_count=deleted.count)

    async def GetDocuments(self, request: pb.GetDocumentsRequest, context: Any) -> Any:
        """Returns documents with their text."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        ids = from_proto.document_ids(request.document_ids, "document_ids")
        with_codes = request.include_chunks and request.include_token_codes
        with_vectors = request.include_chunks and request.include_vectors
        async with self._queries.admit(1):
            _, found = await self._library.read(
                reach,
                name,
                ids,
                with_text=not request.omit_text,
                with_chunks=request.include_chunks,
                with_vectors=with_vectors or with_codes,
                with_codes=with_codes,
            )
        return pb.GetDocumentsResponse(
            documents=[
                to_proto.document(each, with_vectors=with_vectors, with_codes=with_codes)
                for each in found
            ]
        )

    async def Scroll(self, request: pb.ScrollRequest, context: Any) -> Any:
        """Lists documents, or their chunks, page by page."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        size = from_proto.page_size(request.page_size)
        tree = _filter(request)
        if request.unit not in pb.ScrollUnit.values():
            raise InvalidArgumentError.for_field("unit", f"{request.unit} is not known")
        async with self._queries.admit(1):
            if request.unit == pb.SCROLL_UNIT_CHUNK:
                chunks = await self._library.scroll_chunks(
                    reach,
                    name,
                    tree,
                    size,
                    request.page_token,
                    with_vectors=request.include_vectors,
                )
                return to_proto.passage_page(chunks, omit_text=request.omit_text)
            page = await self._library.scroll_documents(
                reach,
                name,
                tree,
                size,
                request.page_token,
                with_vectors=request.include_vectors,
            )
        return to_proto.document_page(page, with_vectors=request.include_vectors)

    async def Count(self, request: pb.CountRequest, context: Any) -> Any:
        """Counts documents and chunks."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        tree = _filter(request)
        async with self._queries.admit(1):
            documents, chunks = await self._library.count(reach, name, tree)
        return pb.CountResponse(document_count=documents, chunk_count=chunks)

    async def Facet(self, request: pb.FacetRequest, context: Any) -> Any:
        """Counts documents by the values of a metadata field."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        tree = _filter(request)
        field = checks.text(
            request.field, "field", limits.MAX_FIELD_NAME_CHARACTERS, is_required=True
        )
        limit = checks.number(
            request.limit, "limit", 1, limits.MAX_FACET_VALUES, limits.DEFAULT_FACET_VALUES
        )
        async with self._queries.admit(1):
            found = await self._library.facet(reach, name, field, tree, limit)
        return pb.FacetResponse(
            values=[
                pb.FacetValue(value=value_to_proto(value), document_count=count)
                for value, count in found
            ]
        )

    async def Search(self, request: pb.SearchRequest, context: Any) -> Any:
        """Finds passages for one query."""
        return await self._one(request)

    async def BatchSearch(self, request: pb.BatchSearchRequest, context: Any) -> Any:
        """Finds passages for several queries."""
        if not request.queries:
            raise InvalidArgumentError.for_field("queries", "must hold at least one query")
        checks.size(len(request.queries), limits.MAX_QUERIES_PER_BATCH, "queries", "queries")
        options, answers = await self._search(request, request.queries, "queries[{index}]")
        explain = request.options.explain
        return wire.batch([wire.answer(each, options, explain=explain) for each in answers])

    async def SearchStream(
        self, request_iterator: AsyncIterator[pb.SearchStreamRequest], context: Any
    ) -> AsyncIterator[Any]:
        """Finds passages for a flow of queries; one answer per message, in order."""
        async for message in request_iterator:
            yield wire.stream_answer(message.search_id, await self._one(message.request))

    async def Recommend(self, request: pb.RecommendRequest, context: Any) -> Any:
        """Finds documents like some and unlike others."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        options = from_proto.search_options(request.options, SearchMode.DENSE)
        if not request.positive_ids and not request.positive_vectors:
            raise InvalidArgumentError.for_field(
                "positive_ids", "give at least one of positive_ids and positive_vectors"
            )
        checks.size(len(request.positive_vectors), limits.MAX_IDS, "positive_vectors", "vectors")
        vectors = tuple(
            unit(vectors_proto.from_message(each, f"positive_vectors[{i}]"))
            for i, each in enumerate(request.positive_vectors)
        )
        checks.size(len(request.negative_vectors), limits.MAX_IDS, "negative_vectors", "vectors")
        disliked = tuple(
            unit(vectors_proto.from_message(each, f"negative_vectors[{i}]"))
            for i, each in enumerate(request.negative_vectors)
        )
        likeness = Likeness(
            tuple(from_proto.document_ids(request.positive_ids, "positive_ids", is_required=False)),
            tuple(from_proto.document_ids(request.negative_ids, "negative_ids", is_required=False)),
            vectors,
            disliked,
            from_proto.history(request.history) if request.HasField("history") else None,
        )
        check = partial(
            check_query,
            vectors=(*vectors, *disliked),
            embedding_model=request.options.embedding_model,
            path="positive_vectors",
        )
        async with self._queries.admit(1):
            answer = await self._searcher.recommend(reach, name, likeness, options, check)
        rest = pb.RecommendResponse(
            explanation=to_proto.explanation(answer) if request.options.explain else None,
            usage=usage_pb2.Usage(vectors_scanned=answer.vectors_scanned),
            generation=answer.generation,
            is_current=answer.is_current,
            valid_until=to_proto.optional_timestamp(answer.valid_until_micros),
        )
        return wire.passages(answer, options) + rest.SerializeToString()

    async def _upsert(self, request: pb.UpsertRequest) -> pb.UpsertResponse:
        nbytes = request.ByteSize()
        async with self._writes.admit(nbytes):
            _, write = await self._begin_upsert(request, nbytes)
            return await write()

    async def _begin_upsert(
        self, request: pb.UpsertRequest, nbytes: int
    ) -> tuple[list[Document], Callable[[], Awaitable[pb.UpsertResponse]]]:
        """Reads and checks a write; returns its documents, and what writes them."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.collection, "collection")
        new = await self._read_documents(request.documents, nbytes)
        versions = documents_from_proto.expected_versions(request)

        async def write() -> pb.UpsertResponse:
            with span("store.upsert", attributes={"cairn.documents": len(new)}):
                written = await self._library.upsert(
                    scope.tenant, name, new, request.expected_version, versions
                )
            return pb.UpsertResponse(seq=written.seq, versions=written.versions)

        return new, write

    async def _one(self, request: pb.SearchRequest) -> bytes:
        options, answers = await self._search(request, [request.query], "query")
        return wire.answer(answers[0], options, explain=request.options.explain)

    async def _search(
        self,
        request: pb.SearchRequest | pb.BatchSearchRequest,
        messages: Sequence[pb.Query],
        path: str,
    ) -> tuple[SearchOptions, list[Answer]]:
        """Returns how was searched, and an answer for each query."""
        reach = _reach(request)
        name = checks.collection_name(request.collection, "collection")
        options = from_proto.search_options(
            request.options, from_proto.search_mode(messages, request.options)
        )
        queries = from_proto.queries(messages, options.mode, path)
        check = partial(
            check_query,
            vectors=[each.vector for each in queries if each.vector is not None],
            embedding_model=request.options.embedding_model,
            path=path.format(index=0) + ".vector",
        )
        attributes = {
            "cairn.search.mode": options.mode.name.lower(),
            "cairn.search.top_k": options.top_k,
        }
        async with self._queries.admit(len(queries)):
            with span(
                "retrieval.search", attributes=attributes, slow_seconds=SLOW_SECONDS
            ) as current:
                answers = await self._searcher.search(reach, name, queries, options, check)
                current.set_attribute(
                    "cairn.search.vectors_scanned", sum(each.vectors_scanned for each in answers)
                )
        for each in answers:
            (QUERIES_FOUND if each.passages else QUERIES_EMPTY).inc()
        return options, answers


def _reach(request: Any) -> Reach:
    scope = scope_from_proto(request.scope)
    return Reach(scope.tenant, scope.principals)


def _filter(request: Any) -> Filter | None:
    return from_proto.optional_filter(request.filter, "filter", is_set=request.HasField("filter"))
