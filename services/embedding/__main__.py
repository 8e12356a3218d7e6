"""The embedding process: here its parts are put together.

settings → Batcher → LocalEngines → Models ┐
                     VectorCache, Splitter ┴→ Embedder, Reranker → EmbeddingServicer → RpcServer
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator

from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc

from services.embedding.batcher import Batcher
from services.embedding.cache import LocalCache, VectorCache
from services.embedding.embedder import Embedder
from services.embedding.encoder import AnyEncoder
from services.embedding.engines.opening import EngineSettings, LocalEngines
from services.embedding.hardware import configure_process, usable_cores
from services.embedding.intake import BatcherLimits
from services.embedding.limits import RequestLimits
from services.embedding.models import Models, open_models
from services.embedding.models_file import ModelEntry, RemoteEntry, read_models_file
from services.embedding.recent_queries import RecentQueries
from services.embedding.reranker import Reranker
from services.embedding.servicer import EmbeddingServicer
from services.embedding.settings import EmbeddingSettings
from services.embedding.splitting import Splitter
from services.embedding.warm_up import warm_up
from services.rpc.errors import ServiceError, StartupError, UnavailableError
from services.rpc.heap import set_heap_aside
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry

SERVICE_NAME = "cairn.embedding.v1.EmbeddingService"
_CPU_BATCH_TOKENS = 1024
_ACCELERATOR_BATCH_TOKENS = 16_384
_MOST_PASSES = 4
"""Passes side by side; of more cores each gets several. Python starts their operators one at a
time, so that many passes would wait for each other."""
_NICENESS = 5
"""Of the passes on a CPU: they take all cores for as long as there is work in bulk, and everything
else on the machine, which takes little and somebody waits for, would stand in line with them."""
_SWITCH_SECONDS = 0.0005
"""A pass lets the interpreter's lock go at each of its operators, and waited up to 5 ms, the
default, to have it back from a thread that splits texts or packs answers."""


def main() -> int:
    """Runs the service and returns its exit code."""
    settings = load_settings(EmbeddingSettings)
    threads = settings.threads or usable_cores()
    sys.setswitchinterval(_SWITCH_SECONDS)
    configure_process(threads)
    configure_logging("embedding", settings.log_level)
    return run_service(_serve(settings, threads))


async def _serve(settings: EmbeddingSettings, threads: int) -> None:
    telemetry = start_telemetry("embedding", settings)
    server = RpcServer(
        settings,
        telemetry,
        service_names=[SERVICE_NAME],
        file_descriptors=[pb.DESCRIPTOR],
        callers=("gateway", "ingestion", "generation"),
    )
    broken = asyncio.Event()
    request_limits = RequestLimits(
        max_texts=settings.max_texts,
        max_text_characters=settings.max_text_characters,
        max_response_bytes=settings.max_message_bytes,
    )
    limits = _batcher_limits(settings)
    is_cpu = settings.device == "cpu"
    passes = min(threads, _MOST_PASSES) if is_cpu else 1
    engine_settings = EngineSettings(settings.device, settings.precision, threads // passes)
    try:
        async with (
            Batcher(
                limits,
                threads=passes,
                niceness=_NICENESS if is_cpu else 0,
                on_broken=broken.set,
            ) as batcher,
            open_models(
                LocalEngines(engine_settings, batcher, limits), max_models=settings.max_models
            ) as models,
            _open_cache(settings) as cache,
        ):
            with contextlib.closing(Splitter()) as splitter:
                recent = RecentQueries()
                embedder = Embedder(models, splitter, cache, request_limits, recent)
                reranker = Reranker(models, splitter, request_limits, recent)
                rpc.add_EmbeddingServiceServicer_to_server(
                    EmbeddingServicer(embedder, reranker, limits), server.grpc
                )
                await _run(settings, models, server, broken)
        if broken.is_set():
            raise StartupError("the engine failed on every batch; see the log")
    finally:
        telemetry.shutdown()


async def _run(
    settings: EmbeddingSettings, models: Models, server: RpcServer, broken: asyncio.Event
) -> None:
    """Serves until a signal comes."""
    port = await server.start()
    metrics_port = serve_metrics(settings.host, settings.metrics_port, settings.data_dir)
    get_logger().info("started", port=port, metrics_port=metrics_port)
    try:
        await _load(settings, models)
        set_heap_aside()
        server.set_ready(True)
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(_stop_when_broken(broken, server))
            await server.wait_for_signal_then_drain()
            watch.cancel()
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def _open_cache(settings: EmbeddingSettings) -> AsyncIterator[VectorCache]:
    shared = None
    if url := settings.valkey_url.get_secret_value():
        from services.embedding.shared_cache import ValkeyCache  # noqa: PLC0415 - where it is used

        shared = ValkeyCache(url, keep_seconds=settings.shared_cache_seconds)
    cache = VectorCache(LocalCache(settings.cache_bytes), shared)
    try:
        yield cache
    finally:
        await cache.close()


def _batcher_limits(settings: EmbeddingSettings) -> BatcherLimits:
    is_cpu = settings.device == "cpu"
    usual = _CPU_BATCH_TOKENS if is_cpu else _ACCELERATOR_BATCH_TOKENS
    return BatcherLimits(
        budget_tokens=settings.batch_tokens or usual,
        max_interactive_tokens=settings.max_interactive_tokens,
        max_bulk_tokens=settings.max_bulk_tokens,
        ageing_seconds=settings.bulk_ageing_seconds,
        has_lanes=settings.lanes,
    )


async def _load(settings: EmbeddingSettings, models: Models) -> None:
    """Loads the default model and those of the file, and runs each once in each shape of use.

    Raises:
        StartupError: One cannot be loaded, or the default one does not run.
    """
    listed = read_models_file(settings.models_file)
    if listed.default is None:
        last_part = settings.model.rstrip("/").rpartition("/")[2]
        name = settings.model_name or re.sub(r"[^A-Za-z0-9._-]", "-", last_part)
        default = ModelEntry(name=name, source=settings.model, default=True)
        await _load_one(default, models, f"CAIRN_EMBEDDING_MODEL={settings.model}")
    for entry in sorted(listed.models, key=lambda each: not each.default):
        await _load_one(entry, models, f"{settings.models_file}: {entry.name}")


async def _load_one(entry: ModelEntry, models: Models, called: str) -> None:
    """Loads a model and warms it up; a remote one that does not answer now may do so later."""
    started = asyncio.get_running_loop().time()
    try:
        if entry.remote is not None:
            model = models.add_new(entry.name, _remote(entry.remote), make_default=entry.default)
        else:
            model = await models.load(
                entry.name, entry.source, entry.engine, make_default=entry.default
            )
        await warm_up(model)
    except ServiceError as error:
        if entry.remote is None or not isinstance(error, UnavailableError):
            raise StartupError(f"{called}: {error.message}") from error
        get_logger().warning("a remote model does not answer yet", model=entry.name)
        return
    info = model.encoder.info
    get_logger().info(
        "ready",
        model=entry.name,
        engine=f"{info.engine} {info.device} {info.precision}",
        seconds=round(asyncio.get_running_loop().time() - started, 3),
    )


def _remote(entry: RemoteEntry) -> AnyEncoder:
    from services.embedding.engines.remote_encoder import (  # noqa: PLC0415 - where it is used
        Endpoint,
        RemoteEncoder,
        RemoteModel,
    )

    endpoints = tuple(Endpoint(each.url, each.model, each.key()) for each in entry.endpoints)
    return RemoteEncoder(
        RemoteModel(endpoints=endpoints, **entry.model_dump(exclude={"endpoints"}))
    )


async def _stop_when_broken(broken: asyncio.Event, server: RpcServer) -> None:
    """Ends the process when its engine fails for good: whoever supervises it starts a new one."""
    await broken.wait()
    server.set_ready(False)
    get_logger().critical("the engine is broken: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
