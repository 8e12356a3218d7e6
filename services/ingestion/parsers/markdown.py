"""Markdown: the source itself is the text, so that a citation is found in the file as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.parsed import Block, BlockKind, ParsedDocument
from services.ingestion.parsers.writer import (
    LONG_TABLE_CHARACTERS,
    MAX_COLUMNS_CHARACTERS,
    table_line,
)

if TYPE_CHECKING:
    from markdown_it.token import Token

_KINDS: dict[str, BlockKind] = {
    "heading_open": "heading",
    "paragraph_open": "paragraph",
    "bullet_list_open": "list",
    "ordered_list_open": "list",
    "blockquote_open": "quote",
    "table_open": "table",
    "fence": "code",
    "code_block": "code",
    "html_block": "paragraph",
}
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FIELD = re.compile(r"([A-Za-z][\w -]{0,63}?)[ \t]*:(?:[ \t]+(.*))?\Z")
_TAG = re.compile(r"<!--.*?-->|<[^>]*>", re.DOTALL)
_MAX_FIELDS = 64


def parse(data: bytes) -> ParsedDocument:
    """Returns the source with its blocks; front matter becomes title and metadata."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - parsers load what their file needs

    text, warnings = decode(data)
    text = clean(text)
    metadata, body_start = _front_matter(text)
    body = text[body_start:]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    blocks = _blocks(tokens, text, body_start)
    first = next((block for block in blocks if block.kind == "heading"), None)
    title = metadata.pop("title", "") or (first.heading_path[-1] if first else "")
    return ParsedDocument(
        text,
        tuple(blocks),
        title=title if isinstance(title, str) else " ".join(title),
        metadata=metadata,
        warnings=tuple(warnings),
    )


def _blocks(tokens: Sequence[Token], text: str, body_start: int) -> list[Block]:
    lines = _line_starts(text, body_start)
    path: list[tuple[int, str]] = []
    blocks = []
    for index, token in enumerate(tokens):
        if token.level or token.nesting < 0 or token.map is None:
            continue
        kind = _KINDS.get(token.type)
        if kind is None:
            continue
        start, end = _trim(text, lines[token.map[0]], lines[token.map[1]])
        if start == end or (token.type == "html_block" and not _has_text(text[start:end])):
            continue
        if kind == "heading":
            depth = int(token.tag[1])
            while path and path[-1][0] >= depth:
                path.pop()
            if title := _inline_text(tokens[index + 1]):
                path.append((depth, title))
            else:
                continue
        names = [name for _, name in path]
        if kind == "table" and end - start > LONG_TABLE_CHARACTERS:
            # Its parts say what their figures are.
            names.append(_columns(tokens, index))
        blocks.append(Block(kind, start, end, tuple(filter(None, names))))
    return blocks


def _columns(tokens: Sequence[Token], table: int) -> str:
    """Returns the names of a table's columns on one line."""
    cells = []
    for index in range(table, len(tokens)):
        if tokens[index].type == "thead_close":
            break
        if tokens[index].type == "th_open":
            cells.append(_inline_text(tokens[index + 1]))
    return table_line(cells)[:MAX_COLUMNS_CHARACTERS]


def _line_starts(text: str, start: int) -> list[int]:
    """Returns where each line begins, and the end of the text for one past the last."""
    starts = [start]
    starts.extend(found.end() for found in re.compile("\n").finditer(text, start))
    return [*starts, len(text)]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """Leaves out blank lines at the end of a block."""
    return start, start + len(text[start:end].rstrip())


def _has_text(html: str) -> bool:
    return any(char.isalnum() for char in _TAG.sub("", html))


def _inline_text(token: Token) -> str:
    """Returns what a reader sees of a heading."""
    parts = [child.content for child in token.children or () if child.content]
    return " ".join("".join(parts).split())


def _front_matter(text: str) -> tuple[dict[str, str | tuple[str, ...]], int]:
    """Returns the fields before the document and where it begins.

    Only plain `name: value` lines and lists are read; anything richer stays text of the file.
    """
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, 0
    fields: dict[str, str | tuple[str, ...]] = {}
    name = ""
    for line in found[1].split("\n"):
        if name and re.match(r"\s*-\s+\S", line):
            known = fields.get(name) or ()
            if isinstance(known, tuple):
                fields[name] = (*known, _unquote(line.strip()[1:]))
            continue
        if (field := _FIELD.match(line)) and len(fields) < _MAX_FIELDS:
            name = field[1].strip().lower().replace(" ", "_").replace("-", "_")
            fields[name] = _value(field[2] or "")
        elif line.strip() and not line.startswith((" ", "\t", "#")):
            return {}, found.end()
    return {name: value for name, value in fields.items() if value}, found.end()


def _value(text: str) -> str | tuple[str, ...]:
    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        return tuple(item for part in text[1:-1].split(",") if (item := _unquote(part)))
    return _unquote(text)


def _unquote(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text
