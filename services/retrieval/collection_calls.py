"""RetrievalService's calls about collections as a whole."""
# ruff: noqa: N802 - gRPC names the methods

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.retrieval import checks, from_proto, limits, settings_proto, to_proto
from services.retrieval.collections import Alias
from services.rpc.errors import Reason, UnimplementedError
from services.rpc.scope_proto import scope_from_proto

if TYPE_CHECKING:
    from services.retrieval.administration import Administration
    from services.retrieval.library import Library
    from services.retrieval.snapshots.archive import Archive


class CollectionCalls(rpc.RetrievalServiceServicer):
    """Collections, aliases, snapshots, quotas."""

    _library: Library
    _administration: Administration
    _archive: Archive | None

    async def CreateCollection(self, request: pb.CreateCollectionRequest, context: Any) -> Any:
        """Creates a collection."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        settings = settings_proto.settings(request.settings)
        created, existed = await self._library.create(scope.tenant, name, settings)
        return pb.CreateCollectionResponse(
            collection=to_proto.collection(created), already_existed=existed
        )

    async def GetCollection(self, request: pb.GetCollectionRequest, context: Any) -> Any:
        """Returns a collection with its figures."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        collection, stats = await self._library.describe(scope.tenant, name)
        figures = await self._administration.index_figures(collection)
        return pb.GetCollectionResponse(
            collection=to_proto.collection(collection),
            stats=to_proto.stats(stats, figures, self._administration.last_check(collection)),
        )

    async def ListCollections(self, request: pb.ListCollectionsRequest, context: Any) -> Any:
        """Lists the tenant's collections."""
        scope = scope_from_proto(request.scope)
        size = from_proto.page_size(request.page_size)
        found, token = await self._library.list_collections(scope.tenant, size, request.page_token)
        return pb.ListCollectionsResponse(
            collections=map(to_proto.collection, found), next_page_token=token
        )

    async def DeleteCollection(self, request: pb.DeleteCollectionRequest, context: Any) -> Any:
        """Deletes a collection with everything in it."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        collection, _ = await self._library.describe(scope.tenant, name)
        await self._library.drop(scope.tenant, name)
        if self._archive is not None:
            await self._archive.forget(collection.id)
        return pb.DeleteCollectionResponse()

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> Any:
        """Points an alias at a collection."""
        scope = scope_from_proto(request.scope)
        alias = Alias(
            checks.collection_name(request.alias.name, "alias.name"),
            checks.collection_name(request.alias.collection, "alias.collection"),
        )
        former = await self._library.set_alias(scope.tenant, alias)
        return pb.SetAliasResponse(
            alias=pb.Alias(name=alias.name, collection=alias.collection), former_collection=former
        )

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Any) -> Any:
        """Removes an alias."""
        scope = scope_from_proto(request.scope)
        await self._library.delete_alias(scope.tenant, checks.collection_name(request.name, "name"))
        return pb.DeleteAliasResponse()

    async def ListAliases(self, request: pb.ListAliasesRequest, context: Any) -> Any:
        """Lists the tenant's aliases."""
        scope = scope_from_proto(request.scope)
        found = await self._library.list_aliases(scope.tenant)
        return pb.ListAliasesResponse(
            aliases=[pb.Alias(name=each.name, collection=each.collection) for each in found]
        )

    async def GetPosition(self, request: pb.GetPositionRequest, context: Any) -> Any:
        """Tells where a collection's log stands."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.collection, "collection")
        found = await self._library.position(scope.tenant, name)
        return pb.GetPositionResponse(collection=found.name, generation=found.seq)

    async def UpdateCollection(self, request: pb.UpdateCollectionRequest, context: Any) -> Any:
        """Changes settings that may change."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        change = settings_proto.settings_change(request.settings, request.update_mask.paths)
        changed = await self._administration.update(scope.tenant, name, change)
        return pb.UpdateCollectionResponse(collection=to_proto.collection(changed))

    async def OptimizeCollection(
        self, request: pb.OptimizeCollectionRequest, context: Any
    ) -> AsyncIterator[pb.OptimizeCollectionResponse]:
        """Builds the index anew, telling how far it has come."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        change = settings_proto.index_change(request)
        async for progress in self._administration.optimize(scope.tenant, name, change):
            answer = pb.OptimizeCollectionResponse(
                stage=progress.stage,  # pyright: ignore[reportArgumentType]
                fraction=progress.fraction,
                message=progress.message,
            )
            if progress.stage == pb.OPTIMIZE_STAGE_DONE:
                collection, stats = await self._library.describe(scope.tenant, name)
                figures = await self._administration.index_figures(collection)
                answer.stats.CopyFrom(to_proto.stats(stats, figures))
            yield answer

    async def CheckCollection(self, request: pb.CheckCollectionRequest, context: Any) -> Any:
        """Compares this replica's view with the store."""
        scope = scope_from_proto(request.scope)
        name = checks.collection_name(request.name, "name")
        found = await self._administration.check(scope.tenant, name)
        return pb.CheckCollectionResponse(check=to_proto.consistency(found))

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Any) -> Any:
        """Writes a snapshot of a collection."""
        tenant, name = _named(request)
        retention = None
        if request.HasField("retention"):
            retention = settings_proto.duration(request.retention, "retention")
        record = await self._snapshots.create(tenant, name, retention)
        return pb.CreateSnapshotResponse(snapshot=to_proto.snapshot(record))

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Any) -> Any:
        """Lists the snapshots of a collection."""
        found = await self._snapshots.list(*_named(request))
        return pb.ListSnapshotsResponse(snapshots=map(to_proto.snapshot, found))

    async def RestoreSnapshot(self, request: pb.RestoreSnapshotRequest, context: Any) -> Any:
        """Puts a collection back to a snapshot."""
        restored = await self._snapshots.restore(*_named(request), _snapshot_id(request))
        return pb.RestoreSnapshotResponse(
            collection=to_proto.collection(restored.collection),
            replayed_delete_count=restored.replayed,
        )

    async def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: Any) -> Any:
        """Deletes a snapshot."""
        await self._snapshots.delete(*_named(request), _snapshot_id(request))
        return pb.DeleteSnapshotResponse()

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Any) -> Any:
        """Returns what the tenant may store, and what it has stored."""
        scope = scope_from_proto(request.scope)
        quota, usage = await self._administration.quota(scope.tenant)
        return pb.GetQuotaResponse(
            quota=to_proto.quota(quota), vector_count=usage.chunks, stored_bytes=usage.nbytes
        )

    async def SetQuota(self, request: pb.SetQuotaRequest, context: Any) -> Any:
        """Sets what the tenant may store."""
        scope = scope_from_proto(request.scope)
        quota = await self._administration.set_quota(
            scope.tenant, settings_proto.quota(request.quota)
        )
        return pb.SetQuotaResponse(quota=to_proto.quota(quota))

    @property
    def _snapshots(self) -> Archive:
        if self._archive is None:
            raise UnimplementedError(
                Reason.NOT_SUPPORTED, "this deployment writes no snapshots: back up the database"
            )
        return self._archive


def _named(request: Any) -> tuple[str, str]:
    """Returns the tenant and the collection or alias that a request names."""
    scope = scope_from_proto(request.scope)
    return scope.tenant, checks.collection_name(request.collection, "collection")


def _snapshot_id(request: Any) -> str:
    return checks.text(
        request.snapshot_id, "snapshot_id", limits.MAX_SNAPSHOT_ID_CHARACTERS, is_required=True
    )
