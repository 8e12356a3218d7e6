"""Spans, statuses and what clients see, for each arity and each way a call can end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from services.rpc.channel import open_channel
from services.rpc.errors import (
    ERROR_BY_CODE,
    CancelledCallError,
    DeadlineExceededError,
    FieldViolation,
    InternalError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
)
from services.rpc.telemetry import current_trace_id, span, start_telemetry
from tests.kit.echo import ARITIES, SERVICE, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, serve
from tests.kit.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver


@dataclass
class World:
    stub: EchoStub
    receiver: OtlpReceiver
    flush: Callable[[], None]
    started: asyncio.Event
    ended: asyncio.Event

    async def spans(self, arity: str) -> tuple[ReceivedSpan, ReceivedSpan]:
        """Returns the client's and the server's span of the one call made."""
        async with asyncio.timeout(5):
            while True:
                await asyncio.to_thread(self.flush)
                kinds = {each.kind: each for each in self.receiver.spans if arity in each.name}
                if {"CLIENT", "SERVER"} <= set(kinds):
                    return kinds["CLIENT"], kinds["SERVER"]
                await asyncio.sleep(0.01)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    started, ended = asyncio.Event(), asyncio.Event()

    async def behave(text: str) -> AsyncIterator[str]:
        if text == "missing":
            raise NotFoundError(Reason.COLLECTION_NOT_FOUND, "no collection 'docs'")
        if text == "defect":
            raise ZeroDivisionError("a secret text")
        if text == "stage":
            with span("stage"):
                yield current_trace_id()
            return
        yield text
        if text == "hang":
            started.set()
            try:
                await asyncio.sleep(60)
            finally:
                ended.set()

    async with otlp_receiver() as receiver:
        settings = RpcTestSettings(otlp_endpoint=receiver.endpoint)
        telemetry = start_telemetry("echo", settings)
        async with (
            serve(Echo(behave).register, telemetry=telemetry) as served,
            open_channel(served.target) as channel,
        ):
            yield World(EchoStub(channel), receiver, telemetry.flush, started, ended)
        await asyncio.to_thread(telemetry.shutdown)


def _assert_pair(client: ReceivedSpan, server: ReceivedSpan, arity: str, code: str) -> None:
    assert server.parent_id == client.span_id
    assert server.trace_id == client.trace_id
    for each in (client, server):
        assert each.name == f"{SERVICE}/{arity}"
        assert each.service == "echo"
        assert each.attributes["rpc.system.name"] == "grpc"
        assert each.attributes["rpc.method"] == f"{SERVICE}/{arity}"
        assert each.attributes["rpc.status_code"] == code
        assert each.attributes["server.address"]
    assert client.status == ("UNSET" if code == "OK" else "ERROR")
    assert client.attributes.get("error.type") == (None if code == "OK" else code)


@pytest.mark.parametrize("arity", ARITIES)
async def test_success(world: World, arity: str) -> None:
    assert await world.stub.ask(arity, "hello") == ["hello"]
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "OK")
    assert server.status == "UNSET"
    assert "error.type" not in server.attributes


@pytest.mark.parametrize("arity", ARITIES)
async def test_refusal_is_the_callers_error_and_not_the_servers(world: World, arity: str) -> None:
    with pytest.raises(NotFoundError, match="no collection 'docs'") as raised:
        await world.stub.ask(arity, "missing")
    assert raised.value.reason is Reason.COLLECTION_NOT_FOUND
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "NOT_FOUND")
    assert server.status == "UNSET"
    assert server.attributes["cairn.error.reason"] == "COLLECTION_NOT_FOUND"
    assert server.events == ()


@pytest.mark.parametrize("arity", ARITIES)
async def test_defect_tells_the_client_nothing_but_a_trace_id(world: World, arity: str) -> None:
    with pytest.raises(InternalError) as raised:
        await world.stub.ask(arity, "defect")
    assert "secret" not in str(raised.value)
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "INTERNAL")
    assert raised.value.metadata == {"trace_id": server.trace_id}
    assert server.status == "ERROR"
    assert server.attributes["error.type"] == "ZeroDivisionError"
    assert server.events == ("exception",)
    assert "secret" not in repr(server)


@pytest.mark.parametrize("arity", ARITIES)
async def test_deadline_stops_the_work(world: World, arity: str) -> None:
    with pytest.raises(DeadlineExceededError):
        await world.stub.ask(arity, "hang", timeout=0.15)
    async with asyncio.timeout(5):
        await world.ended.wait()
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "DEADLINE_EXCEEDED")
    assert server.status == "ERROR"
    assert server.attributes["error.type"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("arity", ARITIES)
async def test_cancelled_task_stops_the_work(world: World, arity: str) -> None:
    task = asyncio.ensure_future(world.stub.ask(arity, "hang"))
    async with asyncio.timeout(5):
        await world.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await world.ended.wait()
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "CANCELLED")
    assert server.status == "UNSET"


@pytest.mark.parametrize("arity", ARITIES)
async def test_cancelled_call_stops_the_work(world: World, arity: str) -> None:
    call = world.stub.call(arity, "hang")
    waiting = asyncio.ensure_future(_first(call))
    async with asyncio.timeout(5):
        await world.started.wait()
        assert call.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        await world.ended.wait()
    client, server = await world.spans(arity)
    _assert_pair(client, server, arity, "CANCELLED")


async def _first(call: object) -> object:
    if hasattr(call, "__aiter__"):
        async for answer in call:
            return answer
        return None
    return await call  # type: ignore[misc]


@pytest.mark.parametrize("arity", ARITIES)
async def test_stage_is_a_child_of_the_servers_span(world: World, arity: str) -> None:
    (trace_id,) = await world.stub.ask(arity, "stage")
    _, server = await world.spans(arity)
    (stage,) = await world.receiver.wait_for(lambda each: each.name == "stage")
    assert stage.parent_id == server.span_id
    assert stage.trace_id == server.trace_id == trace_id


async def test_error_after_answers_ends_the_stream() -> None:
    async def behave(text: str) -> AsyncIterator[str]:
        yield text
        raise ResourceExhaustedError(Reason.OVERLOADED, "full", retry_after_seconds=1.5)

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        answers = aiter(EchoStub(channel).call("UnaryStream", "x"))
        assert (await anext(answers)).value == "x"
        with pytest.raises(ResourceExhaustedError) as raised:
            await anext(answers)
    assert raised.value.retry_after_seconds == 1.5


async def test_errors_of_a_task_group_are_unwrapped() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def behave(text: str) -> AsyncIterator[str]:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(NotFoundError(Reason.MODEL_NOT_FOUND, "no model")))
            if text == "both":
                group.create_task(fail(KeyError("a defect")))
        yield text

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        stub = EchoStub(channel)
        with pytest.raises(NotFoundError, match="no model"):
            await stub.ask("UnaryUnary", "one")
        with pytest.raises(InternalError):
            await stub.ask("UnaryUnary", "both")


async def test_cancellation_inside_is_a_defect_and_does_not_hang_the_caller() -> None:
    async def behave(text: str) -> AsyncIterator[str]:
        raise asyncio.CancelledError
        yield text

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        for arity in ARITIES:
            with pytest.raises(InternalError):
                await EchoStub(channel).ask(arity, "x", timeout=5)


async def test_call_cut_off_by_a_stopping_server_is_a_service_error() -> None:
    started = asyncio.Event()

    async def behave(text: str) -> AsyncIterator[str]:
        started.set()
        await asyncio.sleep(60)
        yield text

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        task = asyncio.ensure_future(EchoStub(channel).ask("UnaryUnary", "x"))
        await started.wait()
        await served.server.stop()
        with pytest.raises(ServiceError) as raised:
            await task
    assert not isinstance(raised.value, CancelledCallError)


@pytest.mark.parametrize("error_class", ERROR_BY_CODE.values(), ids=lambda each: each.__name__)
async def test_every_error_reaches_the_caller_whole(error_class: type[ServiceError]) -> None:
    sent = error_class(
        Reason.CONFLICT,
        "was größer",
        metadata={"limit": "10"},
        violations=[FieldViolation("a.b[2]", "is 11")],
        retry_after_seconds=0.5,
    )

    async def behave(text: str) -> AsyncIterator[str]:
        raise sent
        yield text

    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        for arity in ARITIES:
            with pytest.raises(error_class) as raised:
                await EchoStub(channel).ask(arity, "x")
            got = raised.value
            assert (got.reason, got.message, got.metadata) == (
                sent.reason,
                sent.message,
                sent.metadata,
            )
            assert got.violations == sent.violations
            assert got.retry_after_seconds == sent.retry_after_seconds


@pytest.mark.parametrize("text", ["missing", "x"])
async def test_a_refused_upload_is_heard_to_its_end(world: World, text: str) -> None:
    """A client that writes while the call ends knows only that the write failed."""
    sent: list[str] = []

    async def uploads() -> AsyncIterator[StringValue]:
        for each in (text, "second", "third"):
            yield StringValue(value=each)
            sent.append(each)
            await asyncio.sleep(0.01)

    call = world.stub.stream_unary(uploads(), timeout=5)
    if text == "missing":
        with pytest.raises(NotFoundError):
            await call
    else:
        assert (await call).value == "xsecondthird"
    assert sent == [text, "second", "third"]


async def test_a_dialogue_that_waits_for_an_answer_is_refused_soon(world: World) -> None:
    async def messages() -> AsyncIterator[StringValue]:
        yield StringValue(value="missing")
        await asyncio.sleep(60)

    with pytest.raises(NotFoundError):
        async for _ in world.stub.stream_stream(messages(), timeout=20):
            pass


async def test_a_refused_upload_without_end_is_answered(world: World) -> None:
    async def uploads() -> AsyncIterator[StringValue]:
        yield StringValue(value="missing")
        await asyncio.sleep(60)

    with pytest.raises(NotFoundError):
        await world.stub.stream_unary(uploads(), timeout=20)
