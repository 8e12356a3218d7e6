"""Collections of `GatewayService`: protobuf to domain and back."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, TypeVar, cast

from cairn.gateway.v1 import gateway_service_pb2 as pb

from services.filters.values import FieldType
from services.gateway.entered_rpcs import EnteredRpcs, check_known, time_to_proto
from services.gateway.library import (
    Collection,
    CollectionChange,
    CollectionIndex,
    IndexKind,
    NewCollection,
)

if TYPE_CHECKING:
    import grpc

    from services.gateway.operations import Operations

E = TypeVar("E", bound=enum.IntEnum)


class CollectionRpcs(EnteredRpcs):
    """Serves these methods; the class that inherits them lets callers in."""

    _operations: Operations

    async def CreateCollection(  # noqa: N802 - the contract's name
        self, request: pb.CreateCollectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.CreateCollectionResponse:
        """Creates a collection."""
        async with self._entered(context) as caller:
            new = NewCollection(
                name=request.name,
                embedding_model=request.embedding_model,
                fields={
                    name: _member(FieldType, kind, f"fields.{name}")
                    for name, kind in request.fields.items()
                },
                is_acl_required=request.is_acl_required,
                language=request.language,
                description=request.description,
                index_kind=_index_kind(request.index_type),
            )
            collection = await self._operations.collections.create(caller, new)
            return pb.CreateCollectionResponse(collection=_collection(collection))

    async def GetCollection(  # noqa: N802 - the contract's name
        self, request: pb.GetCollectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetCollectionResponse:
        """Returns a collection with its figures."""
        async with self._entered(context) as caller:
            collection = await self._operations.collections.get(caller, request.name)
            return pb.GetCollectionResponse(collection=_collection(collection))

    async def UpdateCollection(  # noqa: N802 - the contract's name
        self, request: pb.UpdateCollectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.UpdateCollectionResponse:
        """Changes a collection's settings."""
        async with self._entered(context) as caller:
            change = CollectionChange(
                _index_kind(request.index_type) if request.HasField("index_type") else None,
                request.description if request.HasField("description") else None,
            )
            changed = await self._operations.collections.update(caller, request.name, change)
            return pb.UpdateCollectionResponse(collection=_collection(changed))

    async def OptimizeCollection(  # noqa: N802 - the contract's name
        self, request: pb.OptimizeCollectionRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.OptimizeCollectionResponse]:
        """Builds a collection's index anew, telling how far it has come."""
        async with self._entered(context) as caller:
            kind = _index_kind(request.index_type)
            async for each in self._operations.collections.optimize(caller, request.name, kind):
                yield pb.OptimizeCollectionResponse(
                    fraction=each.fraction,
                    message=each.message,
                    collection=None if each.collection is None else _collection(each.collection),
                )

    async def ListCollections(  # noqa: N802 - the contract's name
        self, request: pb.ListCollectionsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListCollectionsResponse:
        """Lists collections."""
        async with self._entered(context) as caller:
            page = await self._operations.collections.list(
                caller, request.page_size, request.page_token
            )
            return pb.ListCollectionsResponse(
                collections=map(_collection, page.entries), next_page_token=page.next_page_token
            )

    async def DeleteCollection(  # noqa: N802 - the contract's name
        self, request: pb.DeleteCollectionRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteCollectionResponse:
        """Deletes a collection with everything in it."""
        async with self._entered(context) as caller:
            await self._operations.collections.delete(caller, request.name)
            return pb.DeleteCollectionResponse()


def _index_kind(number: int) -> IndexKind:
    return _member(IndexKind, number, "index_type")


def _member(kinds: type[E], number: int, field: str) -> E:
    check_known(number, tuple(kinds), field)
    return kinds(number)


def _collection(collection: Collection) -> pb.Collection:
    return pb.Collection(
        name=collection.name,
        embedding_model=collection.embedding_model,
        dimensions=collection.dimensions,
        fields={name: cast("Any", int(kind)) for name, kind in collection.fields.items()},
        is_acl_required=collection.is_acl_required,
        language=collection.language,
        description=collection.description,
        created_at=time_to_proto(collection.created_at),
        document_count=collection.document_count,
        chunk_count=collection.chunk_count,
        index_description=collection.index_description,
        index_type=cast("Any", int(collection.index_kind)),
        index=None if collection.index is None else _index(collection.index),
    )


def _index(index: CollectionIndex) -> pb.CollectionIndex:
    return pb.CollectionIndex(
        index_type=cast("Any", int(index.kind)),
        bytes_per_vector=index.bytes_per_vector,
        recall_loss=index.recall_loss,
        view_bytes=index.view_bytes,
        disk_bytes=index.disk_bytes,
        segment_count=index.segment_count,
    )
