"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

import base64
import re

from services.ingestion.parsers.decoding import clean, decode, mended
from services.ingestion.parsers.guessing import guess
from services.ingestion.parsers.parsed import Block, ParsedDocument, UnparsableError

_PARAGRAPH = re.compile(r"\S.*?(?=\n[^\S\n]*\n|\Z)", re.DOTALL)

_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4}\s*){8,}(?:[A-Za-z0-9+/]{2,3}={1,2}\s*)?\Z")
_MAX_BASE64_BYTES = 1 << 20
_SURE = 0.7
"""How much the reading must look like writing."""


def parse(data: bytes) -> ParsedDocument:
    """Returns the text as it is, cut into paragraphs."""
    inner = _without_base64(data)
    text, warnings = decode(data if inner is None else inner)
    if inner is not None:
        warnings = ["the file is text in Base64; it was decoded", *warnings]
    text = mended(clean(text))
    return ParsedDocument(text, tuple(_pages(text)), warnings=tuple(warnings))


def _pages(text: str) -> list[Block]:
    """Returns the paragraphs, with their pages where form feeds part them."""
    if "\f" not in text.strip():
        return paragraphs(text)
    blocks, start = [], 0
    # One at the very beginning ends no page.
    first = 0 if text.lstrip(" \n").startswith("\f") else 1
    for number, page in enumerate(text.split("\f"), start=first):
        blocks += paragraphs(page, start=start, page=number)
        start += len(page) + 1
    return blocks


def _without_base64(data: bytes) -> bytes | None:
    """Returns the text that a file holds in Base64, as mails do; None: it is text itself."""
    if len(data) > _MAX_BASE64_BYTES or not _BASE64.match(data):
        return None
    try:
        inner = base64.b64decode(b"".join(data.split()), validate=True)
        text, _ = decode(inner)
    except (ValueError, UnparsableError):
        return None
    words = re.findall(r"[^\W\d_]{2,}", text)
    letters = sum(map(len, words))
    is_text = len(words) >= 3 and text.isprintable() and letters >= 0.6 * len(text)
    is_sure = all(byte < 0x80 for byte in inner) or guess(inner)[1] > _SURE
    return inner if is_text and is_sure else None


def paragraphs(text: str, *, start: int = 0, page: int = 0) -> list[Block]:
    """Returns the paragraphs of a text that stands at `start` of a larger one."""
    return [
        Block("paragraph", start + found.start(), start + found.start() + len(stripped), page=page)
        for found in _PARAGRAPH.finditer(text)
        if (stripped := found.group().rstrip())
    ]
