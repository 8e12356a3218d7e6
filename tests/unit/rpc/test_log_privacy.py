"""What libraries and lost exceptions would say of documents does not reach a log."""

from __future__ import annotations

import gc
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest
import structlog

from services.rpc import logs
from services.rpc.logs import (
    configure_logging,
    keyed_hash,
    log_what_would_be_printed,
    sample_successes,
    set_hash_key,
    success_level,
)
from services.rpc.telemetry import Telemetry

CANARY = "ada.lovelace@example.org"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    # A process that some other test ran here may have left warnings captured, and then a further
    # capture does nothing.
    logging.captureWarnings(capture=False)
    handlers = list(logging.getLogger().handlers)
    hooks = threading.excepthook, sys.unraisablehook, warnings.showwarning
    captured = io.StringIO()
    configure_logging("sample", stream=captured)
    yield captured
    logging.captureWarnings(capture=False)
    threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_message_of_a_library_is_its_template(stream: io.StringIO) -> None:
    logging.getLogger("some.parser").warning("cannot read %s on page %d", CANARY, 3)
    (line,) = lines(stream)
    assert line["message"] == "cannot read %s on page %d"
    assert line["place"].startswith("test_log_privacy.py:")


def test_a_message_that_was_put_together_is_left_out(stream: io.StringIO) -> None:
    logging.getLogger("some.parser").warning(f"cannot read {CANARY}")  # noqa: G004 - as some do
    logging.getLogger("some.parser").error(CANARY.upper())
    logging.getLogger("some.parser").error(ValueError(CANARY))
    found = lines(stream)
    assert [line["message"] for line in found] == ["", "", ""]
    assert all(line["place"] and line["logger"] == "some.parser" for line in found)
    assert CANARY not in stream.getvalue()
    assert CANARY.upper() not in stream.getvalue()


def test_an_exception_in_a_thread_is_logged_without_its_text(stream: io.StringIO) -> None:
    log_what_would_be_printed()

    def fail() -> None:
        raise ValueError(CANARY)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    (line,) = lines(stream)
    assert (line["event"], line["error_type"]) == ("a thread failed", "ValueError")
    assert CANARY not in stream.getvalue()


def test_an_exception_that_nobody_can_take_is_logged_without_its_text(
    stream: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    log_what_would_be_printed()

    class Failing:
        def __del__(self) -> None:
            raise ValueError(CANARY)

    Failing()
    gc.collect()
    assert "an exception had nowhere to go" in {line["event"] for line in lines(stream)}
    assert CANARY not in stream.getvalue() + capfd.readouterr().err


def test_a_warning_is_logged_without_its_text(stream: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        log_what_would_be_printed()
        warnings.warn(f"odd: {CANARY}", stacklevel=1)
    assert lines(stream)
    assert CANARY not in stream.getvalue()


def test_a_hash_tells_repetitions_and_only_to_who_has_the_key(monkeypatch) -> None:
    monkeypatch.setattr(logs, "_hash_key", b"one")
    set_hash_key(b"a secret")
    first = keyed_hash("what is granite?")
    assert first == keyed_hash("what is granite?") != keyed_hash("what is basalt?")
    set_hash_key(b"another secret")
    assert keyed_hash("what is granite?") != first
    assert len(first) == 16


def test_the_same_requests_are_logged_by_every_service() -> None:
    sample_successes(0.25)
    try:
        levels = {}
        for number in range(400):
            trace_id = number * 2**64 // 400 | 1 << 100
            carrier = {"traceparent": f"00-{trace_id:032x}-{'cd' * 8}-00"}
            for service in ("gateway", "retrieval"):
                with Telemetry(service, None, 1.0).serving("x", carrier, {}):
                    levels.setdefault(trace_id, set()).add(success_level())
        assert all(len(each) == 1 for each in levels.values())
        assert 90 <= sum(each == {"info"} for each in levels.values()) <= 110
    finally:
        sample_successes(0.0)
    assert success_level() == "debug"
