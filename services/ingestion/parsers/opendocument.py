"""OpenDocument texts, spreadsheets and presentations: headings, lists, tables, notes, slides."""

from __future__ import annotations

from typing import Any

from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter, one_line
from services.ingestion.parsers.zip_source import ZipSource

_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
_FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_NO_TEXT = frozenset(
    {
        f"{_OFFICE}annotation",
        f"{_OFFICE}annotation-end",
        f"{_TEXT}tracked-changes",
        f"{_TEXT}sequence-decls",
        f"{_TEXT}variable-decls",
        f"{_TEXT}ruby-text",
        f"{_TEXT}note-citation",
    }
)
_MAX_REPEATED = 100
"""Repeated cells with text beyond this are a format, not figures."""
_MAX_COLUMNS = 2000
_MAX_DEPTH = 100


def parse(data: bytes) -> ParsedDocument:
    """Returns the text of the body in order, notes behind the paragraph that refers to them.

    Raises:
        UnparsableError: it is encrypted, damaged or has no text.
    """
    source = ZipSource(data)
    if "META-INF/manifest.xml" in source and b"encryption-data" in source.read(
        "META-INF/manifest.xml"
    ):
        raise UnparsableError("ENCRYPTED", "the file is protected by a password; submit it without")
    return _Reader(source).read()


class _Reader:
    def __init__(self, source: ZipSource) -> None:
        self._source = source
        self._writer = DocumentWriter()
        self._notes: list[str] = []
        self._note_count = 0
        self._breaks: set[str] = set()
        self._depth = 0

    def read(self) -> ParsedDocument:
        root = self._source.xml("content.xml")
        body = root.find(f"{_OFFICE}body")
        if body is None or not len(body):
            raise UnparsableError("PARSE_FAILED", "the file is damaged: it has no body")
        self._breaks = {
            style.get(_STYLE + "name") or ""
            for style in root.iter(f"{_STYLE}style")
            for properties in style.iter(f"{_STYLE}paragraph-properties")
            if properties.get(_FO + "break-before") == "page"
        }
        breaks = f"{_TEXT}soft-page-break"
        is_paged = bool(self._breaks) or next(body.iter(breaks), None) is not None
        content = body[0]
        self._writer.page = 1 if is_paged and content.tag == _OFFICE + "text" else 0
        self._blocks(content)
        self._margins()
        return self._writer.finish(self._title())

    def _title(self) -> str:
        if "meta.xml" not in self._source:
            return ""
        found = self._source.xml("meta.xml").find(f".//{_DC_TITLE}")
        return one_line(found.text or "") if found is not None else ""

    def _blocks(self, parent: Any) -> None:  # noqa: C901 - a branch per element
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._depth -= 1
            return
        for child in parent:
            tag = child.tag
            if not isinstance(tag, str) or tag in _NO_TEXT:
                continue
            if tag == _TEXT + "h":
                self._heading(child)
            elif tag == _TEXT + "p":
                self._paragraph(child)
            elif tag == _TEXT + "list":
                self._writer.items(self._items(child, 0))
                self._write_notes()
            elif tag == _TABLE + "table":
                self._table(child)
            elif tag == _DRAW + "page":
                self._slide(child)
            elif tag == _PRESENTATION + "notes":
                self._slide_notes(child)
            elif tag == _TEXT + "soft-page-break":
                self._turn_page()
            elif tag not in {_OFFICE + "forms", _TEXT + "table-of-content-source"}:
                self._blocks(child)
        self._depth -= 1

    def _turn_page(self) -> None:
        if self._writer.page:
            self._writer.page += 1

    def _heading(self, element: Any) -> None:
        self._page_before(element)
        level = element.get(_TEXT + "outline-level") or "1"
        self._writer.heading(int(level) if level.isdigit() else 1, self._inline(element))
        self._after(element)

    def _paragraph(self, element: Any) -> None:
        self._page_before(element)
        style = element.get(_TEXT + "style-name") or ""
        page = self._writer.page
        text = self._inline(element)
        after, self._writer.page = self._writer.page, page
        if style == "Title":
            self._writer.heading(0, text)
        elif "Preformatted" in style:
            self._writer.code(text)
        elif style in {"Quotations", "Quote"}:
            self._writer.quote(text)
        else:
            self._writer.paragraph(text)
        self._writer.page = after
        self._after(element)

    def _page_before(self, element: Any) -> None:
        if element.get(_TEXT + "style-name") in self._breaks and self._writer.length:
            self._turn_page()

    def _after(self, element: Any) -> None:
        self._write_notes()
        for frame in element.iter(f"{_DRAW}text-box"):
            self._blocks(frame)

    def _write_notes(self) -> None:
        notes, self._notes = self._notes, []
        for note in notes:
            self._writer.paragraph(note)

    def _inline(self, element: Any) -> str:
        parts: list[str] = []
        self._gather(element, parts, 0)
        return "\n".join(" ".join(line.split()) for line in "".join(parts).split("\n")).strip()

    def _gather(self, element: Any, parts: list[str], depth: int) -> None:
        if depth > _MAX_DEPTH:
            return
        parts.append((element.text or "").replace("\n", " "))
        for child in element:
            tag = child.tag
            if tag == _TEXT + "line-break":
                parts.append("\n")
            elif tag in {_TEXT + "tab", _TEXT + "s"}:
                parts.append(" ")
            elif tag == _TEXT + "soft-page-break":
                self._turn_page()
            elif tag == _TEXT + "note":
                self._note(child, parts)
            elif isinstance(tag, str) and tag not in _NO_TEXT and tag != _DRAW + "text-box":
                self._gather(child, parts, depth + 1)
            parts.append((child.tail or "").replace("\n", " "))

    def _note(self, note: Any, parts: list[str]) -> None:
        body = note.find(f"{_TEXT}note-body")
        if body is None:
            return
        self._note_count += 1
        parts.append(f"[{self._note_count}]")
        texts = (self._inline(paragraph) for paragraph in body.iter(f"{_TEXT}p"))
        self._notes.append(f"[{self._note_count}] {' '.join(filter(None, texts))}")

    def _items(self, element: Any, level: int) -> list[str]:
        lines: list[str] = []
        indent = "  " * min(level, 8)
        for item in element:
            if item.tag not in {_TEXT + "list-item", _TEXT + "list-header"}:
                continue
            label = "- "
            for child in item:
                if child.tag in {_TEXT + "p", _TEXT + "h"}:
                    text = self._inline(child)
                    if text:
                        lines.append(f"{indent}{label}{text}".replace("\n", f"\n{indent}  "))
                        label = "  "
                elif child.tag == _TEXT + "list" and level < _MAX_DEPTH:
                    lines.extend(self._items(child, level + 1))
        return lines

    def _table(self, table: Any) -> None:
        if table.get(_TABLE + "display") == "false":
            return
        is_sheet = table.getparent().tag == _OFFICE + "spreadsheet"
        if is_sheet:
            self._writer.leave_sections(0)
        rows: list[list[str]] = []
        for row in table.iter(f"{_TABLE}table-row"):
            if _owner(row) is table:
                rows.append(self._row(row, rows[-1] if rows else []))
        if not any(any(row) for row in rows):
            return
        if is_sheet:
            self._writer.heading(1, table.get(_TABLE + "name") or "")
        used = sorted({place for row in rows for place, cell in enumerate(row) if cell})
        filled = [[row[place] if place < len(row) else "" for place in used] for row in rows]
        if len(used) == 1:
            for (cell,) in filled:
                self._writer.paragraph(cell)
        else:
            self._writer.table(filled, has_header=True)
        self._write_notes()

    def _row(self, row: Any, above: list[str]) -> list[str]:
        cells: list[str] = []
        for cell in row:
            if cell.tag not in {_TABLE + "table-cell", _TABLE + "covered-table-cell"}:
                continue
            repeated = cell.get(_TABLE + "number-columns-repeated") or "1"
            times = int(repeated) if repeated.isdigit() else 1
            text = self._cell(cell)
            if cell.tag == _TABLE + "covered-table-cell" and not text:
                # Covered from above or from the left: only the former repeats.
                place = len(cells)
                spanned = place < len(above) and bool(above[place]) and not (cells and cells[-1])
                text = above[place] if spanned and place == 0 else ""
            times = min(times, _MAX_REPEATED if text else _MAX_COLUMNS)
            cells.extend([text] * min(times, max(0, _MAX_COLUMNS - len(cells))))
        while cells and not cells[-1]:
            cells.pop()
        return cells

    def _cell(self, cell: Any) -> str:
        parts = []
        for child in cell:
            if child.tag in {_TEXT + "p", _TEXT + "h"}:
                parts.append(self._inline(child))
            elif child.tag == _TEXT + "list":
                parts.extend(line.strip() for line in self._items(child, 0))
            elif child.tag == _TABLE + "table":
                inner = (
                    ", ".join(filter(None, self._row(row, [])))
                    for row in child.iter(f"{_TABLE}table-row")
                )
                parts.append("; ".join(filter(None, inner)))
        return " ".join(filter(None, parts))

    def _slide(self, page: Any) -> None:
        self._writer.leave_sections(0)
        self._writer.page += 1
        for frame in page.iter(f"{_DRAW}frame"):
            if frame.get(_PRESENTATION + "class") == "title":
                texts = (self._inline(each) for each in frame.iter(f"{_TEXT}p"))
                self._writer.heading(1, " ".join(filter(None, texts)))
                for box in list(frame):
                    frame.remove(box)
        self._blocks(page)

    def _slide_notes(self, notes: Any) -> None:
        texts = [self._inline(each) for each in notes.iter(f"{_TEXT}p")]
        if text := "\n".join(filter(None, texts)):
            self._writer.paragraph(f"Notes: {text}")

    def _margins(self) -> None:
        """Writes headers and footers, each text once, behind everything else."""
        if "styles.xml" not in self._source:
            return
        self._writer.leave_sections(0)
        self._writer.page = 0
        seen: set[str] = set()
        styles = self._source.xml("styles.xml")
        for margin in styles.iter(f"{_STYLE}header", f"{_STYLE}footer"):
            lines = [self._inline(paragraph) for paragraph in margin.iter(f"{_TEXT}p")]
            text = "\n".join(filter(None, lines))
            if any(char.isalpha() for char in text) and text not in seen:
                seen.add(text)
                self._writer.paragraph(text)


def _owner(row: Any) -> Any:
    parent = row.getparent()
    while parent is not None and parent.tag != _TABLE + "table":
        parent = parent.getparent()
    return parent
