"""The gateway: HTTP and gRPC in one process and one event loop, over the same operations."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc

from services.gateway.caches.answers import AnswerStore
from services.gateway.caches.identity import EngineIdentity
from services.gateway.caches.pipeline import CachedPipeline
from services.gateway.caches.positions import Positions
from services.gateway.caches.store import BoundedStore
from services.gateway.chat_operations import ChatOperations
from services.gateway.clients.embedding_client import EmbeddingClient
from services.gateway.clients.generation_client import GenerationClient
from services.gateway.clients.guards import guards
from services.gateway.clients.health_probe import HealthProbe
from services.gateway.clients.ingestion_client import IngestionClient
from services.gateway.clients.retrieval_client import RetrievalClient
from services.gateway.clients.source_client import SourceClient
from services.gateway.edge.console_files import ConsoleFiles
from services.gateway.edge.door import Door
from services.gateway.edge.exchange import Exchange
from services.gateway.edge.http import VERSION, http_app
from services.gateway.edge.http_server import HttpServer
from services.gateway.edge.mcp.endpoint import McpEndpoint
from services.gateway.edge.mcp.tools import Tools
from services.gateway.edge.openai.routes import OpenAiOperations
from services.gateway.edge.readiness import Readiness
from services.gateway.file_operations import FileOperations
from services.gateway.identity.opening import Identity, open_identity
from services.gateway.identity.tenant_classes import TenantClasses
from services.gateway.ledger.alerts import AlertStore
from services.gateway.ledger.ledger import Ledger
from services.gateway.ledger.schema import ensure_ledger
from services.gateway.limits import tables as limit_tables
from services.gateway.limits.desk import LimitDesk
from services.gateway.limits.opening import open_gate
from services.gateway.limits.rule_store import RuleStore
from services.gateway.load_shedding import LoadShedder
from services.gateway.metering import Metering
from services.gateway.operations import Operations
from services.gateway.overview import LedgerToday, OverviewDesk, Process
from services.gateway.pipeline.rag import RagPipeline
from services.gateway.quality_desk import QualityDesk
from services.gateway.servicer import GatewayServicer
from services.gateway.settings import GatewaySettings
from services.gateway.source_operations import SourceOperations
from services.gateway.store import openai_tables, quality_tables
from services.gateway.store.calibrations import Calibrations
from services.gateway.store.directory import Directory
from services.gateway.store.feedback import FeedbackStore
from services.gateway.store.file_store import FileStore
from services.gateway.store.schemas import ensure_identity_tables
from services.gateway.store.vector_store_labels import VectorStoreLabels
from services.gateway.usage import PriceTable
from services.gateway.usage_desk import UsageDesk
from services.gateway.vector_store_operations import VectorStoreOperations
from services.rpc.adaptive_limit import AdaptiveLimit
from services.rpc.admission import Admission
from services.rpc.channel import open_channel
from services.rpc.errors import ServiceError, StartupError
from services.rpc.heap import set_heap_aside
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.replicas import Replicas
from services.rpc.server import RpcServer, run_service
from services.rpc.service_identity import identity_of
from services.rpc.settings import load_settings
from services.rpc.telemetry import Telemetry, start_telemetry
from services.sql.engine import open_engine, sqlite_url
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter

if TYPE_CHECKING:
    import grpc

    from services.gateway.limits.gate import Gate
    from services.rpc.guard import Guard
    from services.rpc.service_identity import ServiceIdentity

SERVICES = ("embedding", "retrieval", "generation", "ingestion")

_FIRST_LIMIT = 128
"""Requests at once before the limit has been tried: at 20 ms each more than 5,000 a second."""

_SWITCH_SECONDS = 0.0005
"""Requests let the interpreter's lock go at each look at the network, and wait for it while the
ledger's and the audit log's thread puts rows together: up to 5 ms each time by default."""


@dataclass(frozen=True, slots=True)
class _Stores:
    """What is kept in SQL."""

    identity: Identity
    ledger: Ledger
    alerts: AlertStore
    rules: RuleStore
    classes: TenantClasses
    feedback: FeedbackStore
    calibrations: Calibrations
    files: FileStore
    labels: VectorStoreLabels


class GatewayServer(RpcServer):
    """Drains HTTP together with gRPC.

    Args:
        settings: Of the process.
        telemetry: Of the process.
        readiness: Told when the drain begins.
        exchange: The HTTP application.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        telemetry: Telemetry,
        readiness: Readiness,
        exchange: Exchange,
    ) -> None:
        super().__init__(
            settings,
            telemetry,
            service_names=["cairn.gateway.v1.GatewayService"],
            file_descriptors=[pb.DESCRIPTOR],
        )
        self._delay_seconds = settings.drain_delay_seconds
        self._readiness = readiness
        self.http = HttpServer(
            exchange, settings.http_host, settings.http_port, settings.grace_seconds
        )

    async def drain(self) -> None:
        """Leaves the balancers, serves on until they have noticed, then lets the rest end."""
        self._readiness.drain()

        async def drain_http() -> None:
            await asyncio.sleep(self._delay_seconds)
            await self.http.stop()

        await asyncio.gather(super().drain(), drain_http())


async def serve(settings: GatewaySettings) -> None:
    """Runs the gateway until a signal."""
    configure_logging("gateway", settings.log_level)
    telemetry = start_telemetry("gateway", settings, keeps_recent=True)
    metrics_port = serve_metrics(settings.host, settings.metrics_port, settings.data_dir)
    get_logger().info("metrics", metrics_port=metrics_port)
    try:
        async with gateway(settings, telemetry) as server:
            await server.wait_for_signal_then_drain()
    finally:
        await asyncio.to_thread(telemetry.shutdown)


@contextlib.asynccontextmanager
async def gateway(settings: GatewaySettings, telemetry: Telemetry) -> AsyncIterator[GatewayServer]:
    """Runs the gateway while the block runs."""
    async with contextlib.AsyncExitStack() as stack:
        prices = _prices(settings)
        stores = await stack.enter_async_context(_stores(settings, prices))
        guarded = guards(_targets(settings))
        identity = identity_of("gateway", settings)
        channels = {
            name: await stack.enter_async_context(_channel(settings, name, guarded[name], identity))
            for name in SERVICES
        }
        generation = GenerationClient(
            channels["generation"],
            await stack.enter_async_context(_replicas(settings, identity).running()),
            guarded["generation"],
        )
        # Before what ends with it: requests that end late are still metered.
        await stack.enter_async_context(stores.ledger.running())
        library = RetrievalClient(channels["retrieval"])
        gate = await stack.enter_async_context(
            open_gate(settings, stores.rules, stores.ledger, stores.alerts, library)
        )
        metering = Metering(gate, stores.ledger, _load(settings))
        operations = _operations(settings, channels, generation, stores, prices, gate, metering)
        identity = stores.identity
        door = Door(identity.keys, gate, identity.tokens, identity.audit)
        readiness = Readiness({name: HealthProbe(each) for name, each in channels.items()})
        mcp = McpEndpoint(Tools(operations), VERSION)
        openai = _openai(settings, generation, stores, operations, metering)
        admission = Admission(settings.max_requests_in_flight, "http_requests")
        process = Process(
            version=metadata.version("cairn-rag"),
            health=readiness.view,
            requests_in_flight=lambda: round(admission.cost_in_flight),
            recent_traces=telemetry.recent.list,
            caches=operations.caches.figures,
        )
        overview = OverviewDesk(
            process,
            IngestionClient(channels["ingestion"]),
            LedgerToday(stores.ledger, prices.currency),
        )
        exchange = Exchange(
            http_app(operations, identity, readiness, ConsoleFiles(), openai, mcp, overview),
            door=door,
            audit=identity.audit,
            telemetry=telemetry,
            admission=admission,
            uploads=Admission(settings.max_upload_bytes_in_flight, "http_upload_bytes"),
            timeout_seconds=settings.request_timeout_seconds,
            is_draining=lambda: readiness.is_draining,
        )
        server = GatewayServer(settings, telemetry, readiness, exchange)
        servicer = GatewayServicer(
            operations, openai.chat, identity, door, settings.query_timeout_seconds
        )
        rpc.add_GatewayServiceServicer_to_server(servicer, server.grpc)
        http_port = server.http.bind()
        await server.start()
        set_heap_aside()
        await stack.enter_async_context(readiness.running(server.set_ready))
        await stack.enter_async_context(mcp.running())
        async with asyncio.TaskGroup() as group:
            await server.http.start(group)
            get_logger().info("listening for http", host=settings.http_host, port=http_port)
            try:
                yield server
            finally:
                await server.http.stop()
                await server.stop()


def _targets(settings: GatewaySettings) -> dict[str, str]:
    return {name: getattr(settings, f"{name}_target") for name in SERVICES}


def _load(settings: GatewaySettings) -> LoadShedder:
    most = settings.max_requests_in_flight
    # Not from the most: under too much load it would take seconds to come down from there.
    limit = AdaptiveLimit(least=min(16, most), start=min(_FIRST_LIMIT, most), most=most)
    return LoadShedder(settings.query_timeout_seconds, limit)


@contextlib.asynccontextmanager
async def _stores(settings: GatewaySettings, prices: PriceTable) -> AsyncIterator[_Stores]:
    folder = settings.data_dir / "gateway"
    try:
        engine = open_engine(
            settings.database_url.get_secret_value() or sqlite_url(folder / "gateway.db")
        )
        await asyncio.to_thread(ensure_identity_tables, engine)
        await asyncio.to_thread(ensure_ledger, engine)
        await asyncio.to_thread(
            ensure_schema,
            engine,
            limit_tables.metadata,
            limit_tables.VERSION,
            component=limit_tables.COMPONENT,
        )
        await asyncio.to_thread(
            ensure_schema,
            engine,
            quality_tables.metadata,
            quality_tables.VERSION,
            component=quality_tables.COMPONENT,
        )
        await asyncio.to_thread(
            ensure_schema,
            engine,
            openai_tables.metadata,
            openai_tables.VERSION,
            component=openai_tables.COMPONENT,
        )
    except (ServiceError, ValueError, OSError) as error:
        raise StartupError(f"cannot open the gateway's database: {error}") from error
    try:
        async with (
            GroupWriter(engine) as writer,
            Reader(engine, 2) as reader,
            contextlib.AsyncExitStack() as stack,
        ):
            yield _Stores(
                identity=await stack.enter_async_context(
                    open_identity(settings, folder, reader, writer)
                ),
                ledger=Ledger(
                    reader,
                    writer,
                    prices,
                    folder=folder / "ledger",
                    kept_days=settings.usage_event_days,
                ),
                alerts=AlertStore(reader, writer),
                rules=RuleStore(reader, writer),
                classes=TenantClasses(Directory(reader, writer)),
                feedback=FeedbackStore(writer),
                calibrations=Calibrations(reader, writer),
                files=FileStore(reader, writer),
                labels=VectorStoreLabels(reader, writer),
            )
    finally:
        engine.dispose()


@contextlib.asynccontextmanager
async def _channel(
    settings: GatewaySettings, name: str, guard: Guard, identity: ServiceIdentity | None
) -> AsyncIterator[grpc.aio.Channel]:
    """Opens a channel; the gateway is the one hop that repeats failed calls."""
    try:
        channel = open_channel(
            getattr(settings, f"{name}_target"),
            guard=guard,
            identity=identity,
            max_message_bytes=settings.max_message_bytes,
        )
    except ValueError as error:
        raise StartupError(f"CAIRN_GATEWAY_{name.upper()}_TARGET: {error}") from error
    async with channel:
        yield channel


def _replicas(settings: GatewaySettings, identity: ServiceIdentity | None) -> Replicas:
    """Returns the generation replicas, which are asked by what they have in their caches."""
    return Replicas(
        "generation",
        settings.generation_target,
        open_replica=lambda address: open_channel(
            address, identity=identity, max_message_bytes=settings.max_message_bytes
        ),
    )


def _operations(
    settings: GatewaySettings,
    channels: dict[str, grpc.aio.Channel],
    generation: GenerationClient,
    stores: _Stores,
    prices: PriceTable,
    gate: Gate,
    metering: Metering,
) -> Operations:
    embedding = EmbeddingClient(channels["embedding"])
    retrieval = RetrievalClient(channels["retrieval"])
    pipeline = RagPipeline(
        embedder=embedding,
        reranker=embedding,
        encoder=embedding,
        retriever=retrieval,
        generator=generation,
        prices=prices,
        seconds=settings.query_timeout_seconds,
        rerank_model=settings.rerank_model,
        rewrite_model=settings.rewrite_model,
        neighbour_tokens=settings.neighbour_tokens,
    )
    return Operations(
        pipeline=CachedPipeline(
            pipeline,
            positions=Positions(retrieval),
            identity=EngineIdentity(generation),
            answers=AnswerStore(
                settings.answer_cache_bytes,
                settings.cache_seconds,
                settings.semantic_cache_threshold,
            ),
            results=BoundedStore("retrieval", settings.result_cache_bytes, settings.cache_seconds),
            seconds=settings.query_timeout_seconds,
            currency=settings.currency,
        ),
        embedding=embedding,
        retrieval=retrieval,
        ingestion=IngestionClient(channels["ingestion"]),
        metering=metering,
        usage=UsageDesk(stores.ledger, stores.alerts),
        limits=LimitDesk(gate, stores.rules, stores.classes, retrieval),
        feedback=stores.feedback,
        sources=SourceOperations(SourceClient(channels["ingestion"]), metering),
        quality=QualityDesk(
            embedding,
            stores.calibrations,
            retrieval,
            metering,
            settings.query_timeout_seconds,
        ),
    )


def _openai(
    settings: GatewaySettings,
    generation: GenerationClient,
    stores: _Stores,
    operations: Operations,
    metering: Metering,
) -> OpenAiOperations:
    files = FileOperations(stores.files, settings.max_tenant_file_bytes)
    return OpenAiOperations(
        chat=ChatOperations(generation, metering, settings.query_timeout_seconds),
        files=files,
        vector_stores=VectorStoreOperations(operations, files, stores.labels),
    )


def _prices(settings: GatewaySettings) -> PriceTable:
    return PriceTable(
        embedding=settings.price_embedding,
        rerank=settings.price_rerank,
        prompt=settings.price_prompt,
        cached_prompt=settings.price_cached_prompt,
        completion=settings.price_completion,
        currency=settings.currency,
        retrieval=settings.price_retrieval,
        models={name: each.prices() for name, each in settings.model_prices.items()},
    )


def main() -> int:
    """Runs the process and returns its exit code."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    return run_service(serve(load_settings(GatewaySettings)))


if __name__ == "__main__":
    raise SystemExit(main())
