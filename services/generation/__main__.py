"""The generation service: its engines, the order they are tried in, the life of the process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator

from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc

from services.generation.cache_salt import cache_salt
from services.generation.chain import Chain
from services.generation.embedding_client import EmbeddingClient
from services.generation.endpoints import Endpoint, read_prices
from services.generation.engine import Engine, RequestClass
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.readiness import keep_ready
from services.generation.routing import class_of
from services.generation.servicer import GenerationServicer
from services.generation.settings import GenerationSettings
from services.rpc.admission import Admission
from services.rpc.channel import open_channel
from services.rpc.heap import set_heap_aside
from services.rpc.logs import configure_logging, get_logger
from services.rpc.metrics import serve_metrics
from services.rpc.server import RpcServer, run_service
from services.rpc.service_identity import identity_of
from services.rpc.settings import load_settings
from services.rpc.telemetry import start_telemetry


class EngineDiedError(Exception):
    """An engine ended for good; only a new process brings it back."""


async def serve(settings: GenerationSettings) -> None:
    """Runs the service until a signal, or until an engine dies."""
    configure_logging("generation", settings.log_level)
    telemetry = start_telemetry("generation", settings)
    try:
        async with _engines(settings) as engines:
            chain = Chain(
                engines,
                {each: settings.order(each.value) for each in RequestClass},
                first_text_seconds=settings.first_text_seconds,
                slow_seconds=settings.slow_first_text_seconds,
                classify=class_of if settings.route_by_question else None,
            )
            server = RpcServer(
                settings,
                telemetry,
                service_names=["cairn.generation.v1.GenerationService"],
                file_descriptors=[pb.DESCRIPTOR],
                callers=("gateway",),
            )
            servicer = GenerationServicer(
                chain, Admission(settings.max_waiting, "generation_requests")
            )
            rpc.add_GenerationServiceServicer_to_server(servicer, server.grpc)
            metrics_port = serve_metrics(settings.host, settings.metrics_port, settings.data_dir)
            await server.start()
            get_logger().info("metrics", metrics_port=metrics_port)
            for engine in chain.engines:
                await engine.start()
            set_heap_aside()
            server.set_ready(True)
            get_logger().info("ready", engine=settings.engines)
            await _until_signal_or_death(server, chain)
    finally:
        await asyncio.to_thread(telemetry.shutdown)


@contextlib.asynccontextmanager
async def _engines(settings: GenerationSettings) -> AsyncIterator[dict[str, Engine]]:
    """Builds every engine that some chain names; closes them at the end."""
    names = dict.fromkeys(name for each in RequestClass for name in settings.order(each.value))
    async with contextlib.AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for name in names:
            engines[name] = await _engine(name, settings, stack)
            stack.push_async_callback(engines[name].close)
        yield engines


async def _engine(
    name: str, settings: GenerationSettings, stack: contextlib.AsyncExitStack
) -> Engine:
    if name == "vllm":
        from services.generation.vllm_engine import VllmEngine, VllmOptions  # noqa: PLC0415 - a heavy library

        secret = settings.cache_salt_secret.get_secret_value().encode() or secrets.token_bytes(32)
        options = VllmOptions(
            model=settings.vllm_model,
            model_name=settings.vllm_model_name,
            engine_args=json.loads(settings.vllm_engine_args),
            window_seconds=settings.vllm_window_seconds,
            max_waiting=settings.vllm_max_waiting,
            max_waiting_tokens=settings.vllm_max_waiting_tokens,
            gives_documents=settings.vllm_template_documents,
            niceness=settings.vllm_niceness,
        )
        return VllmEngine(options, salt=lambda scope: cache_salt(secret, scope))
    endpoints = settings.endpoints()
    if name == "openai" or name in endpoints:
        return _openai_engine(name, settings, endpoints.get(name))
    scorer = None
    if settings.embedding_target != "none":
        channel = await stack.enter_async_context(
            open_channel(settings.embedding_target, identity=identity_of("generation", settings))
        )
        scorer = EmbeddingClient(channel)
    return ExtractiveEngine(
        scorer, min_support=settings.min_support, min_overlap=settings.min_overlap
    )


def _openai_engine(name: str, settings: GenerationSettings, endpoint: Endpoint | None) -> Engine:
    from services.generation.openai_engine import OpenAiEngine  # noqa: PLC0415 - httpx

    if endpoint is None:
        return OpenAiEngine(
            base_url=settings.openai_base_url,
            api_key=settings.openai_api_key.get_secret_value(),
            model=settings.openai_model,
            max_context_tokens=settings.openai_max_context_tokens,
            prices=read_prices(settings.openai_prices),
        )
    return OpenAiEngine(
        name=name,
        base_url=endpoint.base_url,
        api_key=endpoint.api_key.get_secret_value(),
        model=endpoint.model,
        max_context_tokens=endpoint.max_context_tokens,
        prices=None if endpoint.prices is None else endpoint.prices.prices(),
    )


async def _until_signal_or_death(server: RpcServer, chain: Chain) -> None:
    async def watch(engine: Engine) -> None:
        await engine.wait_dead()
        if not server.is_draining:
            get_logger().critical("the engine has died", engine=engine.name)
            # Balancers leave; until they have, the chain's other engines answer.
            await server.drain()
            raise EngineDiedError(engine.name)

    async with asyncio.TaskGroup() as group:
        watches = [group.create_task(watch(engine)) for engine in chain.engines]
        asks = keep_ready(chain.default_engines, server.set_ready)
        watches.append(group.create_task(asks))
        await server.wait_for_signal_then_drain()
        for each in watches:
            each.cancel()


def main() -> int:
    """Runs the process and returns its exit code."""
    return run_service(serve(load_settings(GenerationSettings)))


if __name__ == "__main__":
    raise SystemExit(main())
