"""Builds text and blocks from the tags of a page, in one pass."""

from __future__ import annotations

from services.ingestion.parsers.parsed import Block, BlockKind

_HEADINGS = {f"h{depth}": depth for depth in range(1, 7)}
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "ul",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    ]
)
_LISTS = frozenset({"ul", "ol", "dl"})


class TextBuilder:
    """Receives the tags and texts of a page in order; knows nothing of how they are stored."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._position = 0
        self._blocks: list[Block] = []
        self._path: list[tuple[int, str]] = []
        self._inline: list[str] = []
        self._lines: list[str] = []
        self._lists: list[int] = []
        self._item_prefix = ""
        self._pre_depth = 0
        self._tables: list[bool] = []
        self._row: list[str] | None = None

    @property
    def length(self) -> int:
        """Characters collected so far."""
        return self._position

    def enter(self, tag: str, *, is_layout: bool = False) -> None:
        """Begins an element; `is_layout` marks a table whose cells are parts of the page."""
        if tag == "br":
            self._inline.append("\n")
            return
        if tag not in _BLOCKS:
            return
        if self._in_row():
            # A cell may hold paragraphs: they become one line.
            if tag not in {"td", "th"}:
                self._inline.append(" ")
                return
        else:
            self._end_line()
        if tag == "table":
            self._flush_text()
            self._tables.append(is_layout)
            return
        self._begin_block(tag)

    def _begin_block(self, tag: str) -> None:
        if tag in _LISTS:
            self._enter_list()
        elif tag == "tr" and self._in_data_table():
            self._row = []
        elif tag in {"li", "dt"} and self._lists:
            self._begin_item(tag)
        elif tag == "pre":
            self._flush_text()
            self._pre_depth += 1
        elif tag in _HEADINGS:
            self._flush_text()

    def leave(self, tag: str) -> None:
        """Ends an element."""
        if tag not in _BLOCKS:
            return
        if self._in_row():
            self._leave_in_row(tag)
            return
        self._end_line()
        self._end_block(tag)

    def _end_block(self, tag: str) -> None:
        if tag in _HEADINGS and not self._in_data_table():
            self._end_heading(_HEADINGS[tag])
        elif tag in _LISTS and self._lists:
            self._lists.pop()
            self._flush_outside("list", is_outside=not self._lists)
        elif tag == "table" and self._tables:
            self._flush_outside("paragraph" if self._tables.pop() else "table")
        elif tag == "pre" and self._pre_depth:
            self._pre_depth -= 1
            self._flush("code")
        elif tag == "blockquote":
            self._flush("quote" if not self._lists else "list")
        else:
            self._flush_outside("paragraph", is_outside=not self._lists)

    def _flush_outside(self, kind: BlockKind, *, is_outside: bool = True) -> None:
        """Writes the block unless a table or list goes on around it."""
        if is_outside and not self._in_data_table():
            self._flush(kind)

    def add_text(self, text: str) -> None:
        """Takes text as it stands in the source."""
        if text:
            self._inline.append(text if self._pre_depth else text.replace("\n", " "))

    def finish(self) -> tuple[str, list[Block]]:
        """Returns the text and its blocks."""
        self._end_line()
        self._flush("paragraph")
        return "".join(self._parts), self._blocks

    def _in_row(self) -> bool:
        return self._row is not None

    def _in_data_table(self) -> bool:
        return bool(self._tables) and not self._tables[-1]

    def _enter_list(self) -> None:
        if not self._lists:
            self._flush_text()
        self._lists.append(0)

    def _begin_item(self, tag: str) -> None:
        self._lists[-1] += 1
        indent = "  " * (len(self._lists) - 1)
        self._item_prefix = indent if tag == "dt" else f"{indent}- "

    def _leave_in_row(self, tag: str) -> None:
        assert self._row is not None
        if tag in {"td", "th"}:
            self._row.append(" ".join("".join(self._inline).split()))
            self._inline.clear()
        elif tag in {"tr", "table"}:
            cells, self._row = self._row, None
            while cells and not cells[-1]:
                cells.pop()
            if any(cells):
                self._lines.append(" | ".join(cells))
            if tag == "table":
                self.leave(tag)
        else:
            self._inline.append(" ")

    def _end_line(self) -> None:
        """Ends the run of inline text: what follows stands on a line of its own."""
        raw = "".join(self._inline)
        self._inline.clear()
        if self._pre_depth:
            if raw.strip():
                self._lines.append(raw.strip("\n").rstrip())
            return
        lines = [" ".join(line.split()) for line in raw.split("\n")]
        lines = [line for line in lines if line]
        if not lines:
            return
        prefix, self._item_prefix = self._item_prefix, ""
        self._lines.append(prefix + lines[0])
        self._lines.extend(" " * len(prefix) + line for line in lines[1:])

    def _flush_text(self) -> None:
        self._flush("list" if self._lists else "paragraph")

    def _flush(self, kind: BlockKind) -> None:
        """Writes the collected lines as a block."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write(kind, "\n".join(lines))

    def _end_heading(self, depth: int) -> None:
        title = " ".join(" ".join(self._lines).split())
        self._lines = []
        if not title:
            return
        while self._path and self._path[-1][0] >= depth:
            self._path.pop()
        self._path.append((depth, title[:300]))
        self._write("heading", title)

    def _write(self, kind: BlockKind, text: str) -> None:
        if self._parts:
            self._parts.append("\n\n")
            self._position += 2
        path = tuple(name for _, name in self._path)
        self._blocks.append(Block(kind, self._position, self._position + len(text), path))
        self._parts.append(text)
        self._position += len(text)
