"""The embedding process: here its parts are put together.

settings → Models (BertEncoder …) ┐
Batcher                ├→ Embedder → EmbeddingServicer → RpcServer
VectorCache            ┘
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc

from services.embedding.batcher import Batcher, BatcherLimits
from services.embedding.cache import VectorCache
from services.embedding.embedder import Embedder
from services.embedding.encoder import Encoder
from services.embedding.hardware import configure_process, usable_cores
from services.embedding.limits import RequestLimits
from services.embedding.models import Models, open_models
from services.embedding.servicer import EmbeddingServicer
from services.embedding.settings import EmbeddingSettings
from services.embedding.warm_up import warm_up
from services.rpc.errors import ServiceError, StartupError
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry

SERVICE_NAME = "cairn.embedding.v1.EmbeddingService"
_CPU_BATCH_TOKENS = 1024
_ACCELERATOR_BATCH_TOKENS = 16_384


def main() -> int:
    """Runs the service and returns its exit code."""
    settings = load_settings(EmbeddingSettings)
    threads = settings.threads or usable_cores()
    configure_process(threads)
    configure_logging("embedding", settings.log_level)
    return run_service(_serve(settings, threads))


async def _serve(settings: EmbeddingSettings, threads: int) -> None:
    telemetry = start_telemetry("embedding", settings)
    server = RpcServer(
        settings, telemetry, service_names=[SERVICE_NAME], file_descriptors=[pb.DESCRIPTOR]
    )
    broken = asyncio.Event()
    limits = RequestLimits(
        max_texts=settings.max_texts,
        max_text_characters=settings.max_text_characters,
        max_response_bytes=settings.max_message_bytes,
    )
    try:
        async with (
            open_models(_opener(settings, threads), max_models=settings.max_models) as models,
            Batcher(_batcher_limits(settings), on_broken=broken.set) as batcher,
        ):
            embedder = Embedder(models, batcher, VectorCache(settings.cache_bytes), limits)
            rpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(embedder), server.grpc)
            port = await server.start()
            metrics_port = serve_metrics(settings.host, settings.metrics_port)
            get_logger().info("started", port=port, metrics_port=metrics_port)
            try:
                await _load_default(settings, models, batcher)
                server.set_ready(True)
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(_stop_when_broken(broken, server))
                    await server.wait_for_signal_then_drain()
                    watch.cancel()
            finally:
                await server.stop()
                embedder.close()
            if broken.is_set():
                raise StartupError("the engine failed on every batch; see the log")
    finally:
        telemetry.shutdown()


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


def _opener(settings: EmbeddingSettings, threads: int) -> Callable[[Path], Encoder]:
    """Returns what makes an encoder of a folder.

    Its first use imports torch, which reads what `configure_process` has set.
    """

    def open_encoder(folder: Path) -> Encoder:
        import torch  # noqa: PLC0415 - heavy: 0.8 s, during which the server answers "not ready"

        from services.embedding.engines.bert_encoder import BertEncoder  # noqa: PLC0415 - torch is slow to import

        torch.set_num_threads(threads)
        return BertEncoder(folder, device=settings.device, precision=settings.precision)

    return open_encoder


async def _load_default(settings: EmbeddingSettings, models: Models, batcher: Batcher) -> None:
    """Loads the default model and runs it once in each shape of use.

    Raises:
        StartupError: It cannot be loaded.
    """
    started = asyncio.get_running_loop().time()
    last_part = settings.model.rstrip("/").rpartition("/")[2]
    name = settings.model_name or re.sub(r"[^A-Za-z0-9._-]", "-", last_part)
    try:
        model = await models.load(name, settings.model, make_default=True)
        await warm_up(model.encoder, batcher)
    except ServiceError as error:
        raise StartupError(f"CAIRN_EMBEDDING_MODEL={settings.model}: {error.message}") from error
    info = model.encoder.info
    get_logger().info(
        "ready",
        model=name,
        engine=f"{info.engine} {info.device} {info.precision}",
        seconds=round(asyncio.get_running_loop().time() - started, 3),
    )


async def _stop_when_broken(broken: asyncio.Event, server: RpcServer) -> None:
    """Ends the process when its engine fails for good: whoever supervises it starts a new one."""
    await broken.wait()
    server.set_ready(False)
    get_logger().critical("the engine is broken: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
