"""Parser processes: limits, crashes and reuse, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from services.ingestion.failures import FailureReason, StageFailedError
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool

FILES = Path(__file__).parents[4] / "shared" / "data" / "files"


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


REAL_FILES = [
    ("README.md", "text/markdown", "Example Docs"),
    ("codeblock.md", "text/markdown", "<!DOCTYPE html>"),
    ("umlauts-non-utf8.md", "text/markdown", "können"),
    ("hostile-injection.md", "text/markdown", "12.4 million"),
    ("cjk-gb18030.txt", "text/plain", "检索增强生成平台"),
    ("cjk-shiftjis.txt", "text/plain", "検索拡張生成"),
    ("koi8-r.txt", "text/plain", "Проверка кодировки"),
    ("latin1.txt", "text/plain", "größere Brötchen"),
    ("fake-text-utf-16-le.txt", "text/plain", "This is a test document"),
    ("fake-text-utf-32.txt", "text/plain", "This is a test document"),
    ("rtl-mixed.txt", "text/plain", "مرحبا بالعالم"),
    ("one-line-2MB.txt", "text/plain", "word word word"),
    ("language-docs__UDHR_first_article_all.txt", "text/plain", "born free and equal"),
    ("example-10k.html", "text/html", "SECURITIES AND EXCHANGE COMMISSION"),
    ("example-steelJIS-datasheet-utf-16.html", "text/html", "Japanese Steels"),
    ("example-with-scripts.html", "text/html", "Russian Offensive Campaign Assessment"),
    ("fake-html-cp1252.html", "text/html", "My First Heading"),
    ("hostile-nested.html", "text/html", "deep"),
    ("hostile-huge-table.html", "text/html", "7 | 8 | 9"),
    ("pdf__multi-column-2p.pdf", "application/pdf", "Dense Passage Retrieval"),
    ("pdf__copy-protected.pdf", "application/pdf", "LayoutParser"),
    ("pdf__korean-text-with-tables.pdf", "application/pdf", "무이자할부"),
    ("rotated-page-90.pdf", "application/pdf", "Rotated page fixture"),
    ("us-fed-agency-reports__data__v1__docs__GSA2022.pdf", "application/pdf", "GSA Strategic Plan"),
]
FAILING_FILES = [
    ("pdf__password.pdf", "application/pdf", "ENCRYPTED"),
    ("pdf__loremipsum-flat.pdf", "application/pdf", "NEEDS_OCR"),
    ("hostile-nulls.pdf", "application/pdf", "PARSE_FAILED"),
    ("hostile-truncated.pdf", "application/pdf", "PARSE_FAILED"),
    ("fake-text-all-whitespace.txt", "text/plain", "EMPTY_TEXT"),
]


@pytest.mark.skipif(not FILES.is_dir(), reason=f"no test files at {FILES}")
async def test_real_files_give_their_words(pool):
    for name, content_type, phrase in REAL_FILES:
        parsed = await pool.parse([(FILES / name).read_bytes()], content_type, name)
        assert phrase in parsed.text, name
        for block in parsed.blocks:
            inside = parsed.text[block.start : block.end]
            assert inside.strip(), name


@pytest.mark.skipif(not FILES.is_dir(), reason=f"no test files at {FILES}")
async def test_real_files_fail_with_their_reasons(pool):
    for name, content_type, reason in FAILING_FILES:
        with pytest.raises(StageFailedError) as caught:
            await pool.parse([(FILES / name).read_bytes()], content_type, name)
        assert caught.value.reason == reason, name
