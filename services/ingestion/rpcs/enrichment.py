"""The RPCs of enrichment settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.rpcs.source_messages import (
    enrichment_from_proto,
    enrichment_to_proto,
)
from services.ingestion.validation import check_collection
from services.rpc.scope_proto import scope_from_proto

if TYPE_CHECKING:
    import grpc

    from services.ingestion.enrichment.desk import EnrichmentDesk
    from services.ingestion.intake import Intake


class EnrichmentRpcs:
    """Answers the RPCs of enrichment settings."""

    _enrichment: EnrichmentDesk
    _intake: Intake

    async def GetEnrichment(  # noqa: N802 - the contract's name
        self, request: pb.GetEnrichmentRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetEnrichmentResponse:
        """Returns the settings of a collection."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        name = await self._intake.own_name(scope, request.collection)
        settings, is_own = await self._enrichment.get(scope.tenant, name)
        return pb.GetEnrichmentResponse(
            settings=enrichment_to_proto(settings),
            is_own=is_own,
            available_hooks=self._enrichment.hooks,
        )

    async def SetEnrichment(  # noqa: N802 - the contract's name
        self, request: pb.SetEnrichmentRequest, context: grpc.aio.ServicerContext
    ) -> pb.SetEnrichmentResponse:
        """Sets the settings of a collection."""
        scope = scope_from_proto(request.scope)
        check_collection(request.collection)
        wanted = enrichment_from_proto(request.settings) if request.HasField("settings") else None
        name = await self._intake.own_name(scope, request.collection)
        settings = await self._enrichment.put(scope.tenant, name, wanted)
        return pb.SetEnrichmentResponse(settings=enrichment_to_proto(settings))
