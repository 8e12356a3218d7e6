"""Sources, enrichment and models of `GatewayService`: protobuf to domain and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.gateway.v1 import sources_pb2 as pb
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion
from cairn.types.v1 import vector_pb2

from services.gateway.clients.source_answers import (
    entry_to_proto,
    item_to_proto,
    source_from_proto,
    status_to_proto,
)
from services.gateway.clients.source_messages import enrichment_from_proto, enrichment_to_proto
from services.gateway.entered_rpcs import EnteredRpcs
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import grpc

    from services.gateway.chat_operations import ChatOperations
    from services.gateway.operations import Operations

_FLOAT_BYTES = 4


class SourceRpcs(EnteredRpcs):
    """Serves these methods; the class that inherits them lets callers in."""

    _operations: Operations
    _chat: ChatOperations

    async def PutSource(  # noqa: N802 - the contract's name
        self, request: pb.PutSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.PutSourceResponse:
        """Creates a source, or replaces its settings."""
        async with self._entered(context) as caller:
            if not request.HasField("source"):
                raise InvalidArgumentError.for_field("source", "must be set")
            entry, is_created = await self._operations.sources.put(
                caller, source_from_proto(request.source)
            )
            return pb.PutSourceResponse(source=entry_to_proto(entry), is_created=is_created)

    async def GetSource(  # noqa: N802 - the contract's name
        self, request: pb.GetSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetSourceResponse:
        """Returns a source with its state."""
        async with self._entered(context) as caller:
            entry = await self._operations.sources.get(caller, request.name)
            return pb.GetSourceResponse(source=entry_to_proto(entry))

    async def ListSources(  # noqa: N802 - the contract's name
        self, request: pb.ListSourcesRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSourcesResponse:
        """Lists sources with their states."""
        async with self._entered(context) as caller:
            page = await self._operations.sources.list_sources(
                caller, request.page_size, request.page_token
            )
            return pb.ListSourcesResponse(
                sources=map(entry_to_proto, page.entries), next_page_token=page.next_page_token
            )

    async def ListSourceItems(  # noqa: N802 - the contract's name
        self, request: pb.ListSourceItemsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListSourceItemsResponse:
        """Lists what was found in a source."""
        async with self._entered(context) as caller:
            page = await self._operations.sources.list_items(
                caller,
                request.name,
                failed_only=request.failed_only,
                page_size=request.page_size,
                page_token=request.page_token,
            )
            return pb.ListSourceItemsResponse(
                items=map(item_to_proto, page.entries), next_page_token=page.next_page_token
            )

    async def SyncSource(  # noqa: N802 - the contract's name
        self, request: pb.SyncSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.SyncSourceResponse:
        """Asks for a synchronisation."""
        async with self._entered(context) as caller:
            number, status = await self._operations.sources.sync(
                caller,
                request.name,
                request.paths,
                is_full=request.is_full,
                allow_empty=request.allow_empty,
            )
            return pb.SyncSourceResponse(sync_number=number, status=status_to_proto(status))

    async def DeleteSource(  # noqa: N802 - the contract's name
        self, request: pb.DeleteSourceRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteSourceResponse:
        """Deletes a source."""
        async with self._entered(context) as caller:
            count = await self._operations.sources.delete(
                caller, request.name, keep_documents=request.keep_documents
            )
            return pb.DeleteSourceResponse(deleted_count=count)

    async def GetEnrichment(  # noqa: N802 - the contract's name
        self, request: pb.GetEnrichmentRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetEnrichmentResponse:
        """Returns what is found out about a collection's documents."""
        async with self._entered(context) as caller:
            settings = await self._operations.sources.enrichment(caller, request.collection)
            return pb.GetEnrichmentResponse(
                settings=enrichment_to_proto(settings),
                is_own=settings.is_own,
                available_hooks=settings.available_hooks,
            )

    async def SetEnrichment(  # noqa: N802 - the contract's name
        self, request: pb.SetEnrichmentRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetEnrichmentResponse:
        """Sets what is found out from now on."""
        async with self._entered(context) as caller:
            wanted = enrichment_from_proto(request.settings, is_own=True, available_hooks=())
            if request.settings.personal_data not in ingestion.PersonalDataPolicy.values():
                raise _unknown("settings.personal_data")
            if request.settings.on_hook_failure not in ingestion.HookFailurePolicy.values():
                raise _unknown("settings.on_hook_failure")
            settings = await self._operations.sources.set_enrichment(
                caller, request.collection, wanted if request.HasField("settings") else None
            )
            return pb.SetEnrichmentResponse(
                settings=enrichment_to_proto(settings), is_own=settings.is_own
            )

    async def Embed(  # noqa: N802 - the contract's name
        self, request: pb.EmbedRequest, context: grpc.aio.ServicerContext
    ) -> pb.EmbedResponse:
        """Returns vectors of texts."""
        async with self._entered(context) as caller:
            embedded = await self._operations.embed(
                caller, request.texts, request.model, request.dimensions
            )
            rows = embedded.rows
            return pb.EmbedResponse(
                vectors=vector_pb2.VectorBatch(
                    data=b"".join(rows),
                    element_type=vector_pb2.ELEMENT_TYPE_FLOAT32,
                    dimensions=len(rows[0]) // _FLOAT_BYTES,
                    count=len(rows),
                ),
                model=embedded.model,
                token_count=embedded.tokens,
            )

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: pb.ListModelsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListModelsResponse:
        """Lists the models."""
        async with self._entered(context) as caller:
            embedding = await self._operations.embedding_models(caller)
            writing = await self._chat.models(caller)
            return pb.ListModelsResponse(
                models=[
                    *(pb.Model(name=each.name, kind="embedding") for each in embedding),
                    *(pb.Model(name=each.name, kind="generation") for each in writing),
                ]
            )


def _unknown(field: str) -> InvalidArgumentError:
    return InvalidArgumentError.for_field(field, "is not a known value")
