"""The ingestion service's sources, fetching, deleting by condition and enrichment settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc

from services.filters import proto as filters
from services.filters.proto import value_to_proto
from services.gateway.clients.ingestion_client import submission_from_proto
from services.gateway.clients.source_messages import (
    enrichment_from_proto,
    enrichment_to_proto,
    entry_from_proto,
    item_from_proto,
    source_to_proto,
    status_from_proto,
)
from services.gateway.sources import DeleteResult
from services.rpc.scope_proto import scope_to_proto

if TYPE_CHECKING:
    import grpc

    from services.filters.ast import Filter
    from services.gateway.library import Submission
    from services.gateway.passages import Metadata
    from services.gateway.sources import (
        Enrichment,
        Source,
        SourceEntry,
        SourceItem,
        SourceStatus,
    )
    from services.rpc.scope import Scope

_SHORT_SECONDS = 10.0
_LONG_SECONDS = 300.0


class SourceClient:
    """Calls `cairn.ingestion.v1.IngestionService`. All methods raise its `ServiceError`s.

    Args:
        channel: To its replicas.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.IngestionServiceStub(channel)

    async def fetch(
        self,
        scope: Scope,
        collection: str,
        urls: Sequence[str],
        metadata: Metadata,
        acl: Sequence[str],
    ) -> tuple[Submission, ...]:
        """Fetches documents and submits them; one result each, in order."""
        response = await self._stub.FetchDocuments(
            pb.FetchDocumentsRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                urls=urls,
                header=pb.DocumentHeader(
                    metadata={name: value_to_proto(value) for name, value in metadata.items()},
                    acl=acl,
                ),
            ),
            timeout=_LONG_SECONDS,
        )
        return tuple(submission_from_proto(each) for each in response.submissions)

    async def delete(
        self,
        scope: Scope,
        collection: str,
        *,
        tree: Filter | None = None,
        source: str = "",
        owner: str = "",
    ) -> DeleteResult:
        """Deletes documents by one of the three conditions."""
        response = await self._stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                filter=filters.to_proto(tree) if tree is not None else None,
                source=source,
                owner=owner,
            ),
            timeout=_LONG_SECONDS,
        )
        return DeleteResult(
            response.deleted_count,
            response.stopped_job_count,
            response.remaining_count,
            response.is_verified,
        )

    async def put(self, scope: Scope, source: Source) -> tuple[SourceEntry, bool]:
        """Creates a source or replaces it; returns it and whether it is new."""
        response = await self._stub.PutSource(
            pb.PutSourceRequest(scope=scope_to_proto(scope), source=source_to_proto(source)),
            timeout=_SHORT_SECONDS,
        )
        return entry_from_proto(response.source, response.status), response.is_created

    async def get(self, scope: Scope, name: str) -> SourceEntry:
        """Returns a source."""
        response = await self._stub.GetSource(
            pb.GetSourceRequest(scope=scope_to_proto(scope), name=name), timeout=_SHORT_SECONDS
        )
        return entry_from_proto(response.source, response.status)

    async def list_page(
        self, scope: Scope, page_size: int, page_token: str
    ) -> tuple[tuple[SourceEntry, ...], str]:
        """Returns a page of sources and the next token."""
        response = await self._stub.ListSources(
            pb.ListSourcesRequest(
                scope=scope_to_proto(scope), page_size=page_size, page_token=page_token
            ),
            timeout=_SHORT_SECONDS,
        )
        entries = tuple(entry_from_proto(each.source, each.status) for each in response.sources)
        return entries, response.next_page_token

    async def list_items(
        self, scope: Scope, name: str, *, failed_only: bool, page_size: int, page_token: str
    ) -> tuple[tuple[SourceItem, ...], str]:
        """Returns a page of a source's items and the next token."""
        response = await self._stub.ListSourceItems(
            pb.ListSourceItemsRequest(
                scope=scope_to_proto(scope),
                name=name,
                failed_only=failed_only,
                page_size=page_size,
                page_token=page_token,
            ),
            timeout=_SHORT_SECONDS,
        )
        return tuple(map(item_from_proto, response.items)), response.next_page_token

    async def sync(
        self, scope: Scope, name: str, paths: Sequence[str], *, is_full: bool, allow_empty: bool
    ) -> tuple[int, SourceStatus]:
        """Asks for a synchronisation; returns its number and the source's state."""
        response = await self._stub.SyncSource(
            pb.SyncSourceRequest(
                scope=scope_to_proto(scope),
                name=name,
                paths=paths,
                is_full=is_full,
                allow_empty=allow_empty,
            ),
            timeout=_SHORT_SECONDS,
        )
        return response.sync_number, status_from_proto(response.status)

    async def delete_source(self, scope: Scope, name: str, *, keep_documents: bool) -> int:
        """Deletes a source; returns how many documents went with it."""
        response = await self._stub.DeleteSource(
            pb.DeleteSourceRequest(
                scope=scope_to_proto(scope), name=name, keep_documents=keep_documents
            ),
            timeout=_LONG_SECONDS,
        )
        return response.deleted_count

    async def enrichment(self, scope: Scope, collection: str) -> Enrichment:
        """Returns what is found out about the documents of a collection."""
        response = await self._stub.GetEnrichment(
            pb.GetEnrichmentRequest(scope=scope_to_proto(scope), collection=collection),
            timeout=_SHORT_SECONDS,
        )
        return enrichment_from_proto(
            response.settings,
            is_own=response.is_own,
            available_hooks=tuple(response.available_hooks),
        )

    async def set_enrichment(
        self, scope: Scope, collection: str, settings: Enrichment | None
    ) -> None:
        """Sets it; None: as the service is set up."""
        await self._stub.SetEnrichment(
            pb.SetEnrichmentRequest(
                scope=scope_to_proto(scope),
                collection=collection,
                settings=enrichment_to_proto(settings) if settings is not None else None,
            ),
            timeout=_SHORT_SECONDS,
        )
