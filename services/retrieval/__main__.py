"""The retrieval service: how store, views and search fit together, and how the process lives."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc

from services.retrieval.administration import Administration
from services.retrieval.backend import Backend
from services.retrieval.library import Library
from services.retrieval.metrics import FILTERS_DISTRUSTED
from services.retrieval.recall_sample import RecallSample
from services.retrieval.search import Searcher
from services.retrieval.servicer import RetrievalServicer
from services.retrieval.settings import RetrievalSettings
from services.retrieval.snapshots.archive import Archive
from services.retrieval.store.counts import Quota
from services.retrieval.store.store import Store
from services.retrieval.transfer import Exporter
from services.retrieval.vectors import trust
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.view.keeper import Keeper, KeeperSettings
from services.retrieval.view.merging import Shape
from services.rpc.admission import Admission
from services.rpc.errors import FailedPreconditionError, StartupError, UnavailableError
from services.rpc.heap import set_heap_aside
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry
from services.sql.engine import sqlite_url

_DATABASE_SECONDS = 30.0
"""Wait for a database that does not answer yet."""


_SWITCH_SECONDS = 0.0005
"""The interpreter's default of 5 ms makes a thread that comes back from the database, which it does
for every row, wait that long for one that computes: at 0.5 ms, 40 times as many rows are written
one by one beside a busy thread."""


async def serve(settings: RetrievalSettings) -> None:
    """Runs the service until a signal."""
    configure_logging("retrieval", settings.log_level)
    telemetry = start_telemetry("retrieval", settings)
    url = settings.database_url.get_secret_value()
    url = url or sqlite_url(settings.data_dir / "retrieval" / "retrieval.db")
    try:
        async with (
            await _open_store(url, settings) as store,
            _BACKENDS[settings.backend](store, settings) as backend,
        ):
            sample = RecallSample(backend.searcher)
            servicer = RetrievalServicer(
                backend.library,
                sample,
                backend.administration,
                backend.exporter,
                Admission(settings.max_queries, "retrieval_queries"),
                Admission(settings.max_write_bytes, "retrieval_write_bytes"),
                backend.archive,
            )
            server = RpcServer(
                settings,
                telemetry,
                service_names=["cairn.retrieval.v1.RetrievalService"],
                file_descriptors=[pb.DESCRIPTOR],
                callers=("gateway", "ingestion"),
            )
            rpc.add_RetrievalServiceServicer_to_server(servicer, server.grpc)
            metrics_port = serve_metrics(settings.host, settings.metrics_port, settings.data_dir)
            await server.start()
            get_logger().info("metrics", metrics_port=metrics_port)
            async with asyncio.TaskGroup() as tasks:
                upkeep = [
                    tasks.create_task(backend.library.expire()),
                    tasks.create_task(sample.run()),
                    tasks.create_task(_end_when_broken(store, server)),
                ]
                if backend.archive is not None:
                    upkeep.append(tasks.create_task(backend.archive.expire()))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(settings.preload_seconds):
                        await backend.preload()
                set_heap_aside()
                server.set_ready(True)
                get_logger().info("ready")
                await server.wait_for_signal_then_drain()
                for task in upkeep:
                    task.cancel()
    finally:
        await asyncio.to_thread(telemetry.shutdown)


@contextlib.asynccontextmanager
async def _local(store: Store, settings: RetrievalSettings) -> AsyncIterator[Backend]:
    """Opens views in this process."""
    _tell(await asyncio.to_thread(trust.find_out))
    REGISTRY.configure(settings.data_dir / "retrieval" / "kernels")
    quota = Quota(settings.default_max_vectors, settings.default_max_bytes)
    shape = Shape(graph_rows=settings.graph_rows)
    keeping = KeeperSettings(
        settings.poll_seconds,
        settings.max_view_bytes,
        shape,
        folder=settings.data_dir / "retrieval" / "views",
        build_threads=settings.build_threads,
        warm_after_seconds=settings.warm_after_seconds,
        cold_after_seconds=settings.cold_after_seconds,
        hot_uses=settings.hot_searches,
    )
    async with Keeper(store, keeping) as keeper:
        searcher = Searcher(
            store, keeper, settings.search_threads, passage_bytes=settings.passage_cache_bytes
        )
        archive = Archive(
            store,
            restored=keeper.follow,
            folder=settings.data_dir / "retrieval" / "snapshots",
            most=settings.max_snapshots,
            default_quota=quota,
        )
        try:
            yield Backend(
                Library(store, keeper, default_quota=quota),
                searcher,
                Administration(store, keeper, default_quota=quota),
                Exporter(store, keeper),
                partial(keeper.preload, settings.max_view_bytes),
                archive,
            )
        finally:
            await archive.close()
            await searcher.close()


def _tell(found: trust.Trust) -> None:
    """Says which indexes are searched under filters, and on what."""
    FILTERS_DISTRUSTED.set(len(found.disabled))
    level = "warning" if found.disabled else "info"
    getattr(get_logger(), level)(
        "filters were tried",
        passed=list(found.passed),
        disabled=found.disabled,
        device=found.device,
    )


@contextlib.asynccontextmanager
async def _milvus(store: Store, settings: RetrievalSettings) -> AsyncIterator[Backend]:
    """Connects to Milvus."""
    from services.retrieval.milvus import opening  # noqa: PLC0415 - only who uses it loads it

    place = opening.Place(
        settings.milvus_uri or str(settings.data_dir / "retrieval" / "milvus.db"),
        settings.milvus_token.get_secret_value(),
        settings.milvus_prefix,
    )
    quota = Quota(settings.default_max_vectors, settings.default_max_bytes)
    async with opening.opened(
        store, place, settings.poll_seconds, settings.search_threads, quota
    ) as backend:
        yield backend


_BACKENDS: dict[str, Callable[[Store, RetrievalSettings], AbstractAsyncContextManager[Backend]]] = {
    "local": _local,
    "milvus": _milvus,
}


async def _end_when_broken(store: Store, server: RpcServer) -> None:
    """Ends the process, by failing, when the disk did not confirm a write."""
    error = await store.writer.broken()
    await server.drain()
    raise RuntimeError("the disk failed") from error


async def _open_store(url: str, settings: RetrievalSettings) -> Store:
    """Opens the store; waits for a database that is still starting."""
    give_up = time.monotonic() + _DATABASE_SECONDS
    while True:
        try:
            return await Store.open(
                url, readers=settings.search_threads, reserve_bytes=settings.disk_reserve_bytes
            )
        except UnavailableError as error:
            if time.monotonic() > give_up:
                raise StartupError(f"the database: {error.message}") from error
        except (ValueError, FailedPreconditionError) as error:
            raise StartupError(f"the database: {error}") from error
        await asyncio.sleep(0.5)


def main() -> int:
    """Runs the process and returns its exit code."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    return run_service(serve(load_settings(RetrievalSettings)))


if __name__ == "__main__":
    raise SystemExit(main())
