"""What a parser makes of a document: text, and where its parts stand in it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from services.ingestion.document import metadata_from_json, metadata_to_json

if TYPE_CHECKING:
    from services.filters.values import Value

BlockKind = Literal["heading", "paragraph", "list", "table", "code", "quote"]


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the text that belongs together. Offsets count Unicode code points."""

    kind: BlockKind
    start: int
    end: int
    heading_path: tuple[str, ...] = ()
    """Headings above it, outermost first. A heading's own path ends with itself."""
    page: int = 0
    """Page of the source it starts on, from 1; 0: the format has none."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """Text and structure of a document."""

    text: str
    """What is stored, quoted and counted in; never edited afterwards."""
    blocks: tuple[Block, ...]
    """In order, not overlapping; text outside all blocks is not searched."""
    title: str = ""
    metadata: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    """Facts stated in the document itself (front matter)."""
    warnings: tuple[str, ...] = ()
    content_type: str = ""
    """Type it was parsed as; empty: the one it was submitted with."""
    enriched: Mapping[str, Value | None] = field(default_factory=dict)
    """What enrichment found out about it; goes before what it says about itself."""


class UnparsableError(Exception):
    """A parser cannot make sense of a document.

    Args:
        reason: `FailureReason` by its name.
        message: What is wrong and how to mend it.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def to_plain(parsed: ParsedDocument) -> dict[str, Any]:
    """Returns everything but the text as plain values; each heading path appears once."""
    paths: dict[tuple[str, ...], int] = {}
    blocks = [
        [
            block.kind,
            block.start,
            block.end,
            paths.setdefault(block.heading_path, len(paths)),
            block.page,
        ]
        for block in parsed.blocks
    ]
    return {
        "title": parsed.title,
        "metadata": dict(parsed.metadata),
        "warnings": list(parsed.warnings),
        "content_type": parsed.content_type,
        "paths": [list(path) for path in paths],
        "blocks": blocks,
        "enriched": metadata_to_json(parsed.enriched),
    }


def from_plain(text: str, plain: Mapping[str, Any]) -> ParsedDocument:
    """Reads what `to_plain` wrote."""
    paths = [tuple(path) for path in plain["paths"]]
    return ParsedDocument(
        text=text,
        blocks=tuple(
            Block(kind, start, end, paths[path], page)
            for kind, start, end, path, page in plain["blocks"]
        ),
        title=plain["title"],
        metadata={
            name: tuple(value) if isinstance(value, list) else value
            for name, value in plain["metadata"].items()
        },
        warnings=tuple(plain["warnings"]),
        content_type=plain.get("content_type", ""),
        enriched=metadata_from_json(plain.get("enriched", "{}")),
    )


def pack(parsed: ParsedDocument) -> bytes:
    """Returns the document compressed, for storing."""
    return zlib.compress(json.dumps([parsed.text, to_plain(parsed)]).encode(), level=3)


def unpack(data: bytes) -> ParsedDocument:
    """Reads what `pack` wrote."""
    text, plain = json.loads(zlib.decompress(data))
    return from_plain(text, plain)
