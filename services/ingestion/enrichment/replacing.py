"""Writes hashes over identifiers in a parsed document; offsets of its parts follow."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from services.ingestion.enrichment.personal import Identifier, find_identifiers

if TYPE_CHECKING:
    from services.ingestion.parsers.parsed import ParsedDocument

Token = Callable[[Identifier], str]
"""What is written over an identifier."""


def replace_in_document(
    parsed: ParsedDocument, identifiers: Sequence[Identifier], token: Token
) -> ParsedDocument:
    """Returns the document with every identifier written over, in text, headings and facts.

    Args:
        parsed: The document.
        identifiers: Those of its text, in order.
        token: What is written over each.
    """
    parts: list[str] = []
    # Where pieces of the former text begin, and how far each has moved.
    starts, shifts = [0], [0]
    at = shift = 0
    for each in identifiers:
        written = token(each)
        parts += [parsed.text[at : each.start], written]
        at = each.end
        shift += len(written) - (each.end - each.start)
        starts.append(each.end)
        shifts.append(shift)
    parts.append(parsed.text[at:])
    inside = [(each.start, each.end) for each in identifiers]

    def moved(offset: int) -> int:
        place = bisect.bisect_right(starts, offset) - 1
        # A part that begins or ends inside an identifier begins or ends before it.
        if place < len(inside) and inside[place][0] < offset < inside[place][1]:
            offset = inside[place][0]
        return offset + shifts[place]

    def in_text(text: str) -> str:
        return replace_in_text(text, token)

    return dataclasses.replace(
        parsed,
        text="".join(parts),
        title=in_text(parsed.title),
        blocks=tuple(
            dataclasses.replace(
                block,
                start=moved(block.start),
                end=moved(block.end),
                heading_path=tuple(map(in_text, block.heading_path)),
            )
            for block in parsed.blocks
        ),
        metadata={
            name: tuple(map(in_text, value)) if isinstance(value, tuple) else in_text(value)
            for name, value in parsed.metadata.items()
        },
    )


def replace_in_text(text: str, token: Token) -> str:
    """Returns a text with every identifier written over."""
    parts: list[str] = []
    at = 0
    for each in find_identifiers(text):
        parts += [text[at : each.start], token(each)]
        at = each.end
    return "".join([*parts, text[at:]])
