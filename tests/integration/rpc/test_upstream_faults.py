"""What libraries do wrong, or by surprise, and what `services.rpc` therefore does itself.

Each test here passes while the fault is there. One that fails says that a newer library has mended
it: then the workaround it names can go.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc._cython import cygrpc
from grpc_health.v1 import _async as upstream_health
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.kit.echo import SERVICE, Echo, EchoStub, echo


class Work:
    """A behaviour that hangs, and notes its begin and its end."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.calls = 0

    async def hang(self, text: str) -> AsyncIterator[str]:
        self.calls += 1
        self.started.set()
        try:
            yield text
            await asyncio.sleep(60)
        finally:
            self.ended.set()

    async def fail(self, text: str) -> AsyncIterator[str]:
        self.calls += 1
        raise ZeroDivisionError
        yield text


@contextlib.asynccontextmanager
async def plain_server(
    echo_service: Echo, *, stop_grace: float | None = None, **kwargs: Any
) -> AsyncIterator[str]:
    """Runs a server without anything of `services.rpc`."""
    server = grpc.aio.server(**kwargs)
    echo_service.register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(stop_grace)


def otel() -> tuple[Any, TracerProvider, InMemorySpanExporter]:
    """Returns the instrumentation of gRPC that is not used, with somewhere to send its spans."""
    instrumentation = pytest.importorskip(
        "opentelemetry.instrumentation.grpc", reason="the instrumentation is not installed"
    )
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return instrumentation, provider, exporter


async def test_fact_1_otel_client_interceptor_swallows_cancellation() -> None:
    """Workaround: `calls`."""
    work = Work()
    otel_grpc, provider, exporter = otel()
    async with (
        plain_server(Echo(work.hang)) as target,
        grpc.aio.insecure_channel(
            target, interceptors=otel_grpc.aio_client_interceptors(tracer_provider=provider)
        ) as channel,
    ):
        task = asyncio.ensure_future(EchoStub(channel).ask("UnaryUnary", "x"))
        await work.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(work.ended.wait(), 0.5)
        assert exporter.get_finished_spans() == ()


async def _server_span(behaviour: Any, *, timeout: float) -> ReadableSpan:
    otel_grpc, provider, exporter = otel()
    async with (
        plain_server(
            Echo(behaviour),
            interceptors=[otel_grpc.aio_server_interceptor(tracer_provider=provider)],
        ) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(channel).ask("UnaryUnary", "x", timeout=timeout)
        async with asyncio.timeout(5):
            while not exporter.get_finished_spans():
                await asyncio.sleep(0.01)
    (span,) = exporter.get_finished_spans()
    assert span.kind is SpanKind.SERVER
    return span


async def test_fact_2_otel_server_interceptor_reports_exceptions_and_deadlines_as_ok() -> None:
    """Workaround: `interceptors.tracing` around `interceptors.errors`."""
    raised = await _server_span(Work().fail, timeout=5)
    assert raised.status.status_code is StatusCode.UNSET
    assert raised.attributes["rpc.grpc.status_code"] == 0
    late = await _server_span(Work().hang, timeout=0.1)
    assert late.status.status_code is StatusCode.UNSET
    assert late.attributes["rpc.grpc.status_code"] == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_fact_3_otel_server_interceptor_breaks_health_watch() -> None:
    """Workaround: health passes the layers by, and streaming methods are async generators."""
    otel_grpc, provider, _ = otel()
    server = grpc.aio.server(
        interceptors=[otel_grpc.aio_server_interceptor(tracer_provider=provider)]
    )
    health_pb2_grpc.add_HealthServicer_to_server(upstream_health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
            with pytest.raises(grpc.aio.AioRpcError):
                await watch.read()
    finally:
        await server.stop(None)


async def test_fact_4_maximum_concurrent_rpcs_refuses_health_checks() -> None:
    """Workaround: the option stays unset; `admission` bounds by cost."""
    work = Work()
    server = grpc.aio.server(maximum_concurrent_rpcs=1)
    Echo(work.hang).register(server)
    health_pb2_grpc.add_HealthServicer_to_server(upstream_health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = EchoStub(channel).call("UnaryUnary", "x")
            await work.started.wait()
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            call.cancel()
    finally:
        await server.stop(None)


async def test_fact_5_hedging_in_the_service_config_is_ignored() -> None:
    """Consequence: no hedging is configured, only retries."""
    work = Work()
    hedging = {"maxAttempts": 3, "hedgingDelay": "0.01s", "nonFatalStatusCodes": []}
    config = {"methodConfig": [{"name": [{}], "hedgingPolicy": hedging}]}
    async with (
        plain_server(Echo(work.hang)) as target,
        grpc.aio.insecure_channel(
            target, options=[("grpc.service_config", json.dumps(config))]
        ) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError):
            await EchoStub(channel).ask("UnaryUnary", "x", timeout=0.3)
    assert work.calls == 1


async def test_fact_6_two_servers_share_a_port_by_default() -> None:
    """Workaround: `grpc.so_reuseport` 0 in `RpcServer`."""
    first, second = grpc.aio.server(), grpc.aio.server()
    port = first.add_insecure_port("127.0.0.1:0")
    await first.start()
    try:
        assert second.add_insecure_port(f"127.0.0.1:{port}") == port
    finally:
        await first.stop(None)
        await second.stop(None)


async def test_fact_7_deadlines_are_not_propagated() -> None:
    """Workaround: `deadline`, set by `interceptors.deadline`, read by `calls`."""
    seen: list[float | None] = []

    class Inner(Echo):
        async def _one(self, request: StringValue, context: Any) -> StringValue:
            seen.append(context.time_remaining())
            return request

    async with (
        plain_server(Inner()) as inner_target,
        grpc.aio.insecure_channel(inner_target) as inner_channel,
    ):

        async def forward(text: str) -> AsyncIterator[str]:
            yield (await EchoStub(inner_channel).ask("UnaryUnary", text))[0]

        async with (
            plain_server(Echo(forward)) as outer_target,
            grpc.aio.insecure_channel(outer_target) as outer_channel,
        ):
            await EchoStub(outer_channel).ask("UnaryUnary", "x", timeout=5)
    assert seen == [None]


async def test_fact_10_an_open_watch_holds_a_stopping_server_for_its_whole_grace() -> None:
    """Workaround: `Health.close` before `stop`."""
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(upstream_health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
        loop = asyncio.get_running_loop()
        began = loop.time()
        await server.stop(0.5)
        assert loop.time() - began >= 0.45


async def test_upstream_health_forgets_watchers_when_one_of_them_leaves() -> None:
    """Workaround: `health.Health`."""
    service = upstream_health.HealthServicer()
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            leaving = stub.Watch(health_pb2.HealthCheckRequest())
            staying = stub.Watch(health_pb2.HealthCheckRequest())
            await leaving.read()
            await staying.read()
            leaving.cancel()
            async with asyncio.timeout(5):
                while service._server_watchers:
                    await asyncio.sleep(0.01)
            await service.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(staying.read(), 0.5)
    finally:
        await server.stop(None)


async def test_bytes_that_are_no_message_look_like_a_fault_of_the_servers_by_default() -> None:
    """Workaround: `interceptors.messages` decodes."""
    async with (
        plain_server(Echo(echo)) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(f"/{SERVICE}/UnaryUnary")(b"\xff\xff\xff")
    assert raised.value.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


async def test_a_cancelled_streams_generator_is_closed_late_and_elsewhere() -> None:
    """Workaround: `interceptors.messages` runs the generator within the call's task."""
    tasks: list[asyncio.Task[Any] | None] = []

    class Streaming(Echo):
        async def _many(self, request: StringValue, context: Any) -> AsyncIterator[StringValue]:
            tasks.append(asyncio.current_task())
            try:
                while True:
                    yield StringValue(value="x" * 100_000)
            finally:
                tasks.append(asyncio.current_task())

    async with (
        plain_server(Streaming()) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):
        call = EchoStub(channel).call("UnaryStream", "x")
        await call.read()
        await asyncio.sleep(0.1)  # the window fills: the server waits in gRPC, not in the generator
        call.cancel()
        async with asyncio.timeout(5):
            while len(tasks) < 2:
                await asyncio.sleep(0.01)
    assert tasks[0] is not tasks[1]


async def test_stream_left_early_goes_on_until_the_garbage_collector_comes() -> None:
    """Workaround: `streams`."""
    work = Work()
    gc.disable()
    try:
        async with (
            plain_server(Echo(work.hang)) as target,
            grpc.aio.insecure_channel(target, interceptors=[_PassThrough()]) as channel,
        ):
            async for _ in EchoStub(channel).call("UnaryStream", "x"):
                break
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(work.ended.wait(), 0.5)
    finally:
        gc.enable()


class _PassThrough(grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation, client_call_details, request):
        return await continuation(client_call_details, request)


def test_the_engine_that_hands_events_from_thread_to_thread_can_be_switched_off() -> None:
    """Workaround: `services.__init__`; once the switch is gone, see what a call costs then."""
    assert os.environ["GRPC_EXPERIMENTS"] == "-event_engine_client"
    assert b"event_engine_client\0" in Path(cygrpc.__file__).read_bytes()
