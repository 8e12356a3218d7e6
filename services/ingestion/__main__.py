"""Starts the ingestion service: `python -m services.ingestion`. The map of the service."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import socket
import sys

from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.chunker import ChunkerSettings
from services.ingestion.deletion import Deletions
from services.ingestion.deletion_query import DeletionQueries
from services.ingestion.embedding_client import EmbeddingClient
from services.ingestion.failpoint import Failpoint
from services.ingestion.intake import Intake
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.store import JobStore
from services.ingestion.parsers.options import OcrHook
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool
from services.ingestion.retrieval_client import RetrievalClient
from services.ingestion.servicer import IngestionServicer, IntakeLimits, register
from services.ingestion.settings import IngestionSettings
from services.ingestion.source_parts import SourceParts, open_parts, spool_folder_of
from services.ingestion.stages.pipeline import Pipeline
from services.ingestion.stages.workers import Capacity, Workers
from services.ingestion.upkeep import keep_up
from services.ingestion.wakeup import Wakeup
from services.rpc.admission import Admission
from services.rpc.channel import open_channel
from services.rpc.errors import ServiceError, StartupError
from services.rpc.heap import set_heap_aside
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.service_identity import identity_of
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry
from services.sql.engine import sqlite_url

SERVICE = "cairn.ingestion.v1.IngestionService"
_SWITCH_SECONDS = 0.0005
"""At the interpreter's default of 5 ms a thread that comes back from the database waits that long
beside a busy event loop, row after row, and with it whoever waits for its transaction."""


async def serve(settings: IngestionSettings) -> None:
    """Runs the service until it is told to stop."""
    configure_logging("ingestion", settings.log_level)
    _failpoint(settings)
    telemetry = start_telemetry("ingestion", settings)
    serve_metrics(settings.host, settings.metrics_port, settings.data_dir)
    has_api, has_workers = settings.role != "worker", settings.role != "api"
    server = RpcServer(
        settings,
        telemetry,
        service_names=[SERVICE] if has_api else [],
        file_descriptors=[pb.DESCRIPTOR],
        callers=("gateway",),
    )
    identity = identity_of("ingestion", settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(asyncio.to_thread, telemetry.shutdown)
        store = await stack.enter_async_context(await _open_store(settings))
        embedding, retrieval = [
            await stack.enter_async_context(open_channel(target, identity=identity))
            for target in (settings.embedding_target, settings.retrieval_target)
        ]
        embedder, index = EmbeddingClient(embedding), RetrievalClient(retrieval)
        wakeup = await stack.enter_async_context(
            Wakeup(settings.valkey_url.get_secret_value(), is_listening=has_workers)
        )
        deletions = Deletions(store, index)
        parts = await _open_parts(settings, store, stack)
        intake = Intake(
            store,
            index,
            wakeup,
            max_document_bytes=settings.max_document_bytes,
            creates_collections=settings.create_missing_collections,
        )
        if has_api:
            queries = DeletionQueries(store, deletions, index)
            servicer = IngestionServicer(
                store,
                intake,
                queries,
                wakeup,
                Admission(settings.max_bytes_in_flight, "ingestion_bytes"),
                IntakeLimits(
                    settings.max_document_bytes,
                    settings.max_documents_per_request,
                    spool_folder_of(settings),
                ),
                sources=parts.desk(intake, queries),
                enrichment=parts.enrichment_desk(),
            )
            register(servicer, server.grpc)
        await server.start()
        if has_workers:
            pipeline = await _pipeline(settings, store, parts, embedder, index, stack)
            await stack.enter_async_context(
                Workers(
                    store,
                    pipeline,
                    wakeup,
                    owner=_owner(),
                    capacity=Capacity(
                        settings.worker_concurrency,
                        settings.worker_express_concurrency,
                        settings.worker_bytes,
                    ),
                    poll_seconds=settings.poll_seconds,
                )
            )
            await stack.enter_async_context(parts.schedule(intake, deletions, _owner()))
        upkeep = asyncio.create_task(keep_up(store, deletions, settings.history_seconds))
        stack.callback(upkeep.cancel)
        set_heap_aside()
        server.set_ready(True)
        get_logger().info("ready", port=server.port, state=settings.role)
        await server.wait_for_signal_then_drain()


async def _pipeline(
    settings: IngestionSettings,
    store: JobStore,
    parts: SourceParts,
    embedder: EmbeddingClient,
    index: RetrievalClient,
    stack: contextlib.AsyncExitStack,
) -> Pipeline:
    """Returns what is done with a job; its parsers are closed with the stack."""
    parsers = await stack.enter_async_context(
        ParserPool(settings.parser_processes, _parser_limits(settings), _ocr(settings))
    )
    express_parsers = await stack.enter_async_context(
        ParserPool(1, _parser_limits(settings), _ocr(settings))
    )
    return Pipeline(
        store,
        parsers,
        embedder,
        index,
        chunker=_chunker(settings),
        failpoint=_failpoint(settings),
        express_parsers=express_parsers,
        enricher=parts.enricher(),
        with_codes=settings.token_codes,
    )


async def _open_store(settings: IngestionSettings) -> JobStore:
    url = settings.database_url.get_secret_value()
    try:
        if not url:
            url = sqlite_url(settings.data_dir / "ingestion" / "jobs.sqlite")
        bounds = QueueBounds(
            settings.max_queued_per_tenant,
            settings.max_queued,
            settings.overload_retry_seconds,
            settings.max_queue_age_seconds,
        )
        return await JobStore.open(url, bounds, lease_seconds=settings.lease_seconds)
    except (ServiceError, ValueError, OSError) as error:
        raise StartupError(f"the job database cannot be opened: {error}") from error


async def _open_parts(
    settings: IngestionSettings, store: JobStore, stack: contextlib.AsyncExitStack
) -> SourceParts:
    try:
        return await open_parts(settings, store, stack)
    except (ServiceError, ValueError, OSError) as error:
        raise StartupError(str(error)) from error


def _owner() -> str:
    """Returns the name of this process in leases."""
    return f"{socket.gethostname()[:40]}:{os.getpid()}"


def _failpoint(settings: IngestionSettings) -> Failpoint:
    try:
        return Failpoint(settings.failpoint)
    except ValueError as error:
        raise StartupError(f"CAIRN_INGESTION_FAILPOINT: {error}") from error


def _parser_limits(settings: IngestionSettings) -> ParserLimits:
    return ParserLimits(
        cpu_seconds=settings.parser_cpu_seconds,
        wall_seconds=settings.parser_wall_seconds,
        memory_bytes=settings.parser_memory_bytes,
        max_characters=settings.max_text_characters,
    )


def _ocr(settings: IngestionSettings) -> OcrHook:
    if settings.ocr_entry_point:
        if ":" not in settings.ocr_entry_point:
            raise StartupError("CAIRN_INGESTION_OCR_ENTRY_POINT: must be package.module:function")
        return OcrHook(entry_point=settings.ocr_entry_point)
    return OcrHook(command=tuple(shlex.split(settings.ocr_command)))


def _chunker(settings: IngestionSettings) -> ChunkerSettings:
    return ChunkerSettings(
        min_words=settings.chunk_min_words,
        max_words=settings.chunk_max_words,
        overlap_words=settings.chunk_overlap_words,
    )


def main() -> int:
    """Runs the process and returns its exit code."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    return run_service(serve(load_settings(IngestionSettings)))


if __name__ == "__main__":
    sys.exit(main())
