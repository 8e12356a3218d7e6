"""Exit codes of processes."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from services.rpc.errors import StartupError
from services.rpc.logs import configure_logging
from services.rpc.server import run_service


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers = list(logging.getLogger().handlers)
    configure_logging("sample", stream=stream)
    yield stream
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def test_service_that_ends_is_a_success() -> None:
    async def main() -> None:
        await asyncio.sleep(0)

    assert run_service(main()) == 0


def test_service_that_cannot_start_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        raise StartupError("the index belongs to another version")

    assert run_service(main()) == 1
    assert capsys.readouterr().err == "cannot start: the index belongs to another version\n"


def test_a_start_that_fails_beside_tasks_says_why_as_well(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def main() -> None:
        async with asyncio.TaskGroup(), asyncio.TaskGroup():
            raise StartupError("the port is taken")

    assert run_service(main()) == 1
    assert capsys.readouterr().err == "cannot start: the port is taken\n"


def test_service_that_fails_logs_where_and_not_what(log: io.StringIO) -> None:
    async def main() -> None:
        raise ValueError("a secret")

    assert run_service(main()) == 1
    line = json.loads(log.getvalue())
    assert (line["event"], line["error_type"]) == ("the service failed", "ValueError")
    assert "test_process.py" in line["traceback"][-1]
    assert "secret" not in log.getvalue()


def test_failure_before_logs_are_configured_is_shown_whole() -> None:
    async def main() -> None:
        raise ValueError("no configuration")

    structlog.reset_defaults()
    with pytest.raises(ValueError, match="no configuration"):
        run_service(main())
