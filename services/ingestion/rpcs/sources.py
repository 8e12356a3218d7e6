"""The RPCs of sources and web addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.messages import header_from_proto, submission_to_proto
from services.ingestion.rpcs.checks import count_outcomes, page_size
from services.ingestion.rpcs.source_messages import (
    item_to_proto,
    problem_to_proto,
    source_from_proto,
    source_to_proto,
    status_to_proto,
)
from services.ingestion.sources.model import Problem, SyncRequest
from services.rpc.errors import InvalidArgumentError
from services.rpc.scope_proto import scope_from_proto

if TYPE_CHECKING:
    import grpc

    from services.ingestion.sources.desk import SourceDesk


class SourceRpcs:
    """Answers the RPCs of sources."""

    _sources: SourceDesk

    async def FetchDocuments(  # noqa: N802 - the contract's name
        self, request: pb.FetchDocumentsRequest, context: grpc.aio.ServicerContext
    ) -> pb.FetchDocumentsResponse:
        """Fetches documents by their addresses; each fails alone."""
        scope = scope_from_proto(request.scope)
        header = header_from_proto(request.header, "header")
        results = await self._sources.fetch(scope, request.collection, request.urls, header)
        count_outcomes(results)
        return pb.FetchDocumentsResponse(
            submissions=[
                pb.Submission(error=problem_to_proto(each))
                if isinstance(each, Problem)
                else submission_to_proto(each)
                for each in results
            ]
        )

    async def PutSource(  # noqa: N802 - the contract's name
        self, request: pb.PutSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutSourceResponse:
        """Creates a source or replaces its settings."""
        scope = scope_from_proto(request.scope)
        if not request.HasField("source"):
            raise InvalidArgumentError.for_field("source", "is missing")
        source, status, is_created = await self._sources.put(
            scope, source_from_proto(request.source)
        )
        return pb.PutSourceResponse(
            source=source_to_proto(source),
            status=status_to_proto(status),
            is_created=is_created,
        )

    async def GetSource(  # noqa: N802 - the contract's name
        self, request: pb.GetSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetSourceResponse:
        """Returns a source."""
        scope = scope_from_proto(request.scope)
        source, status = await self._sources.get(scope, request.name)
        return pb.GetSourceResponse(source=source_to_proto(source), status=status_to_proto(status))

    async def ListSources(  # noqa: N802 - the contract's name
        self, request: pb.ListSourcesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSourcesResponse:
        """Returns a page of sources."""
        scope = scope_from_proto(request.scope)
        size = page_size(request.page_size)
        found, token = await self._sources.list_page(scope, size, request.page_token)
        return pb.ListSourcesResponse(
            sources=[
                pb.SourceEntry(source=source_to_proto(source), status=status_to_proto(status))
                for source, status in found
            ],
            next_page_token=token,
        )

    async def ListSourceItems(  # noqa: N802 - the contract's name
        self, request: pb.ListSourceItemsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSourceItemsResponse:
        """Returns a page of a source's items."""
        scope = scope_from_proto(request.scope)
        found, token = await self._sources.list_items(
            scope,
            request.name,
            failed_only=request.failed_only,
            size=page_size(request.page_size),
            token=request.page_token,
        )
        return pb.ListSourceItemsResponse(items=map(item_to_proto, found), next_page_token=token)

    async def SyncSource(  # noqa: N802 - the contract's name
        self, request: pb.SyncSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.SyncSourceResponse:
        """Records that a source is to be gone through."""
        scope = scope_from_proto(request.scope)
        wanted = SyncRequest(
            tuple(request.paths), is_full=request.is_full, allow_empty=request.allow_empty
        )
        number, status = await self._sources.sync(scope, request.name, wanted)
        return pb.SyncSourceResponse(sync_number=number, status=status_to_proto(status))

    async def WatchSource(  # noqa: N802 - the contract's name
        self, request: pb.WatchSourceRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.WatchSourceResponse]:
        """Reports a source until its synchronisation has ended."""
        scope = scope_from_proto(request.scope)
        if request.sync_number < 0:
            raise InvalidArgumentError.for_field("sync_number", "must not be below 0")
        async for status in self._sources.watch(scope, request.name, request.sync_number):
            yield pb.WatchSourceResponse(status=status_to_proto(status))

    async def DeleteSource(  # noqa: N802 - the contract's name
        self, request: pb.DeleteSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteSourceResponse:
        """Deletes a source."""
        scope = scope_from_proto(request.scope)
        count = await self._sources.delete(
            scope, request.name, keep_documents=request.keep_documents
        )
        return pb.DeleteSourceResponse(deleted_count=count)
