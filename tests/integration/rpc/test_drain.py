"""Drain: no call is lost while a replica leaves, and a process ends as it should."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.rpc.channel import open_channel
from services.rpc.errors import ServiceError
from tests.kit.echo import SERVICE, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, serve
from tests.kit.ports import free_port


async def test_drain_under_load_loses_no_call() -> None:
    async def behave(text: str) -> AsyncIterator[str]:
        await asyncio.sleep(0.005)
        yield text

    settings = RpcTestSettings(drain_delay_seconds=0.3, grace_seconds=5)
    failures: list[ServiceError] = []
    served = 0
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        first, second = [
            await stack.enter_async_context(serve(Echo(behave).register, settings=settings))
            for _ in range(2)
        ]
        channel = await stack.enter_async_context(open_channel(f"{first.target},{second.target}"))

        async def load() -> None:
            nonlocal served
            stub = EchoStub(channel)
            while not stopping.is_set():
                try:
                    await stub.ask("UnaryUnary", "x")
                    served += 1
                except ServiceError as error:
                    failures.append(error)

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(load())
            await asyncio.sleep(0.2)
            await first.server.drain()
            before = served
            await asyncio.sleep(0.2)
            stopping.set()
    assert failures == []
    assert served > before > 0


async def test_fact_10_drain_serves_on_then_ends_watches_and_does_not_take_its_grace() -> None:
    settings = RpcTestSettings(drain_delay_seconds=0.3, grace_seconds=30)
    async with (
        serve(Echo().register, service_names=[SERVICE], settings=settings) as served,
        open_channel(served.target, health_service=None) as channel,
        asyncio.timeout(5),
    ):
        stub, health = EchoStub(channel), health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=60)
        response = health_pb2.HealthCheckResponse
        assert (await watch.read()).status == response.SERVING
        drain = asyncio.ensure_future(served.server.drain())
        assert (await watch.read()).status == response.NOT_SERVING
        assert await stub.ask("UnaryUnary", "x") == ["x"]
        served.server.set_ready(True)  # too late
        status = (await health.Check(health_pb2.HealthCheckRequest())).status
        assert status == response.NOT_SERVING
        with pytest.raises(ServiceError):
            await watch.read()
        await drain


async def test_drain_lets_running_calls_end_and_cancels_them_after_the_grace() -> None:
    started = asyncio.Event()
    ended: list[str] = []

    async def behave(text: str) -> AsyncIterator[str]:
        started.set()
        try:
            await asyncio.sleep(float(text))
            yield text
            ended.append("in time")
        except asyncio.CancelledError:
            ended.append("cut off")
            raise

    settings = RpcTestSettings(grace_seconds=0.4)
    for seconds in ("0.1", "60"):
        started.clear()
        async with (
            serve(Echo(behave).register, settings=settings) as served,
            open_channel(served.target) as channel,
            asyncio.timeout(5),
        ):
            task = asyncio.ensure_future(EchoStub(channel).ask("UnaryUnary", seconds))
            await started.wait()
            await served.server.drain()
            with contextlib.suppress(ServiceError):
                assert await task == [seconds]
    assert ended == ["in time", "cut off"]


@dataclass
class EchoProcess:
    process: asyncio.subprocess.Process
    port: int
    metrics_port: int

    async def ends(self) -> tuple[int, str]:
        async with asyncio.timeout(15):
            _, stderr = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, stderr.decode()

    async def wait_ready(self, channel: grpc.aio.Channel) -> None:
        watch = health_pb2_grpc.HealthStub(channel).Watch(
            health_pb2.HealthCheckRequest(service=SERVICE), timeout=20, wait_for_ready=True
        )
        async for answer in watch:
            if answer.status == health_pb2.HealthCheckResponse.SERVING:
                break
        watch.cancel()


@contextlib.asynccontextmanager
async def echo_process(**settings: object) -> AsyncIterator[EchoProcess]:
    port, metrics_port = free_port(), free_port()
    values = {"PORT": port, "METRICS_PORT": metrics_port} | settings
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.kit.echo_process",
        env=os.environ | {f"CAIRN_TEST_{key}": str(value) for key, value in values.items()},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield EchoProcess(process, port, metrics_port)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_signal_drains_the_process() -> None:
    async with (
        echo_process(DRAIN_DELAY_SECONDS=0.5, GRACE_SECONDS=20, LOG_LEVEL="info") as echo,
        grpc.aio.insecure_channel(f"127.0.0.1:{echo.port}") as channel,
    ):
        await echo.wait_ready(channel)
        url = f"http://127.0.0.1:{echo.metrics_port}/metrics"
        metrics = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read())
        assert b"cairn_rpc_server_in_flight" in metrics
        echo.process.send_signal(signal.SIGTERM)
        assert await EchoStub(channel).ask("UnaryUnary", "x") == ["x"]
        code, stderr = await echo.ends()
    assert code == 0
    lines = [json.loads(line) for line in stderr.splitlines()]
    assert [line["event"] for line in lines] == ["listening", "draining", "drained"]


async def test_second_signal_stops_the_process_at_once() -> None:
    async with (
        echo_process(GRACE_SECONDS=60) as echo,
        grpc.aio.insecure_channel(f"127.0.0.1:{echo.port}") as channel,
    ):
        await echo.wait_ready(channel)
        call = EchoStub(channel).call("UnaryStream", "hang")
        await call.read()
        echo.process.send_signal(signal.SIGINT)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(echo.process.wait(), 0.3)
        assert echo.process.returncode is None
        echo.process.send_signal(signal.SIGINT)
        code, _ = await echo.ends()
    assert code == 0


async def test_signal_before_the_process_is_ready_ends_it() -> None:
    async with (
        echo_process(STARTUP_SECONDS=60) as echo,
        grpc.aio.insecure_channel(f"127.0.0.1:{echo.port}") as channel,
    ):
        await channel.channel_ready()
        echo.process.send_signal(signal.SIGTERM)
        code, _ = await echo.ends()
    assert code == 0


async def test_taken_port_is_a_clear_error() -> None:
    async with serve(Echo().register) as taken, echo_process(PORT=taken.port) as echo:
        code, stderr = await echo.ends()
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{taken.port}" in stderr
    assert "CAIRN_TEST_PORT" in stderr
    assert "Traceback" not in stderr


async def test_taken_metrics_port_is_a_clear_error() -> None:
    async with serve(Echo().register) as taken, echo_process(METRICS_PORT=taken.port) as echo:
        code, stderr = await echo.ends()
    assert code == 1
    assert f"metrics on 127.0.0.1:{taken.port}" in stderr
    assert "Traceback" not in stderr


async def test_wrong_setting_is_a_clear_error() -> None:
    async with echo_process(GRACE_SECONDS="long") as echo:
        code, stderr = await echo.ends()
    assert code == 2
    assert "CAIRN_TEST_GRACE_SECONDS" in stderr
    assert "Traceback" not in stderr
