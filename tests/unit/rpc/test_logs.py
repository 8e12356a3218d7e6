"""Logs: one JSON object a line, only allowed fields."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.rpc.logs import bind_tenant, configure_logging, forget_tenant, get_logger
from services.rpc.telemetry import span, start_telemetry
from tests.kit.grpc_server import RpcTestSettings


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    forget_tenant()
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()
    forget_tenant()


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_line_has_the_named_fields_and_no_others() -> None:
    stream = io.StringIO()
    configure_logging("embedding", stream=stream)
    bind_tenant("acme")
    get_logger().info("batch done", tokens=7, prompt="a secret", query="a secret")
    (line,) = lines(stream)
    assert line.pop("ts")
    assert line == {
        "event": "batch done",
        "level": "info",
        "service": "embedding",
        "tenant": "acme",
        "tokens": 7,
    }


def test_service_may_allow_fields_of_its_own() -> None:
    stream = io.StringIO()
    configure_logging("retrieval", stream=stream, fields=["index_kind"])
    get_logger().info("opened", index_kind="flat")
    assert lines(stream)[0]["index_kind"] == "flat"


def test_levels_below_are_not_written() -> None:
    stream = io.StringIO()
    configure_logging("embedding", "warning", stream=stream)
    get_logger().info("no")
    get_logger().warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


def test_exception_shows_its_frames_and_not_its_text() -> None:
    stream = io.StringIO()
    configure_logging("embedding", stream=stream)
    try:
        int("a secret document")
    except ValueError:
        get_logger().error("failed", exc_info=True)
        get_logger().exception("failed again")
    for line in lines(stream):
        assert line["error_type"] == "ValueError"
        assert "test_logs.py" in line["traceback"][0]
    assert "secret" not in stream.getvalue()


def test_warnings_of_libraries_have_the_same_form() -> None:
    stream = io.StringIO()
    configure_logging("embedding", stream=stream)
    configure_logging("embedding", stream=stream)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("disk is %s", "slow")
    logging.getLogger("some.library").error("failed", exc_info=ZeroDivisionError())
    first, second = lines(stream)
    assert (first["logger"], first["message"], first["level"]) == (
        "some.library",
        "disk is %s",
        "warning",
    )
    assert second["error_type"] == "ZeroDivisionError"


def test_line_within_a_span_names_it() -> None:
    stream = io.StringIO()
    configure_logging("embedding", stream=stream)
    telemetry = start_telemetry("embedding", RpcTestSettings())
    with span("stage") as stage:
        get_logger().info("inside")
    get_logger().info("outside")
    telemetry.shutdown()
    inside, outside = lines(stream)
    assert int(inside["trace_id"], 16) == stage.get_span_context().trace_id
    assert int(inside["span_id"], 16) == stage.get_span_context().span_id
    assert "trace_id" not in outside


def test_a_full_disk_loses_lines_and_no_work() -> None:
    tried = []

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            tried.append(text)
            raise OSError(28, "No space left on device")

        def flush(self) -> None:
            raise OSError(28, "No space left on device")

    configure_logging("ingestion", stream=Full())
    get_logger().warning("no jobs can be claimed")
    logging.getLogger("library").error("something")
    assert ["no jobs" in each or "something" in each for each in tried] == [True, True]
