"""What a served call leaves in the log."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from services.rpc.channel import open_channel
from services.rpc.errors import InvalidArgumentError, ServiceError
from services.rpc.logs import bind_tenant, configure_logging, get_logger
from services.rpc.telemetry import current_trace_id
from tests.kit.echo import ARITIES, SERVICE, Echo, EchoStub
from tests.kit.grpc_server import RpcTestSettings, serve


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    configure_logging("echo", "debug", stream=stream)
    yield stream
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


async def behave(text: str) -> AsyncIterator[str]:
    if text == "silent":
        yield current_trace_id()
        return
    bind_tenant("acme")
    get_logger().info("working", count=1)
    if text == "refused":
        raise InvalidArgumentError.for_field("query", "a secret")
    if text == "defect":
        raise ValueError("a secret")
    yield current_trace_id()


@pytest.mark.parametrize("arity", ARITIES)
@pytest.mark.parametrize(
    ("text", "level", "code", "reason"),
    [
        ("fine", "debug", "OK", None),
        ("refused", "info", "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("defect", "error", "INTERNAL", "INTERNAL"),
    ],
)
async def test_one_line_for_each_call(
    log: io.StringIO, arity: str, text: str, level: str, code: str, reason: str | None
) -> None:
    async with (
        serve(Echo(behave).register) as served,
        open_channel(served.target) as channel,
    ):
        with contextlib.suppress(ServiceError):
            await EchoStub(channel).ask(arity, text)
        await EchoStub(channel).ask(arity, "silent")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    served_lines = [line for line in lines if line["event"] == "rpc served"]
    assert len(served_lines) == 2
    (first,) = [line for line in served_lines if "tenant" in line]
    assert first["method"] == f"{SERVICE}/{arity}"
    assert (first["level"], first["code"], first.get("reason")) == (level, code, reason)
    assert first["tenant"] == "acme"
    assert first["duration_ms"] >= 0
    (working,) = [line for line in lines if line["event"] == "working"]
    assert (working["trace_id"], working["span_id"]) == (first["trace_id"], first["span_id"])
    assert "secret" not in log.getvalue()
    defects = [line for line in lines if line["event"] == "unexpected exception"]
    assert [line["error_type"] for line in defects] == (["ValueError"] if text == "defect" else [])


async def test_request_has_a_trace_id_even_if_its_trace_is_not_sampled(log: io.StringIO) -> None:
    settings = RpcTestSettings(trace_sample_ratio=0.0)
    async with (
        serve(Echo(behave).register, settings=settings) as served,
        open_channel(served.target) as channel,
    ):
        (trace_id,) = await EchoStub(channel).ask("UnaryUnary", "fine")
    assert len(trace_id) == 32
    assert f'"trace_id": "{trace_id}"' in log.getvalue()
