"""Servers that let only services of the installation in, over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.channel import open_channel
from services.rpc.errors import PermissionDeniedError, Reason, UnauthenticatedError
from services.rpc.service_identity import OPERATOR, ServiceIdentity
from tests.kit.echo import ARITIES, SERVICE, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, serve

SECRET = "a secret of thirty-two characters"
SETTINGS = {"internal_secret": SECRET}


def signed(**settings: Any) -> Any:
    return serve(
        Echo().register,
        service_names=[SERVICE],
        settings=RpcTestSettings(**settings),
        callers=("gateway",),
    )


async def echoed(channel: grpc.aio.Channel, arity: str) -> str:
    return "".join(await EchoStub(channel).ask(arity, "text"))


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize("name", ["gateway", OPERATOR])
async def test_known_callers_are_let_in(arity: str, name: str) -> None:
    async with (
        signed(**SETTINGS) as served,
        open_channel(served.target, identity=ServiceIdentity(name, SECRET)) as channel,
    ):
        for _ in range(2):
            assert await echoed(channel, arity)


@pytest.mark.parametrize("arity", ARITIES)
async def test_others_are_told_precisely_why_not(arity: str) -> None:
    async with signed(**SETTINGS) as served:
        for identity, error, reason in (
            (None, UnauthenticatedError, Reason.CREDENTIAL_MISSING),
            (ServiceIdentity("gateway", "x" * 32), UnauthenticatedError, Reason.CREDENTIAL_INVALID),
            (ServiceIdentity("ingestion", SECRET), PermissionDeniedError, Reason.ROLE_REQUIRED),
        ):
            async with open_channel(served.target, identity=identity) as channel:
                with pytest.raises(error) as raised:
                    await echoed(channel, arity)
            assert raised.value.reason is reason
            assert SECRET not in raised.value.message


@pytest.mark.parametrize("arity", ["StreamUnary", "StreamStream"])
async def test_whoever_sends_many_is_heard_before_being_refused(arity: str) -> None:
    """A client that writes while the call ends knows only that the write failed."""
    sent: list[str] = []

    async def messages() -> AsyncIterator[StringValue]:
        await asyncio.sleep(0.05)
        sent.append("text")
        yield StringValue(value="text")

    async with (
        signed(**SETTINGS) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        stub = EchoStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await (
                stub.stream_unary(messages(), timeout=20)
                if arity == "StreamUnary"
                else stub.stream_stream(messages(), timeout=20).read()
            )
    assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert sent


async def test_health_asks_for_no_token() -> None:
    async with (
        signed(**SETTINGS) as served,
        grpc.aio.insecure_channel(served.target) as channel,
    ):
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_without_a_secret_everybody_is_let_in() -> None:
    async with signed() as served:
        for identity in (None, ServiceIdentity("anyone", SECRET)):
            async with open_channel(served.target, identity=identity) as channel:
                assert await echoed(channel, "UnaryUnary")


async def test_a_server_accepts_the_secret_that_is_to_come() -> None:
    settings = {"internal_secret": "y" * 32, "former_internal_secrets": "z" * 32}
    async with signed(**settings) as served:
        for secret in ("y" * 32, "z" * 32):
            identity = ServiceIdentity("gateway", secret)
            async with open_channel(served.target, identity=identity) as channel:
                assert await echoed(channel, "UnaryUnary")
