"""A server with more calls than it records: nothing of those that end well, a span of the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest

from services.rpc.channel import open_channel
from services.rpc.detail import Detail
from services.rpc.errors import InternalError, NotFoundError, Reason
from services.rpc.telemetry import current_trace_id, span, start_telemetry
from tests.kit.echo import ARITIES, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, serve
from tests.kit.otlp_receiver import ReceivedSpan, otlp_receiver


async def _behave(text: str) -> AsyncIterator[str]:
    if text == "missing":
        raise NotFoundError(Reason.COLLECTION_NOT_FOUND, "no collection 'docs'")
    if text == "defect":
        with span("stage"):
            raise ZeroDivisionError("a secret text")
    if text == "hidden":
        with contextlib.suppress(ZeroDivisionError), span("stage"):
            raise ZeroDivisionError
    if text == "slow":
        with span("stage", slow_seconds=-1.0):
            pass
    yield current_trace_id()


class World:
    def __init__(self, stub: EchoStub, flush: Callable[[], object], spans: list) -> None:
        self.stub = stub
        self._flush = flush
        self._spans = spans

    async def spans(self) -> dict[str, ReceivedSpan]:
        await asyncio.to_thread(self._flush)
        return {each.kind: each for each in self._spans}


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(Detail, "includes", lambda *_: False)
    async with otlp_receiver() as receiver:
        settings = RpcTestSettings(otlp_endpoint=receiver.endpoint, trace_sample_ratio=0)
        telemetry = start_telemetry("echo", settings)
        async with (
            serve(Echo(_behave).register, telemetry=telemetry) as served,
            open_channel(served.target) as channel,
        ):
            yield World(EchoStub(channel), telemetry.flush, receiver.spans)
        await asyncio.to_thread(telemetry.shutdown)


@pytest.mark.parametrize("arity", ARITIES)
async def test_of_what_ends_well_nothing_is_recorded(world: World, arity: str) -> None:
    (trace_id,) = await world.stub.ask(arity, "well")
    assert len(trace_id) == 32
    with pytest.raises(NotFoundError):
        await world.stub.ask(arity, "missing")
    assert await world.spans() == {}


@pytest.mark.parametrize("arity", ARITIES)
async def test_a_failure_has_a_span_below_its_callers(world: World, arity: str) -> None:
    with pytest.raises(InternalError):
        await world.stub.ask(arity, "defect")
    found = await world.spans()
    client, server = found["CLIENT"], found["SERVER"]
    assert set(found) == {"CLIENT", "SERVER"}
    assert (server.trace_id, server.parent_id) == (client.trace_id, client.span_id)
    assert server.status == "ERROR"
    assert server.attributes["rpc.status_code"] == "INTERNAL"
    assert server.attributes["error.type"] == "ZeroDivisionError"
    assert server.events == ("exception",)
    assert "secret" not in repr(server)


@pytest.mark.parametrize("how", ["hidden", "slow"])
async def test_what_an_answer_hides_is_told_to_the_caller(world: World, how: str) -> None:
    (trace_id,) = await world.stub.ask("UnaryUnary", how)
    found = await world.spans()
    assert set(found) == {"CLIENT", "SERVER"}
    assert {each.trace_id for each in found.values()} == {trace_id}
    assert found["SERVER"].attributes["rpc.status_code"] == "OK"
