"""The retrieval service: search, documents, collections."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.types.v1 import vector_pb2

from services.filters.proto import to_proto
from services.gateway.caches.positions import Position
from services.gateway.clients.collection_client import TIMEOUT_SECONDS, CollectionClient
from services.gateway.clients.passages_proto import (
    metadata_from_proto,
    passages_from_proto,
    usage_from_proto,
)
from services.gateway.library import Chunk, StoredDocument
from services.gateway.limits.stock import Stored
from services.gateway.pipeline.ports import Retrieved, SearchPlan, StoredChunks, Vector
from services.gateway.requests import Mode
from services.rpc.errors import NotFoundError
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    from services.gateway.requests import RecommendAsk
    from services.rpc.scope import Scope

_MODES = {
    Mode.HYBRID: pb.SEARCH_MODE_HYBRID,
    Mode.DENSE: pb.SEARCH_MODE_DENSE,
    Mode.KEYWORD: pb.SEARCH_MODE_KEYWORD,
}


class RetrievalClient(CollectionClient):
    """Calls `cairn.retrieval.v1.RetrievalService`.

    Args:
        channel: To its replicas.
    """

    async def search(self, scope: Scope, plan: SearchPlan) -> Retrieved:
        """Returns passages, best first.

        Raises:
            ServiceError: the service does not answer, or refuses the search.
        """
        response = await self._stub.Search(
            pb.SearchRequest(
                scope=scope_to_proto(scope),
                collection=plan.collection,
                query=_query(plan),
                options=_options(plan),
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return Retrieved(
            passages=passages_from_proto(response.passages),
            degraded=tuple(response.degraded),
            usage=usage_from_proto(response.usage),
            notes=_notes(response.explanation) if plan.explain else (),
            generation=response.generation,
            is_current=response.is_current,
            valid_until=_valid_until(response),
            token_codes=_token_codes(response, plan.token_codes_top_k),
        )

    async def recommend(self, scope: Scope, ask: RecommendAsk) -> Retrieved:
        """Returns the best passage of each document that is like the given ones.

        Raises:
            ServiceError: the service does not answer, or refuses the request.
        """
        response = await self._stub.Recommend(
            pb.RecommendRequest(
                scope=scope_to_proto(scope),
                collection=ask.collection,
                positive_ids=ask.positive_ids,
                negative_ids=ask.negative_ids,
                history=_history(ask) if ask.has_history else None,
                options=pb.SearchOptions(
                    top_k=ask.top_k,
                    filter=to_proto(ask.filter) if ask.filter is not None else None,
                    include_metadata=True,
                    diversity=pb.Diversity(strength=ask.diversity) if ask.diversity else None,
                ),
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return Retrieved(
            passages_from_proto(response.passages),
            usage=usage_from_proto(response.usage),
            generation=response.generation,
            is_current=response.is_current,
            valid_until=_valid_until(response),
        )

    async def position(self, scope: Scope, collection: str) -> Position:
        """Returns where a collection's log stands in the store now.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        response = await self._stub.GetPosition(
            pb.GetPositionRequest(scope=scope_to_proto(scope), collection=collection),
            timeout=TIMEOUT_SECONDS,
        )
        return Position(response.collection, response.generation)

    async def embedding_model(self, scope: Scope, collection: str) -> str:
        """Returns the name of the model whose vectors the collection holds.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        return (await self.get_collection(scope, collection)).embedding_model

    async def get_documents(
        self, scope: Scope, collection: str, document_ids: Sequence[str], *, with_text: bool
    ) -> dict[str, StoredDocument]:
        """Returns the documents that exist and may be read, by id.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        found = await self._documents(scope, collection, document_ids, is_whole=with_text)
        return {each.document_id: _document(each) for each in found}

    async def get_chunks(
        self, scope: Scope, collection: str, document_id: str
    ) -> tuple[Chunk, ...] | None:
        """Returns a document's chunks in order; None where it is not there or may not be read.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        found = await self.stored_chunks(scope, collection, [document_id])
        return found[document_id].chunks if found else None

    async def stored_chunks(
        self, scope: Scope, collection: str, document_ids: Sequence[str]
    ) -> dict[str, StoredChunks]:
        """Returns the chunks of the documents that may be read, by document.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        found = await self._documents(scope, collection, document_ids, is_whole=True)
        return {each.document_id: StoredChunks(each.version, _chunks(each)) for each in found}

    async def _documents(
        self, scope: Scope, collection: str, document_ids: Sequence[str], *, is_whole: bool
    ) -> Sequence[pb.Document]:
        """Returns documents, with their text and chunks or without."""
        response = await self._stub.GetDocuments(
            pb.GetDocumentsRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                document_ids=document_ids,
                include_chunks=is_whole,
                omit_text=not is_whole,
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return response.documents

    async def scroll_documents(
        self, scope: Scope, collection: str, page_size: int, page_token: str
    ) -> tuple[tuple[StoredDocument, ...], str]:
        """Returns a page of the documents that may be read, without text, and the next token.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        response = await self._stub.Scroll(
            pb.ScrollRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                unit=pb.SCROLL_UNIT_DOCUMENT,
                page_size=page_size,
                page_token=page_token,
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return tuple(_document(each) for each in response.documents), response.next_page_token

    async def stored(self, scope: Scope) -> Stored:
        """Returns what the scope's tenant has stored.

        Raises:
            ServiceError: the service does not answer.
        """
        quota = await self._stub.GetQuota(
            pb.GetQuotaRequest(scope=scope_to_proto(scope)), timeout=TIMEOUT_SECONDS
        )
        documents, token = 0, ""
        while True:
            collections, token = await self.list_collections(scope, 1_000, token)
            for each in collections:
                with contextlib.suppress(NotFoundError):  # deleted since
                    documents += (await self.get_collection(scope, each.name)).document_count
            if not token:
                return Stored(documents, quota.vector_count, quota.stored_bytes)

    async def set_quota(self, scope: Scope, vectors: int | None, size_bytes: int | None) -> None:
        """Sets what the scope's tenant may store; None: as much as any other.

        Raises:
            ServiceError: the service does not answer.
        """
        quota = pb.Quota(max_vectors=vectors, max_bytes=size_bytes)
        await self._stub.SetQuota(
            pb.SetQuotaRequest(scope=scope_to_proto(scope), quota=quota), timeout=TIMEOUT_SECONDS
        )


def _history(ask: RecommendAsk) -> pb.History:
    return pb.History(
        liked_ids=ask.liked_ids,
        disliked_ids=ask.disliked_ids,
        weight=ask.history_weight,
        candidates=ask.candidates,
    )


def _valid_until(response: pb.SearchResponse | pb.RecommendResponse) -> float | None:
    if not response.HasField("valid_until"):
        return None
    return response.valid_until.seconds + response.valid_until.nanos / 1e9


def _query(plan: SearchPlan) -> pb.Query:
    first, *further = plan.queries
    has_vectors = plan.mode is not Mode.KEYWORD
    has_texts = plan.mode is not Mode.DENSE
    return pb.Query(
        text=first.text if has_texts else "",
        vector=_vector(first.vector) if has_vectors else None,
        mixed_vectors=[
            pb.WeightedVector(vector=_vector(each.vector), weight=each.weight)
            for each in further
            if has_vectors
        ],
        mixed_texts=[
            pb.WeightedText(text=each.text, weight=each.weight) for each in further if has_texts
        ],
    )


def _options(plan: SearchPlan) -> pb.SearchOptions:
    return pb.SearchOptions(
        top_k=plan.top_k,
        mode=_MODES[plan.mode],
        filter=to_proto(plan.filter) if plan.filter is not None else None,
        max_per_document=plan.max_per_document,
        include_metadata=True,
        explain=plan.explain,
        embedding_model=plan.embedding_model,
        token_codes_top_k=plan.token_codes_top_k,
    )


def _token_codes(response: pb.SearchResponse, count: int) -> tuple[bytes, ...]:
    """Returns the token codes of the first passages; nothing where none has any."""
    codes = tuple(each.passage.token_codes for each in response.passages[:count])
    return codes if any(codes) else ()


def _vector(vector: Vector | None) -> vector_pb2.Vector | None:
    if vector is None:
        return None
    return vector_pb2.Vector(
        data=vector.data,
        element_type=cast("Any", vector.element_type),
        dimensions=vector.dimensions,
        scale=vector.scale,
    )


def _notes(explanation: pb.SearchExplanation) -> tuple[str, ...]:
    steps = (
        f"{step.segment}: {step.plan} ({step.why}), {step.allowed_count} of {step.row_count} rows, "
        f"{step.duration_ms:.2f} ms"
        for step in explanation.steps
    )
    dropped = (f"dropped {count}: {reason}" for reason, count in explanation.dropped.items())
    return (f"allowed chunks: {explanation.allowed_count}", *steps, *dropped)


def _document(message: pb.Document) -> StoredDocument:
    return StoredDocument(
        document_id=message.document_id,
        title=message.title,
        uri=message.uri,
        text=message.text,
        metadata=metadata_from_proto(message.metadata),
        version=message.version,
        chunk_count=len(message.chunks),
        committed_at=message.committed_at.ToDatetime()
        if message.HasField("committed_at")
        else None,
    )


def _chunks(message: pb.Document) -> tuple[Chunk, ...]:
    return tuple(
        Chunk(
            chunk_id=each.chunk_id,
            ordinal=ordinal,
            start=each.start,
            end=each.end,
            text=message.text[each.start : each.end],
            heading_path=tuple(each.heading_path),
            page=each.page,
        )
        for ordinal, each in enumerate(message.chunks)
    )
