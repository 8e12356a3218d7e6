"""The retrieval service, through its RPCs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc
from cairn.types.v1 import vector_pb2

from services.filters.proto import value_from_proto, value_to_proto
from services.ingestion.ports import (
    CollectionInfo,
    Deleted,
    IndexDocument,
    IndexedChunk,
    ModelInfo,
)
from services.rpc.errors import AlreadyExistsError, NotFoundError, Reason
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.rpc.scope import Scope

_SHORT_SECONDS = 10.0
_LONG_SECONDS = 60.0
_IDS_PER_DELETE = 500
_PAGE = 1000


class RetrievalClient:
    """Calls the retrieval service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.RetrievalServiceStub(channel)

    async def find_collection(self, scope: Scope, name: str) -> CollectionInfo | None:
        """Returns a collection by name or alias (see `ports.Index`)."""
        request = pb.GetCollectionRequest(scope=scope_to_proto(scope), name=name)
        try:
            answer = await self._stub.GetCollection(request, timeout=_SHORT_SECONDS)
        except NotFoundError:
            return None
        return _collection_info(answer.collection)

    async def create_collection(self, scope: Scope, name: str, model: ModelInfo) -> CollectionInfo:
        """Creates a collection for the vectors of a model (see `ports.Index`)."""
        request = pb.CreateCollectionRequest(
            scope=scope_to_proto(scope),
            name=name,
            settings=pb.CollectionSettings(
                dimensions=model.dimensions,
                embedding_model=model.name,
                embedding_model_revision=model.revision,
            ),
        )
        try:
            answer = await self._stub.CreateCollection(request, timeout=_SHORT_SECONDS)
        except AlreadyExistsError:
            # Someone was first, with settings of their own.
            found = await self.find_collection(scope, name)
            if found is None:
                raise
            return found
        return _collection_info(answer.collection)

    async def upsert(
        self,
        scope: Scope,
        collection: str,
        documents: Sequence[IndexDocument],
        expected_version: int,
        timeout_seconds: float,
    ) -> list[int]:
        """Writes documents and returns their versions (see `ports.Index`)."""
        answer = await self._stub.Upsert(
            pb.UpsertRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                documents=map(_document_to_proto, documents),
                expected_version=expected_version,
            ),
            timeout=timeout_seconds,
        )
        return list(answer.versions)

    async def get_documents(
        self,
        scope: Scope,
        collection: str,
        document_ids: Sequence[str],
        *,
        with_chunks: bool = False,
        with_codes: bool = False,
    ) -> list[IndexDocument]:
        """Returns documents (see `ports.Index`)."""
        try:
            answer = await self._stub.GetDocuments(
                pb.GetDocumentsRequest(
                    scope=scope_to_proto(scope),
                    collection=collection,
                    document_ids=document_ids,
                    include_chunks=with_chunks,
                    include_vectors=with_chunks,
                    include_token_codes=with_codes,
                    omit_text=not with_chunks,
                ),
                timeout=_LONG_SECONDS if with_chunks else _SHORT_SECONDS,
            )
        except NotFoundError:
            return []
        return [_document_from_proto(message) for message in answer.documents]

    async def delete(self, scope: Scope, collection: str, document_ids: Sequence[str]) -> Deleted:
        """Deletes documents by id (see `ports.Index`)."""
        count, seq = 0, 0
        for start in range(0, len(document_ids), _IDS_PER_DELETE):
            deleted = await self._delete(
                pb.DeleteRequest(
                    scope=scope_to_proto(scope),
                    collection=collection,
                    document_ids=document_ids[start : start + _IDS_PER_DELETE],
                )
            )
            count, seq = count + deleted.count, max(seq, deleted.seq)
        return Deleted(count, seq)

    async def delete_matching(self, scope: Scope, collection: str, document_filter: Any) -> Deleted:
        """Deletes documents by filter (see `ports.Index`)."""
        return await self._delete(
            pb.DeleteRequest(
                scope=scope_to_proto(scope), collection=collection, filter=document_filter
            )
        )

    async def _delete(self, request: pb.DeleteRequest) -> Deleted:
        try:
            answer = await self._stub.Delete(request, timeout=_LONG_SECONDS)
        except NotFoundError as error:
            if error.reason != Reason.COLLECTION_NOT_FOUND:
                raise
            return Deleted(0, 0)
        return Deleted(answer.deleted_count, answer.seq)

    async def matching_ids(self, scope: Scope, collection: str, document_filter: Any) -> list[str]:
        """Returns the ids of matching documents (see `ports.Index`)."""
        ids: list[str] = []
        token = ""
        while True:
            try:
                answer = await self._stub.Scroll(
                    pb.ScrollRequest(
                        scope=scope_to_proto(scope),
                        collection=collection,
                        filter=document_filter,
                        unit=pb.SCROLL_UNIT_DOCUMENT,
                        page_size=_PAGE,
                        page_token=token,
                    ),
                    timeout=_LONG_SECONDS,
                )
            except NotFoundError as error:
                if error.reason != Reason.COLLECTION_NOT_FOUND:
                    raise
                return ids
            ids.extend(document.document_id for document in answer.documents)
            token = answer.next_page_token
            if not token:
                return ids


def _collection_info(message: pb.Collection) -> CollectionInfo:
    settings = message.settings
    return CollectionInfo(
        name=message.name,
        dimensions=settings.dimensions,
        embedding_model=settings.embedding_model,
        embedding_model_revision=settings.embedding_model_revision,
        is_acl_required=settings.acl_policy == pb.ACL_POLICY_REQUIRED,
    )


def _document_to_proto(document: IndexDocument) -> pb.Document:
    return pb.Document(
        document_id=document.document_id,
        title=document.title,
        uri=document.uri,
        text=document.text,
        metadata={name: value_to_proto(value) for name, value in document.metadata.items()},
        acl=document.acl,
        content_hash=document.content_hash,
        chunks=[
            pb.Chunk(
                chunk_id=chunk.chunk_id,
                start=chunk.start,
                end=chunk.end,
                heading_path=chunk.heading_path,
                page=chunk.page,
                vector=vector_pb2.Vector(
                    data=chunk.vector,
                    element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                    dimensions=len(chunk.vector) // 4,
                ),
                token_codes=chunk.token_codes,
            )
            for chunk in document.chunks
        ],
    )


def _document_from_proto(message: pb.Document) -> IndexDocument:
    return IndexDocument(
        document_id=message.document_id,
        title=message.title,
        uri=message.uri,
        text=message.text,
        content_hash=message.content_hash,
        metadata={
            name: value_from_proto(value, "metadata") for name, value in message.metadata.items()
        },
        acl=tuple(message.acl),
        chunks=tuple(
            IndexedChunk(
                chunk_id=chunk.chunk_id,
                start=chunk.start,
                end=chunk.end,
                heading_path=tuple(chunk.heading_path),
                page=chunk.page,
                vector=chunk.vector.data
                if chunk.vector.element_type
                in (vector_pb2.ELEMENT_TYPE_UNSPECIFIED, vector_pb2.ELEMENT_TYPE_FLOAT32)
                else b"",
                token_codes=chunk.token_codes,
            )
            for chunk in message.chunks
        ),
        version=message.version,
    )
