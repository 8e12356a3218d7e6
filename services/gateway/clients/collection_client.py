"""The retrieval service's calls about collections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.filters.values import FieldType
from services.gateway.library import (
    Collection,
    CollectionChange,
    CollectionIndex,
    IndexKind,
    NewCollection,
    OptimizeProgress,
)
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.rpc.scope import Scope

TIMEOUT_SECONDS = 10.0
_OPTIMIZE_SECONDS = 24 * 3600.0
"""A build has no time-out of its own: the request's deadline holds."""


class CollectionClient:
    """Calls `cairn.retrieval.v1.RetrievalService`, about collections.

    Args:
        channel: To its replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.RetrievalServiceStub(channel)

    async def create_collection(
        self, scope: Scope, new: NewCollection, model: str, revision: str, dimensions: int
    ) -> Collection:
        """Creates a collection for vectors of a model.

        Raises:
            ServiceError: it exists with other settings, or the service does not answer.
        """
        response = await self._stub.CreateCollection(
            pb.CreateCollectionRequest(
                scope=scope_to_proto(scope),
                name=new.name,
                settings=pb.CollectionSettings(
                    dimensions=dimensions,
                    embedding_model=model,
                    embedding_model_revision=revision,
                    fields={name: cast("Any", int(kind)) for name, kind in new.fields.items()},
                    acl_policy=(
                        pb.ACL_POLICY_REQUIRED
                        if new.is_acl_required
                        else pb.ACL_POLICY_EVERYONE_BY_DEFAULT
                    ),
                    language=new.language,
                    description=new.description,
                    index_type=cast("Any", int(new.index_kind)),
                ),
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return _collection(response.collection, None)

    async def get_collection(self, scope: Scope, name: str) -> Collection:
        """Returns a collection with its figures.

        Raises:
            ServiceError: there is none, or the service does not answer.
        """
        response = await self._stub.GetCollection(
            pb.GetCollectionRequest(scope=scope_to_proto(scope), name=name),
            timeout=TIMEOUT_SECONDS,
        )
        return _collection(response.collection, response.stats)

    async def list_collections(
        self, scope: Scope, page_size: int, page_token: str
    ) -> tuple[tuple[Collection, ...], str]:
        """Returns a page of collections, without figures, and the next token.

        Raises:
            ServiceError: the service does not answer.
        """
        response = await self._stub.ListCollections(
            pb.ListCollectionsRequest(
                scope=scope_to_proto(scope), page_size=page_size, page_token=page_token
            ),
            timeout=TIMEOUT_SECONDS,
        )
        return (
            tuple(_collection(each, None) for each in response.collections),
            response.next_page_token,
        )

    async def update_collection(self, scope: Scope, name: str, change: CollectionChange) -> None:
        """Changes a collection's settings.

        Raises:
            ServiceError: there is none, or the service does not answer.
        """
        settings, paths = pb.CollectionSettings(), []
        if change.index_kind is not None:
            settings.index_type = cast("Any", int(change.index_kind))
            paths.append("index_type")
        if change.description is not None:
            settings.description = change.description
            paths.append("description")
        request = pb.UpdateCollectionRequest(
            scope=scope_to_proto(scope), name=name, settings=settings
        )
        request.update_mask.paths.extend(paths)
        await self._stub.UpdateCollection(request, timeout=TIMEOUT_SECONDS)

    async def optimize_collection(
        self, scope: Scope, name: str, kind: IndexKind
    ) -> AsyncIterator[OptimizeProgress]:
        """Has a collection's index built anew and yields how far it is.

        Raises:
            ServiceError: there is no such collection, or the service does not answer.
        """
        request = pb.OptimizeCollectionRequest(
            scope=scope_to_proto(scope), name=name, index_type=cast("Any", int(kind))
        )
        async for each in self._stub.OptimizeCollection(request, timeout=_OPTIMIZE_SECONDS):
            yield OptimizeProgress(each.fraction, each.message)

    async def delete_collection(self, scope: Scope, name: str) -> None:
        """Deletes a collection with everything in it.

        Raises:
            ServiceError: there is none, or the service does not answer.
        """
        await self._stub.DeleteCollection(
            pb.DeleteCollectionRequest(scope=scope_to_proto(scope), name=name),
            timeout=TIMEOUT_SECONDS,
        )


def _collection(message: pb.Collection, stats: pb.CollectionStats | None) -> Collection:
    settings = message.settings
    return Collection(
        name=message.name,
        embedding_model=settings.embedding_model,
        dimensions=settings.dimensions,
        fields={
            name: FieldType(kind)
            for name, kind in settings.fields.items()
            if kind in FieldType.__members__.values()
        },
        is_acl_required=settings.acl_policy == pb.ACL_POLICY_REQUIRED,
        language=settings.language,
        description=settings.description,
        created_at=message.created_at.ToDatetime() if message.HasField("created_at") else None,
        document_count=stats.document_count if stats is not None else 0,
        chunk_count=stats.chunk_count if stats is not None else 0,
        index_description=stats.index_description if stats is not None else "",
        index_kind=_kind(settings.index_type),
        index=_index(stats) if stats is not None else None,
    )


def _index(stats: pb.CollectionStats) -> CollectionIndex:
    return CollectionIndex(
        kind=_kind(stats.index_type),
        bytes_per_vector=stats.bytes_per_vector,
        recall_loss=stats.recall_loss if stats.HasField("recall_loss") else None,
        view_bytes=stats.view_bytes,
        disk_bytes=stats.disk_bytes,
        segment_count=stats.segment_count,
    )


def _kind(number: int) -> IndexKind:
    """Returns a kind; one that a newer service has is told as chosen by the service."""
    return IndexKind(number) if number in IndexKind.__members__.values() else IndexKind.AUTO
