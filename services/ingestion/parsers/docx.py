"""DOCX: headings, lists, tables, notes, text boxes, headers and footers; pages where known.

Read from the XML itself: it is faster than the usual object models, and it keeps what they leave
out (text boxes, notes, content controls, rendered page breaks).
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from services.ingestion.parsers.docx_styles import Numbering, Styles
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter, one_line
from services.ingestion.parsers.zip_source import ZipSource, main_part, relations

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_SKIPPED = frozenset(
    W + name
    for name in ("del", "moveFrom", "pPr", "rPr", "instrText", "delText", "sdtPr", "rt",
                 "tblPr", "sectPr")
)  # fmt: skip
"""Deleted text, properties, field codes, and pronunciations."""
_CHARACTERS = {
    W + "tab": "\t",
    W + "ptab": "\t",
    W + "cr": "\n",
    W + "noBreakHyphen": "-",
}
_MAX_DEPTH = 200
_PAGE_CHARACTERS = 6000
"""More than this does not fit on a page."""
_LONG_CELL_CHARACTERS = 400
"""A table with a cell longer than this arranges a page instead of showing figures."""


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of the body in order, notes where they are referred to.

    Raises:
        UnparsableError: it is damaged or has no text.
    """
    source = ZipSource(data)
    return _Reader(source, main_part(source, "word/document.xml")).read()


@dataclass(slots=True)
class _Inline:
    """Text of a paragraph while it is gathered."""

    parts: list[str] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    """Text boxes anchored in it."""
    notes: list[tuple[str, str]] = field(default_factory=list)
    """Footnotes and endnotes it refers to: kind and id."""
    page: int = -1
    """Page its text starts on."""

    @property
    def text(self) -> str:
        lines = "".join(self.parts).split("\n")
        return "\n".join(" ".join(line.split()) for line in lines).strip()


class _Reader:
    def __init__(self, source: ZipSource, main: str) -> None:
        self._source = source
        self._main = main
        self._relations = relations(source, main)
        self._styles = Styles(self._optional("styles"))
        self._numbering = Numbering(self._optional("numbering"))
        self._notes = {
            kind: _notes_of(self._optional(f"{kind}s"), W + kind)
            for kind in ("footnote", "endnote")
        }
        self._writer = DocumentWriter()
        self._open_list: list[str] = []
        self._note_numbers: dict[tuple[str, str], int] = {}
        self._has_pages = False
        self._page_is_new = False
        """A break was just made: a rendered one that follows is the same."""
        self._depth = 0
        self._has_hidden = False
        self._section_starts: list[str] = []
        self._sections_ended = 0

    def read(self) -> ParsedDocument:
        root = self._source.xml(self._main)
        body = root.find(f"{W}body")
        if body is None:
            raise UnparsableError("PARSE_FAILED", "the Word document is damaged: it has no body")
        self._has_pages = _has_page_breaks(body)
        self._section_starts = [_section_start(section) for section in body.iter(f"{W}sectPr")]
        self._writer.page = 1 if self._has_pages else 0
        self._blocks(body)
        self._end_list()
        self._margins(body)
        if self._has_hidden:
            self._writer.warnings.append("hidden text was left out")
        parsed = self._writer.finish(self._title())
        is_laid_out = next(body.iter(f"{W}lastRenderedPageBreak"), None) is not None
        return parsed if is_laid_out else _without_guessed_pages(parsed)

    def _optional(self, kind: str) -> Any | None:
        for name, target in self._relations.values():
            if name == kind and target in self._source:
                return self._source.xml(target)
        return None

    def _title(self) -> str:
        if "docProps/core.xml" not in self._source:
            return ""
        found = self._source.xml("docProps/core.xml").find(f".//{_DC_TITLE}")
        return one_line(found.text or "") if found is not None else ""

    def _blocks(self, parent: Any) -> None:
        for child in _block_children(parent):
            if child.tag == W + "p":
                self._paragraph(child)
            elif child.tag == W + "tbl":
                self._table(child)
            elif child.tag == W + "sectPr":
                self._section_end()

    def _paragraph(self, paragraph: Any) -> None:
        properties = paragraph.find(f"{W}pPr")
        if self._has_pages and properties is not None and _is_on(properties, "pageBreakBefore"):
            self._break_page(is_rendered=False)
        inline = _Inline()
        self._inline(paragraph, inline)
        text = inline.text
        if text:
            # Breaks inside the paragraph count for what follows: it starts where its text does.
            after, self._writer.page = self._writer.page, max(inline.page, 0)
            self._write(properties, text)
            self._writer.page = after
        for box in inline.boxes:
            self._end_list()
            self._nested(box)
        for kind, note in inline.notes:
            self._write_note(kind, note)
        section = properties.find(f"{W}sectPr") if properties is not None else None
        if section is not None:
            self._section_end()

    def _write(self, properties: Any | None, text: str) -> None:
        style = self._styles.of(properties)
        label = self._numbering.label(properties, style)
        if style.heading_depth is not None:
            self._end_list()
            self._writer.heading(style.heading_depth, f"{label} {text}" if label else text)
        elif label is not None:
            indent = "  " * min(style.indent or style.list_level, 8)
            self._open_list.append(f"{indent}{label or '-'} {text}".replace("\n", f"\n{indent}  "))
        else:
            self._end_list()
            if style.is_code:
                self._writer.code(text)
            elif style.is_quote:
                self._writer.quote(text)
            else:
                self._writer.paragraph(text)

    def _end_list(self) -> None:
        if self._open_list:
            lines, self._open_list = self._open_list, []
            self._writer.items(lines)

    def _inline(self, parent: Any, into: _Inline) -> None:  # noqa: C901, PLR0912 - a branch per element
        for child in parent:
            tag = child.tag
            if tag == W + "t" or tag == _M + "t":
                if child.text:
                    into.parts.append(child.text)
                    if into.page < 0 and child.text.strip():
                        into.page = self._writer.page
                    if self._page_is_new and child.text.strip():
                        self._page_is_new = False
            elif tag in _SKIPPED:
                continue
            elif tag == W + "r" and _is_hidden(child):
                self._has_hidden = True
            elif tag == W + "br":
                if child.get(W + "type") == "page":
                    self._break_page(is_rendered=False)
                into.parts.append("\n")
            elif tag == W + "lastRenderedPageBreak":
                self._break_page(is_rendered=True)
            elif tag in _CHARACTERS:
                into.parts.append(_CHARACTERS[tag])
            elif tag == W + "txbxContent":
                into.boxes.append(child)
            elif tag == W + "footnoteReference" or tag == W + "endnoteReference":
                self._refer(tag.removeprefix(W).removesuffix("Reference"), child, into)
            elif tag == _MC + "AlternateContent":
                chosen = child.find(f"{_MC}Choice")
                chosen = chosen if chosen is not None else child.find(f"{_MC}Fallback")
                if chosen is not None:
                    self._descend(chosen, into)
            elif len(child):
                self._descend(child, into)

    def _descend(self, element: Any, into: _Inline) -> None:
        self._depth += 1
        if self._depth <= _MAX_DEPTH:
            self._inline(element, into)
        self._depth -= 1

    def _nested(self, box: Any) -> None:
        self._depth += 1
        if self._depth <= _MAX_DEPTH:
            self._blocks(box)
        self._depth -= 1
        self._end_list()

    def _refer(self, kind: str, reference: Any, into: _Inline) -> None:
        key = (kind, reference.get(W + "id") or "")
        if key[1] not in self._notes[kind]:
            return
        number = self._note_numbers.setdefault(key, len(self._note_numbers) + 1)
        into.parts.append(f"[{number}]")
        into.notes.append(key)

    def _write_note(self, kind: str, note: str) -> None:
        text = self._text_of(self._notes[kind][note])
        if text:
            self._end_list()
            self._writer.paragraph(f"[{self._note_numbers[kind, note]}] {text}")

    def _text_of(self, element: Any) -> str:
        """Returns the paragraphs of an element as one text, without its text boxes and notes."""
        texts = []
        for paragraph in element.iter(f"{W}p"):
            inline = _Inline()
            self._inline(paragraph, inline)
            if inline.text:
                texts.append(inline.text)
        return "\n".join(texts)

    def _break_page(self, *, is_rendered: bool) -> None:
        if not self._has_pages or (is_rendered and self._page_is_new):
            self._page_is_new = False
            return
        self._writer.page += 1
        self._page_is_new = not is_rendered

    def _section_end(self) -> None:
        # How the next section begins is said in its own properties, which stand at its end.
        self._sections_ended += 1
        if not self._has_pages or self._sections_ended >= len(self._section_starts):
            return
        kind = self._section_starts[self._sections_ended]
        if kind in {"continuous", "nextColumn"}:
            return
        self._break_page(is_rendered=False)
        wanted = {"oddPage": 1, "evenPage": 0}.get(kind)
        if wanted is not None and self._writer.page % 2 != wanted:
            self._writer.page += 1

    def _table(self, table: Any) -> None:
        self._end_list()
        rows = [list(_cells(row)) for row in _rows(table)]
        if not rows:
            return
        if self._is_layout(rows):
            for row in rows:
                for cell in row:
                    if cell.element is not None and not cell.is_continued:
                        self._nested(cell.element)
            return
        page = self._writer.page
        grid = _filled([[self._cell_text(cell) for cell in row] for row in rows], rows)
        after, self._writer.page = self._writer.page, page
        self._writer.table(grid, has_header=True)
        self._writer.page = after

    def _is_layout(self, rows: list[list[_Cell]]) -> bool:
        """Whether the cells are parts of a page: one column, or long texts."""
        if max(map(len, rows)) == 1:
            return True
        return any(
            cell.element is not None
            and len(cell.element.findall(f"{W}p")) > 1
            and sum(len(text.text or "") for text in cell.element.iter(f"{W}t"))
            > _LONG_CELL_CHARACTERS
            for row in rows
            for cell in row
        )

    def _cell_text(self, cell: _Cell) -> str:
        if cell.element is None or cell.is_continued:
            return ""
        parts = []
        for child in _block_children(cell.element):
            if child.tag == W + "p":
                inline = _Inline()
                self._inline(child, inline)
                parts.append(inline.text)
                parts.extend(self._text_of(box) for box in inline.boxes)
                parts.extend(
                    f"[{self._note_numbers[key]}] {self._text_of(self._notes[key[0]][key[1]])}"
                    for key in inline.notes
                )
            elif child.tag == W + "tbl" and self._depth < _MAX_DEPTH:
                self._depth += 1
                inner = [[self._cell_text(each) for each in _cells(row)] for row in _rows(child)]
                self._depth -= 1
                parts.append("; ".join(", ".join(filter(None, row)) for row in inner if any(row)))
        return " ".join(filter(None, parts))

    def _margins(self, body: Any) -> None:
        """Writes what stands in headers and footers, each text once, behind everything else."""
        self._writer.leave_sections(0)
        self._writer.page = 0
        self._has_pages = False
        wanted = [
            reference.get(_R + "id")
            for reference in body.iter(f"{W}headerReference", f"{W}footerReference")
        ]
        seen: set[str] = set()
        for identifier in dict.fromkeys(wanted):
            _, target = self._relations.get(identifier or "", ("", ""))
            if target not in self._source:
                continue
            text = self._text_of(self._source.xml(posixpath.normpath(target)))
            if any(char.isalpha() for char in text) and text not in seen:
                seen.add(text)
                self._writer.paragraph(text)


@dataclass(frozen=True, slots=True)
class _Cell:
    element: Any | None
    is_continued: bool = False
    """Its text stands in the cell above."""


def _is_hidden(run: Any) -> bool:
    properties = run.find(f"{W}rPr")
    return properties is not None and _is_on(properties, "vanish")


def _block_children(parent: Any) -> Iterator[Any]:
    """Yields paragraphs and tables, also those inside content controls and insertions."""
    for child in parent:
        tag = child.tag
        if tag in {W + "p", W + "tbl", W + "sectPr"}:
            yield child
        elif tag == W + "sdt":
            content = child.find(f"{W}sdtContent")
            if content is not None:
                yield from _block_children(content)
        elif tag in {W + "customXml", W + "ins", W + "moveTo", W + "smartTag"}:
            yield from _block_children(child)
        elif tag == _MC + "AlternateContent":
            chosen = child.find(f"{_MC}Choice")
            if chosen is not None:
                yield from _block_children(chosen)


def _rows(table: Any) -> Iterator[Any]:
    for child in table:
        if child.tag == W + "tr":
            properties = child.find(f"{W}trPr")
            if properties is None or properties.find(f"{W}del") is None:
                yield child
        elif child.tag in {W + "sdt", W + "customXml", W + "ins", W + "sdtContent"}:
            yield from _rows(child)


def _cells(row: Any) -> Iterator[_Cell]:
    """Yields the cells of a row in their columns: cells that are left out or spanned are empty."""
    properties = row.find(f"{W}trPr")
    before = _number(properties.find(f"{W}gridBefore"), 0) if properties is not None else 0
    for _ in range(min(before, 64)):
        yield _Cell(None)
    for cell in row.iter(f"{W}tc"):
        if _own_row(cell) is not row:
            continue
        own = cell.find(f"{W}tcPr")
        span = _number(own.find(f"{W}gridSpan"), 1) if own is not None else 1
        merge = own.find(f"{W}vMerge") if own is not None else None
        is_continued = merge is not None and merge.get(W + "val", "continue") == "continue"
        yield _Cell(cell, is_continued)
        for _ in range(min(span, 64) - 1):
            yield _Cell(None)


def _own_row(cell: Any) -> Any:
    parent = cell.getparent()
    while parent is not None and parent.tag != W + "tr":
        parent = parent.getparent()
    return parent


def _filled(texts: list[list[str]], rows: list[list[_Cell]]) -> list[list[str]]:
    """Repeats the text of cells that reach over several rows, so that each row says all."""
    for number in range(1, len(rows)):
        above = texts[number - 1]
        for column, cell in enumerate(rows[number]):
            if cell.is_continued and column < len(above):
                texts[number][column] = above[column]
    return texts


def _number(element: Any | None, default: int) -> int:
    value = element.get(W + "val") if element is not None else None
    return int(value) if value and value.isdigit() else default


def _is_on(properties: Any, name: str) -> bool:
    found = properties.find(W + name)
    return found is not None and found.get(W + "val", "true") not in {"0", "false", "off"}


def _notes_of(root: Any | None, tag: str) -> dict[str, Any]:
    if root is None:
        return {}
    return {
        note.get(W + "id") or "": note for note in root.iter(tag) if note.get(W + "type") is None
    }


def _section_start(section: Any) -> str:
    kind = section.find(f"{W}type")
    return (kind.get(W + "val") or "") if kind is not None else ""


def _has_page_breaks(body: Any) -> bool:
    for element in body.iter(f"{W}lastRenderedPageBreak", f"{W}br", f"{W}pageBreakBefore"):
        if element.tag == W + "lastRenderedPageBreak" or element.get(W + "type") == "page":
            return True
        is_before = element.tag == W + "pageBreakBefore"
        if is_before and element.get(W + "val", "true") not in {"0", "false", "off"}:
            return True
    return False


def _without_guessed_pages(parsed: ParsedDocument) -> ParsedDocument:
    """Takes page numbers back when more stands between two hard breaks than fits on a page.

    Word notes where its pages ended; files by other programs have hard breaks only.
    """
    sizes: Counter[int] = Counter()
    for block in parsed.blocks:
        sizes[block.page] += block.end - block.start
    sizes.pop(0, None)
    if not sizes or max(sizes.values()) <= _PAGE_CHARACTERS:
        return parsed
    return replace(parsed, blocks=tuple(replace(block, page=0) for block in parsed.blocks))
