"""IngestionService: messages to the domain and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cairn.ingestion.v1 import ingestion_service_pb2_grpc as rpc

from services.ingestion.rpcs.documents import DocumentRpcs, IntakeLimits
from services.ingestion.rpcs.enrichment import EnrichmentRpcs
from services.ingestion.rpcs.sources import SourceRpcs

if TYPE_CHECKING:
    from services.ingestion.deletion_query import DeletionQueries
    from services.ingestion.enrichment.desk import EnrichmentDesk
    from services.ingestion.intake import Intake
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.sources.desk import SourceDesk
    from services.ingestion.wakeup import Wakeup
    from services.rpc.admission import Admission

__all__ = ["IngestionServicer", "IntakeLimits", "register"]


class IngestionServicer(  # pyright: ignore[reportIncompatibleMethodOverride] - stubs are untyped
    DocumentRpcs, SourceRpcs, EnrichmentRpcs, rpc.IngestionServiceServicer
):
    """Answers the service's RPCs.

    Args:
        store: The queue.
        intake: Takes documents in.
        deletions: Deletes documents.
        wakeup: Tells workers.
        admission: Bounds the bytes being received.
        limits: Bounds on one request.
        sources: Keeps sources.
        enrichment: Keeps enrichment settings.
    """

    def __init__(
        self,
        store: JobStore,
        intake: Intake,
        deletions: DeletionQueries,
        wakeup: Wakeup,
        admission: Admission,
        limits: IntakeLimits,
        *,
        sources: SourceDesk,
        enrichment: EnrichmentDesk,
    ) -> None:
        self._store = store
        self._intake = intake
        self._deletions = deletions
        self._wakeup = wakeup
        self._admission = admission
        self._limits = limits
        self._sources = sources
        self._enrichment = enrichment


def register(servicer: IngestionServicer, server: Any) -> None:
    """Adds the servicer to a gRPC server."""
    rpc.add_IngestionServiceServicer_to_server(servicer, server)
