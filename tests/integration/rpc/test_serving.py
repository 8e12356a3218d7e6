"""What `RpcServer` does around servicers: decoding, order of the layers, health, metrics, start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from prometheus_client import REGISTRY

from services.rpc.channel import open_channel
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import (
    InternalError,
    InvalidArgumentError,
    Reason,
    StartupError,
    UnauthenticatedError,
    UnimplementedError,
)
from services.rpc.server import RpcServer
from services.rpc.telemetry import start_telemetry
from tests.kit.echo import ARITIES, SERVICE, Echo, EchoStub, echo
from tests.kit.grpc_server import RpcTestSettings, serve
from tests.kit.otlp_receiver import otlp_receiver


@pytest.mark.parametrize("arity", ARITIES)
async def test_bytes_that_are_no_message_are_the_callers_error(arity: str) -> None:
    async with (
        serve(Echo().register) as served,
        open_channel(served.target) as channel,
    ):
        kind = {"U": "unary", "S": "stream"}
        name = f"{kind[arity[0]]}_{'stream' if arity.endswith('Stream') else 'unary'}"
        method = getattr(channel, name)(f"/{SERVICE}/{arity}")
        request: Any = b"\xff\xff\xff"
        call = method(iter([request]) if arity.startswith("Stream") else request)
        with pytest.raises(InvalidArgumentError, match="not a message") as raised:
            await (call.read() if arity.endswith("Stream") else call)
    assert raised.value.reason is Reason.INVALID_FIELD


async def test_answer_that_is_no_message_is_a_defect() -> None:
    class Wrong(Echo):
        async def _one(self, request: StringValue, _context: Any) -> Any:
            return None

    async with (
        serve(Wrong().register) as served,
        open_channel(served.target) as channel,
    ):
        with pytest.raises(InternalError):
            await EchoStub(channel).ask("UnaryUnary", "x")


async def test_streaming_method_that_is_no_generator_is_a_defect() -> None:
    class Wrong(Echo):
        async def _many(self, request: StringValue, context: Any) -> None:  # type: ignore[override]
            await context.write(request)

    async with (
        serve(Wrong().register) as served,
        open_channel(served.target) as channel,
    ):
        with pytest.raises(InternalError):
            await EchoStub(channel).ask("UnaryStream", "x")


async def test_oversized_request_is_refused_as_too_large() -> None:
    settings = RpcTestSettings(max_message_bytes=2048)
    async with (
        serve(Echo().register, settings=settings) as served,
        open_channel(served.target) as channel,
    ):
        with pytest.raises(InvalidArgumentError) as raised:
            await EchoStub(channel).ask("UnaryUnary", "x" * 4096)
    assert raised.value.reason is Reason.TOO_LARGE


async def test_unknown_method_is_unimplemented() -> None:
    async with (
        serve(Echo().register) as served,
        open_channel(served.target) as channel,
    ):
        with pytest.raises(UnimplementedError):
            await channel.unary_unary(f"/{SERVICE}/Nothing")(b"")


class Guard(grpc.aio.ServerInterceptor):
    """Refuses, where an authenticating interceptor would, and sees the deadline."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        self.methods.append(handler_call_details.method)
        raise UnauthenticatedError(Reason.CREDENTIAL_MISSING, "send a key")


@pytest.mark.parametrize("arity", ARITIES)
async def test_fact_11_refusal_of_an_extra_interceptor_is_mapped_traced_and_counted(
    arity: str,
) -> None:
    labels = {"service": SERVICE, "method": arity, "code": "UNAUTHENTICATED"}
    before = _count("cairn_rpc_server_duration_seconds_count", labels)
    guard = Guard()
    async with otlp_receiver() as receiver:
        settings = RpcTestSettings(otlp_endpoint=receiver.endpoint)
        telemetry = start_telemetry("echo", settings)
        async with (
            serve(Echo().register, telemetry=telemetry, extra_interceptors=[guard]) as served,
            open_channel(served.target) as channel,
        ):
            with pytest.raises(UnauthenticatedError, match="send a key"):
                await EchoStub(channel).ask(arity, "x")
            await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        await asyncio.to_thread(telemetry.shutdown)
        (server,) = await receiver.wait_for(lambda each: each.kind == "SERVER")
    assert server.attributes["rpc.status_code"] == "UNAUTHENTICATED"
    assert _count("cairn_rpc_server_duration_seconds_count", labels) == before + 1
    assert guard.methods == [f"/{SERVICE}/{arity}"]


async def test_fact_11_order_of_the_layers() -> None:
    """Tracing outside errors outside deadline: the deadline's error has a span and a status."""
    seen: list[float | None] = []

    async def behave(text: str) -> AsyncIterator[str]:
        seen.append(remaining_seconds())
        yield text

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target, default_timeout_seconds=7) as channel,
    ):
        for arity in ARITIES:
            await EchoStub(channel).ask(arity, "x")
            await EchoStub(channel).ask(arity, "x", timeout=3)
    assert [round(seconds or 0) for seconds in seen] == [7, 3] * 4


async def test_success_is_counted_and_none_stays_in_flight() -> None:
    labels = {"service": SERVICE, "method": "UnaryStream", "code": "OK"}
    server_before = _count("cairn_rpc_server_duration_seconds_count", labels)
    client_before = _count("cairn_rpc_client_duration_seconds_count", labels)
    async with (
        serve(Echo().register) as served,
        open_channel(served.target) as channel,
    ):
        await EchoStub(channel).ask("UnaryStream", "x")
    assert _count("cairn_rpc_server_duration_seconds_count", labels) == server_before + 1
    assert _count("cairn_rpc_client_duration_seconds_count", labels) == client_before + 1
    del labels["code"]
    assert _count("cairn_rpc_server_in_flight", labels) == 0


def _count(name: str, labels: dict[str, str]) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_health_says_ready_for_each_service_and_alive_from_the_start() -> None:
    async with (
        serve(Echo().register, service_names=[SERVICE], is_ready=False) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)

        async def check(name: str) -> int:
            return (await stub.Check(health_pb2.HealthCheckRequest(service=name))).status

        serving, not_serving = (
            health_pb2.HealthCheckResponse.SERVING,
            health_pb2.HealthCheckResponse.NOT_SERVING,
        )
        assert [await check(name) for name in ("", SERVICE, "liveness")] == [
            not_serving,
            not_serving,
            serving,
        ]
        served.server.set_ready(True)
        assert [await check(name) for name in ("", SERVICE)] == [serving, serving]
        served.server.set_ready(False)
        assert [await check(name) for name in ("", SERVICE, "liveness")] == [
            not_serving,
            not_serving,
            serving,
        ]
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await check("cairn.test.v1.Nothing")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def test_watchers_hear_of_each_change_even_when_one_leaves() -> None:
    response = health_pb2.HealthCheckResponse
    async with (
        serve(Echo().register, service_names=[SERVICE], is_ready=False) as served,
        grpc.aio.insecure_channel(served.target) as channel,
        asyncio.timeout(5),
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        leaving, staying = (
            stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE)) for _ in range(2)
        )
        unknown = stub.Watch(health_pb2.HealthCheckRequest(service="nothing"))
        for watch in (leaving, staying):
            assert (await watch.read()).status == response.NOT_SERVING
        assert (await unknown.read()).status == response.SERVICE_UNKNOWN
        leaving.cancel()
        served.server.set_ready(True)
        assert (await staying.read()).status == response.SERVING


async def test_reflection_names_the_services() -> None:
    async with serve(Echo().register, service_names=[SERVICE]) as served:

        def ask() -> set[str]:
            with grpc.insecure_channel(served.target) as channel:
                return set(ProtoReflectionDescriptorDatabase(channel).get_services())

        names = await asyncio.to_thread(ask)
    assert names == {
        SERVICE,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_fact_6_second_server_on_a_port_is_refused() -> None:
    async with serve(Echo(echo).register) as served:
        settings = RpcTestSettings(port=served.port)
        telemetry = start_telemetry("second", settings)
        second = RpcServer(settings, telemetry, service_names=[])
        with pytest.raises(StartupError) as raised:
            await second.start()
        telemetry.shutdown()
    assert f"127.0.0.1:{served.port}" in str(raised.value)
    assert "CAIRN_TEST_PORT" in str(raised.value)


async def test_misspelt_service_name_is_refused() -> None:
    settings = RpcTestSettings()
    telemetry = start_telemetry("misspelt", settings)
    with pytest.raises(ValueError, match="Helth"):
        RpcServer(
            settings,
            telemetry,
            service_names=["grpc.health.v1.Helth"],
            file_descriptors=[health_pb2.DESCRIPTOR],
        )
    telemetry.shutdown()
