"""Each of the messy files comes to what is expected of it, in the processes that parse in service."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import pytest_asyncio

from services.ingestion.chunker import chunk_document
from services.ingestion.document import content_of
from services.ingestion.failures import StageFailedError
from services.ingestion.parsers.parsed import Block, ParsedDocument, pack, unpack
from services.ingestion.parsers.recognise import recognise
from services.ingestion.parsers.sandbox import ParserLimits, ParserPool
from services.ingestion.validation import check_content
from services.rpc.errors import ServiceError
from tests.kit.expected_files import EXPECTED
from tests.kit.file_outcomes import Ready, Refused

FILES = Path(__file__).parents[4] / "shared" / "data" / "files"
MEBIBYTE = 1 << 20
CHUNKED_CHARACTERS = 200_000
"""Longer texts are chunked elsewhere: it takes seconds."""

pytestmark = [
    pytest.mark.skipif(not FILES.is_dir(), reason=f"no test files at {FILES}"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool():
    async with ParserPool(1, ParserLimits()) as opened:
        yield opened


async def outcome(pool: ParserPool, name: str) -> ParsedDocument | tuple[str, str]:
    """Returns what comes of a file: a document, or reason and message."""
    data = (FILES / name).read_bytes()
    try:
        check_content(content_of(data), 64 * MEBIBYTE, "content")
        content_type = recognise(data[:4096], name, "")
        return await pool.parse([data], content_type, name)
    except StageFailedError as error:
        return error.reason.value, error.message
    except ServiceError as error:
        return error.reason.value, str(error)


def block_with(parsed: ParsedDocument, text: str, page: int | None = None) -> Block:
    found = [
        block
        for block in parsed.blocks
        if text in parsed.text[block.start : block.end] and page in {None, block.page}
    ]
    assert found, f"{text!r} stands in no block (on page {page})"
    return found[0]


def check_structure(parsed: ParsedDocument) -> None:
    """Blocks follow each other, and each chunk is a part of the text."""
    end = 0
    for block in parsed.blocks:
        assert end <= block.start < block.end <= len(parsed.text)
        assert parsed.text[block.start : block.end].strip()
        end = block.end
    assert "\x00" not in parsed.text
    parsed.text.encode()
    assert unpack(pack(parsed)) == parsed
    if len(parsed.text) > CHUNKED_CHARACTERS:
        return
    for chunk in chunk_document(parsed):
        assert 0 <= chunk.start < chunk.end <= len(parsed.text)
        assert parsed.text[chunk.start : chunk.end].strip()


def check_ready(parsed: ParsedDocument, wanted: Ready) -> None:
    assert parsed.content_type == wanted.content_type
    position = 0
    for phrase in wanted.phrases:
        found = parsed.text.find(phrase, position)
        assert found >= 0, f"{phrase!r} is missing, or before the one above"
        position = found + len(phrase)
    tables = [
        line
        for block in parsed.blocks
        if block.kind in {"table", "paragraph"}
        for line in parsed.text[block.start : block.end].split("\n")
    ]
    for cells in wanted.cells:
        assert cells.strip() in {line.strip() for line in tables}, f"no row {cells!r}"
    headings = [parsed.text[b.start : b.end] for b in parsed.blocks if b.kind == "heading"]
    for heading in wanted.headings:
        assert heading in headings, f"no heading {heading!r}"
    for text, page in wanted.pages:
        assert block_with(parsed, text, page).page == page
    for text, heading in wanted.under:
        assert heading in block_with(parsed, text).heading_path
    for text, kind in wanted.kinds:
        assert block_with(parsed, text).kind == kind
    for text in wanted.absent:
        assert text not in parsed.text
    for text in wanted.once:
        assert parsed.text.count(text) == 1
    assert wanted.title in parsed.title
    assert wanted.warning in " ".join(parsed.warnings)


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_file_comes_to_what_is_expected_of_it(pool, name):
    wanted = EXPECTED[name]
    start = time.monotonic()
    result = await outcome(pool, name)
    assert time.monotonic() - start < 120
    if isinstance(wanted, Refused):
        assert isinstance(result, tuple), "it was read"
        assert result[0] == wanted.reason
        assert wanted.words in result[1]
        return
    assert isinstance(result, ParsedDocument), result
    check_structure(result)
    check_ready(result, wanted)


async def test_every_file_has_an_expectation():
    names = {path.name for path in FILES.iterdir()} - {"SOURCES.tsv"}
    assert names == set(EXPECTED)


async def test_the_two_pages_of_a_memo_are_both_kept(pool):
    parsed = await outcome(pool, "pdf__fake-memo-with-duplicate-page.pdf")
    assert isinstance(parsed, ParsedDocument)
    assert {block.page for block in parsed.blocks} == {1, 2}


async def test_hostile_files_stay_far_below_their_limits():
    # Less memory and a sixth of the processor time that files may take.
    limits = ParserLimits(cpu_seconds=10, memory_bytes=384 * MEBIBYTE)
    async with ParserPool(1, limits) as tight:
        for name, wanted in EXPECTED.items():
            if name.startswith("hostile-"):
                result = await outcome(tight, name)
                assert isinstance(result, tuple) == isinstance(wanted, Refused), (name, result)
