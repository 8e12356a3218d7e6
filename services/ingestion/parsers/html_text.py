"""Builds text and blocks from the tags of a page, in one pass."""

from __future__ import annotations

from services.ingestion.parsers.html_table import Cell, filled
from services.ingestion.parsers.parsed import BlockKind, ParsedDocument
from services.ingestion.parsers.writer import DocumentWriter

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
        self._writer = DocumentWriter()
        self._inline: list[str] = []
        self._lines: list[str] = []
        self._lists: list[int | None] = []
        """Number of the next item of each list around; None: its items have none."""
        self._item_prefix = ""
        self._pre_depth = 0
        self._tables: list[bool] = []
        self._row: list[Cell] | None = None
        self._rows: list[list[Cell]] = []
        self._cell = Cell()

    @property
    def length(self) -> int:
        """Characters collected so far."""
        return self._writer.length

    def enter(
        self,
        tag: str,
        *,
        is_layout: bool = False,
        cell: Cell | None = None,
        number: int | None = None,
    ) -> None:
        """Begins an element.

        Args:
            tag: Its name.
            is_layout: It is a table whose cells are parts of the page.
            cell: How far it reaches, if it is a cell.
            number: What a numbered list begins with, or the number an item is given.
        """
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
            if cell is not None:
                self._cell = cell
        else:
            self._end_line()
        if tag == "table":
            self._flush_text()
            self._end_rows()
            self._tables.append(is_layout)
            return
        self._begin_block(tag, number)

    def _begin_block(self, tag: str, number: int | None) -> None:
        if tag in _LISTS:
            self._enter_list(number)
        elif tag == "tr" and self._in_data_table():
            self._row = []
        elif tag in {"li", "dt"} and self._lists:
            self._begin_item(tag, number)
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
            self._tables.pop()
            self._end_rows()
            self._flush_outside("paragraph")
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

    def finish(self, title: str) -> ParsedDocument:
        """Returns the document.

        Raises:
            UnparsableError: it has no text.
        """
        self._end_line()
        self._flush("paragraph")
        self._end_rows()
        return self._writer.finish(title)

    def _in_row(self) -> bool:
        return self._row is not None

    def _in_data_table(self) -> bool:
        return bool(self._tables) and not self._tables[-1]

    def _enter_list(self, number: int | None) -> None:
        if not self._lists:
            self._flush_text()
        self._lists.append(number)

    def _begin_item(self, tag: str, number: int | None) -> None:
        indent = "  " * (len(self._lists) - 1)
        following = self._lists[-1]
        if tag == "dt":
            self._item_prefix = indent
        elif following is None:
            self._item_prefix = f"{indent}- "
        else:
            own = following if number is None else number
            self._lists[-1] = own + 1
            self._item_prefix = f"{indent}{own}. "

    def _leave_in_row(self, tag: str) -> None:
        assert self._row is not None
        if tag in {"td", "th"}:
            text = " ".join("".join(self._inline).split())
            self._row.append(self._cell.holding(text))
            self._cell = Cell()
            self._inline.clear()
        elif tag in {"tr", "table"}:
            if self._lines:
                self._flush("paragraph")  # the caption
            cells, self._row = self._row, None
            self._rows.append(cells)
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
        if "" in lines[1:-1] and not (self._lists or self._in_data_table()):
            # Two line breaks in a row part paragraphs.
            lines = self._flush_parted(lines)
        lines = [line for line in lines if line]
        if not lines:
            return
        prefix, self._item_prefix = self._item_prefix, ""
        self._lines.append(prefix + lines[0])
        self._lines.extend(" " * len(prefix) + line for line in lines[1:])

    def _flush_parted(self, lines: list[str]) -> list[str]:
        """Writes the paragraphs that empty lines part, and returns the last."""
        paragraph: list[str] = []
        for line in lines:
            if line:
                paragraph.append(line)
            elif paragraph:
                self._lines.extend(paragraph)
                self._flush("paragraph")
                paragraph = []
        return paragraph

    def _flush_text(self) -> None:
        self._flush("list" if self._lists else "paragraph")

    def _flush(self, kind: BlockKind) -> None:
        """Writes the collected lines as a block."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        if kind == "list":
            self._writer.items(lines)
            return
        text = "\n".join(lines)
        if kind == "code":
            self._writer.code(text)
        elif kind == "quote":
            self._writer.quote(text)
        else:
            self._writer.paragraph(text)

    def _end_rows(self) -> None:
        """Writes the rows collected so far as a table."""
        if not self._rows:
            return
        rows, self._rows = self._rows, []
        has_header = any(cell.is_header for cell in rows[0])
        self._writer.table(filled(rows), has_header=has_header)

    def _end_heading(self, depth: int) -> None:
        title = " ".join(self._lines)
        self._lines = []
        self._writer.heading(depth, title)
