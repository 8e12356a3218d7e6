"""Writes the text of a document and its blocks side by side: offsets are right by making."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.ingestion.parsers.parsed import Block, BlockKind, ParsedDocument, UnparsableError

_MAX_CHARACTERS = 16_000_000
"""Text beyond this is refused by every setting: stop before memory is gone."""
_MAX_BLOCKS = 500_000
_MAX_HEADING_CHARACTERS = 300
LONG_TABLE_CHARACTERS = 800
"""A table longer than this may be cut into chunks: its columns are named above each of them."""
MAX_COLUMNS_CHARACTERS = 160
_NEVER_STORED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
"""Control characters and lone surrogates: no database and no reader has a use for them."""

Cells = Sequence[str]


class DocumentWriter:
    """Receives the parts of a document in reading order."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._position = 0
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self.page = 0
        """Page of what is written next, from 1; 0: the format has none."""
        self.warnings: list[str] = []

    @property
    def length(self) -> int:
        """Characters written so far."""
        return self._position

    @property
    def path(self) -> tuple[str, ...]:
        """Headings above what is written next."""
        return tuple(name for _, name in self._path)

    def heading(self, depth: int, text: str) -> None:
        """Begins a section; deeper ones are numbered higher."""
        title = one_line(text)
        if not title:
            return
        self.leave_sections(depth)
        self._path.append((depth, title[:_MAX_HEADING_CHARACTERS]))
        self._write("heading", title)

    def leave_sections(self, depth: int) -> None:
        """Ends the sections of this depth and deeper ones."""
        while self._path and self._path[-1][0] >= depth:
            self._path.pop()

    def paragraph(self, text: str) -> None:
        """Writes running text."""
        self._block("paragraph", text)

    def quote(self, text: str) -> None:
        """Writes a quotation."""
        self._block("quote", text)

    def code(self, text: str) -> None:
        """Writes text whose spaces and line ends count."""
        self._block("code", text)

    def items(self, lines: Sequence[str]) -> None:
        """Writes a list, or a record, of lines that are not divided."""
        self._block("list", "\n".join(line for line in lines if line.strip()))

    def table(self, rows: Sequence[Cells], *, has_header: bool = False) -> None:
        """Writes rows of cells, a line each.

        Args:
            rows: Cells in order; empty ones keep their place, except at the end of a row.
            has_header: The first row names the columns.
        """
        lines = [line for row in rows if (line := table_line(row))]
        text = "\n".join(lines)
        if has_header and len(lines) > 1 and len(text) > LONG_TABLE_CHARACTERS:
            self._path.append((99, lines[0][:MAX_COLUMNS_CHARACTERS]))
            self._block("table", text)
            self._path.pop()
        else:
            self._block("table", text)

    def append(self, parsed: ParsedDocument) -> None:
        """Writes another document under the present headings."""
        if not parsed.blocks:
            return
        self._separate()
        start, path = self._position, self.path
        self._blocks.extend(
            Block(
                block.kind,
                start + block.start,
                start + block.end,
                (*path, *block.heading_path),
                block.page or self.page,
            )
            for block in parsed.blocks
        )
        self._add(parsed.text)

    def finish(
        self, title: str = "", metadata: Mapping[str, str | tuple[str, ...]] | None = None
    ) -> ParsedDocument:
        """Returns the document.

        Raises:
            UnparsableError: nothing was written.
        """
        if not self._blocks:
            raise UnparsableError("EMPTY_TEXT", "the file holds no text")
        if not title:
            first = next((block for block in self._blocks if block.kind == "heading"), None)
            title = first.heading_path[-1] if first else ""
        return ParsedDocument(
            "".join(self._parts),
            tuple(self._blocks),
            one_line(title)[:500],
            metadata or {},
            tuple(self.warnings),
        )

    def _block(self, kind: BlockKind, text: str) -> None:
        text = storable(text).rstrip()
        stripped = text.strip("\n") if kind == "code" else text.lstrip()
        if stripped.strip():
            self._write(kind, stripped)

    def _write(self, kind: BlockKind, text: str) -> None:
        self._separate()
        start = self._position
        self._blocks.append(Block(kind, start, start + len(text), self.path, self.page))
        self._add(text)

    def _separate(self) -> None:
        if self._parts:
            self._add("\n\n")

    def _add(self, text: str) -> None:
        self._parts.append(text)
        self._position += len(text)
        if self._position > _MAX_CHARACTERS or len(self._blocks) > _MAX_BLOCKS:
            raise UnparsableError(
                "TOO_LARGE",
                f"the document has over {_MAX_CHARACTERS} characters, or too many parts",
            )


def one_line(text: str) -> str:
    """Returns the text with single spaces and nothing that cannot be stored."""
    return " ".join(storable(text).split())


def storable(text: str) -> str:
    """Returns the text with newlines as line ends and without what no database stores."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _NEVER_STORED.sub("", text)


def table_line(cells: Cells) -> str:
    """Returns a row as a line; empty when no cell has text."""
    values = [one_line(cell) for cell in cells]
    while values and not values[-1]:
        values.pop()
    return " | ".join(values) if any(values) else ""
