"""Parser processes: limits, crashes and reuse, with real processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import psutil
import pytest

from services.ingestion.failures import FailureReason, StageFailedError
from services.ingestion.parsers import sandbox
from services.ingestion.parsers.options import OcrHook
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool
from tests.kit.pdf_files import pdf


def processes(pool: ParserPool) -> set[int]:
    """Ids of the processes that wait for a document."""
    return {each._process.pid for each in pool._idle}


@pytest.fixture
async def pool():
    async with ParserPool(1, ParserLimits()) as opened:
        yield opened
        last = processes(opened)
    assert not any(map(psutil.pid_exists, last))


async def test_a_process_is_used_again_also_after_a_bad_document(pool):
    before = processes(pool)
    assert len(before) == 1
    assert (await pool.parse([b"# One"], "text/markdown", "a.md")).title == "One"
    with pytest.raises(StageFailedError) as caught:
        await pool.parse([b"%PDF-1.4"], "application/pdf", "a.pdf")
    assert caught.value.reason is FailureReason.PARSE_FAILED
    assert not caught.value.is_retryable
    assert (await pool.parse([b"a", b"b"], "text/plain", "a.txt")).text == "ab"
    assert processes(pool) == before


async def test_a_process_that_died_idle_is_replaced(pool):
    (pid,) = processes(pool)
    os.kill(pid, signal.SIGKILL)
    while pool._idle[0].is_alive:
        await asyncio.sleep(0.01)
    assert (await pool.parse([b"text"], "text/plain", "")).text == "text"
    assert processes(pool).isdisjoint({pid})


async def test_the_parsers_environment_holds_no_secrets(monkeypatch):
    monkeypatch.setenv("CAIRN_TEST_SECRET", "secret")
    async with ParserPool(1, ParserLimits()) as pool:
        await pool.parse([b"text"], "text/plain", "")
        for pid in processes(pool):
            assert "secret" not in psutil.Process(pid).environ().values()


async def test_parsing_past_its_time_is_stopped():
    async with ParserPool(1, ParserLimits(wall_seconds=0.2)) as pool:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([b"<div>" * 900_000], "text/html", "")
        assert processes(pool) == set()
    assert caught.value.reason is FailureReason.PARSE_TIMEOUT


async def test_parsing_past_its_processor_time_is_stopped():
    async with ParserPool(1, ParserLimits(cpu_seconds=0.001)) as pool:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([b"<div>" * 900_000], "text/html", "")
    assert caught.value.reason is FailureReason.PARSE_TIMEOUT


async def test_parsing_past_its_memory_is_stopped():
    limits = ParserLimits(memory_bytes=160 * 1024 * 1024)
    async with ParserPool(1, limits) as pool:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([b"<p>x</p>" * 4_000_000], "text/html", "")
        assert caught.value.reason in {
            FailureReason.PARSE_OUT_OF_MEMORY,
            FailureReason.PARSER_CRASHED,
        }
        assert not caught.value.is_retryable
        assert (await pool.parse([b"next"], "text/plain", "")).text == "next"


async def test_more_text_than_allowed_is_refused():
    async with ParserPool(1, ParserLimits(max_characters=10)) as pool:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([b"more than ten"], "text/plain", "")
    assert caught.value.reason is FailureReason.TOO_LARGE


async def test_json_that_unpacks_to_more_than_its_memory_is_stopped():
    limits = ParserLimits(memory_bytes=160 * 1024 * 1024)
    async with ParserPool(1, limits) as pool:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([b"[" + b'{"a":1},' * 1_000_000 + b"1]"], "application/json", "")
        assert caught.value.reason is FailureReason.PARSE_OUT_OF_MEMORY
        assert (await pool.parse([b"next"], "text/plain", "")).text == "next"


CRASHING = """
import os
from services.ingestion.parsers import dispatch

parse = dispatch.parse

def crash(data, *more):
    if b"crash" in data:
        os.abort()
    return parse(data, *more)

dispatch.parse = crash
"""


def texts(*said: str) -> list[list[bytes]]:
    return [[each.encode()] for each in said]


async def parse_all(pool: ParserPool, documents: list[list[bytes]]) -> list[str]:
    """Returns the text of each, or the reason against it."""

    async def parse(document: list[bytes]) -> str:
        try:
            return (await pool.parse(document, "text/plain", "")).text
        except StageFailedError as error:
            return error.reason.value

    return list(await asyncio.gather(*map(parse, documents)))


async def test_short_texts_that_come_together_make_one_trip(pool, monkeypatch):
    trips = []
    ask = sandbox._ParserProcess.ask

    async def counted(process, documents, *more):
        trips.append(len(documents))
        return await ask(process, documents, *more)

    monkeypatch.setattr(sandbox._ParserProcess, "ask", counted)
    said = texts("one", "two", " ", "four", "x" * 20_000)
    wanted = ["one", "two", "EMPTY_TEXT", "four", "x" * 20_000]
    assert await parse_all(pool, said) == wanted
    # The last is too long to go with others.
    assert sorted(trips) == [1, 4]


async def test_only_the_text_that_kills_the_process_is_blamed(tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text(CRASHING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with ParserPool(1, ParserLimits()) as pool:
        found = await parse_all(pool, texts("one", "crash", "three"))
    assert found == ["one", "PARSER_CRASHED", "three"]


async def test_a_trip_that_nobody_waits_for_ends_with_the_pool():
    async with ParserPool(1, ParserLimits()) as pool:
        (process,) = pool._idle
        os.kill(process._process.pid, signal.SIGSTOP)
        waiting = [asyncio.create_task(pool.parse([b"text"], "text/plain", "")) for _ in "ab"]
        while not pool._busy:
            await asyncio.sleep(0.01)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert not psutil.pid_exists(process._process.pid)


async def test_texts_that_take_too_long_together_go_one_by_one(pool, monkeypatch):
    monkeypatch.setattr(sandbox, "_TOGETHER_SECONDS", 0.0)
    assert await parse_all(pool, texts("one", "two")) == ["one", "two"]


SCAN = pdf([[]]).replace(
    b"<< /Length 0 >>\nstream\n\nendstream",
    b"<< /Length 16 >>\nstream\n10 10 99 99 re f\nendstream",
)
PROBE = """
import os, socket

def look_around(image, page):
    found = []
    for name, attempt in {
        "socket": lambda: socket.socket(),
        "local": lambda: socket.socket(socket.AF_UNIX),
        "file": lambda: os.write(os.open(__file__ + ".made", os.O_CREAT | os.O_WRONLY), b"x"),
    }.items():
        try:
            attempt()
        except OSError as error:
            found.append(f"{name} {type(error).__name__}")
    return ", ".join(found)
"""


async def test_what_runs_in_a_parser_has_no_network_and_writes_no_files(tmp_path, monkeypatch):
    (tmp_path / "probe.py").write_text(PROBE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hook = OcrHook(entry_point="probe:look_around")
    async with ParserPool(1, ParserLimits(), hook) as pool:
        parsed = await pool.parse([SCAN], "application/pdf", "")
    assert parsed.text == "socket PermissionError, local PermissionError, file OSError"


async def test_a_hook_that_hangs_is_killed_with_its_parser(tmp_path):
    hook = OcrHook(command=("sleep", "1000"))
    async with ParserPool(1, ParserLimits(wall_seconds=1.0), hook) as pool:
        (pid,) = processes(pool)
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([SCAN], "application/pdf", "")
        assert caught.value.reason is FailureReason.PARSE_TIMEOUT
        for process in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error):
                assert os.getsid(process.pid) != pid or process.status() == psutil.STATUS_ZOMBIE
