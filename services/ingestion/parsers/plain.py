"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

import re

from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.parsed import Block, ParsedDocument

_PARAGRAPH = re.compile(r"\S.*?(?=\n[^\S\n]*\n|\Z)", re.DOTALL)


def parse(data: bytes) -> ParsedDocument:
    """Returns the text as it is, cut into paragraphs."""
    text, warnings = decode(data)
    text = clean(text)
    return ParsedDocument(text, tuple(paragraphs(text)), warnings=tuple(warnings))


def paragraphs(text: str, *, start: int = 0, page: int = 0) -> list[Block]:
    """Returns the paragraphs of a text that stands at `start` of a larger one."""
    return [
        Block("paragraph", start + found.start(), start + found.start() + len(stripped), page=page)
        for found in _PARAGRAPH.finditer(text)
        if (stripped := found.group().rstrip())
    ]
