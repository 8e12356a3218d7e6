"""XLSX: each sheet a section, its rows as a table, numbers and dates as the sheet shows them."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from typing import Any

from services.ingestion.parsers.number_format import Formats
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter, one_line
from services.ingestion.parsers.xml_source import iterate_xml
from services.ingestion.parsers.zip_source import ZipSource, main_part, relations

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})\Z")
_NUMBER = re.compile(r"[-+(]?[\d.,\s]*\d[\d.,\s]*[)%]?\Z")
_MAX_COLUMNS = 16_384
"""As many as the format has."""
_MAX_CELLS = 2_000_000
"""Filled ones; also those of one table, the empty ones between them included."""
_MAX_MERGES = 20_000

Row = list[str]
Cells = dict[int, str]
"""The filled cells of a row, by their columns."""


def parse(data: bytes) -> ParsedDocument:
    """Returns the visible sheets in order.

    Raises:
        UnparsableError: it is damaged or has no cells.
    """
    return _Reader(ZipSource(data)).read()


class _Reader:
    def __init__(self, source: ZipSource) -> None:
        self._source = source
        self._writer = DocumentWriter()
        self._main = main_part(source, "xl/workbook.xml")
        self._relations = relations(source, self._main)
        self._workbook = source.xml(self._main)
        self._strings = list(self._shared_strings())
        properties = self._workbook.find(f"{_S}workbookPr")
        is_1904 = properties is not None and properties.get("date1904") in {"1", "true"}
        self._formats = Formats(self._first("styles"), is_1904=is_1904)
        self._cells = 0

    def read(self) -> ParsedDocument:
        hidden = []
        for sheet in self._workbook.iter(f"{_S}sheet"):
            name = sheet.get("name") or ""
            kind, part = self._relations.get(sheet.get(_R + "id") or "", ("", ""))
            if kind != "worksheet" or part not in self._source:
                continue
            if sheet.get("state") in {"hidden", "veryHidden"}:
                hidden.append(name)
                continue
            self._sheet(name, part)
        if hidden:
            self._writer.warnings.append(f"hidden sheets were left out: {len(hidden)}")
        parsed = self._writer.finish()
        if all(block.kind == "heading" for block in parsed.blocks):
            raise UnparsableError("EMPTY_TEXT", "the workbook has no cells with text or numbers")
        return parsed

    def _first(self, kind: str) -> Any | None:
        for name, target in self._relations.values():
            if name == kind and target in self._source:
                return self._source.xml(target)
        return None

    def _shared_strings(self) -> Iterator[str]:
        for name, target in self._relations.values():
            if name == "sharedStrings" and target in self._source:
                for item in iterate_xml(self._source.read(target), (f"{_S}si",)):
                    yield _string(item)

    def _sheet(self, name: str, part: str) -> None:
        rows: dict[int, Cells] = {}
        merges: list[str] = []
        last = 0
        data = self._source.read(part)
        for element in iterate_xml(data, (f"{_S}row", f"{_S}mergeCell")):
            if element.tag == _S + "mergeCell":
                if len(merges) < _MAX_MERGES:
                    merges.append(element.get("ref") or "")
                continue
            number = element.get("r")
            last = int(number) if number and number.isdigit() else last + 1
            row = self._row(element)
            if row:
                rows[last] = row
        if not rows:
            return
        _repeat_merged(rows, merges)
        self._writer.leave_sections(0)
        self._writer.heading(1, name)
        for table in _tables(rows):
            self._write(table)

    def _row(self, element: Any) -> Cells:
        row: Cells = {}
        following = 0
        for cell in element:
            if cell.tag != _S + "c":
                continue
            found = _REFERENCE.match(cell.get("r") or "")
            column = _column(found[1]) if found else following
            following = column + 1
            text = self._cell(cell) if column < _MAX_COLUMNS else ""
            if not text:
                continue
            self._cells += 1
            if self._cells > _MAX_CELLS:
                raise _too_large()
            row[column] = text
        return row

    def _cell(self, cell: Any) -> str:
        kind = cell.get("t") or "n"
        if kind == "inlineStr":
            inline = cell.find(f"{_S}is")
            return one_line(_string(inline)) if inline is not None else ""
        value = cell.findtext(f"{_S}v") or ""
        if not value:
            return ""
        if kind == "s":
            place = int(value) if value.isdigit() else -1
            return one_line(self._strings[place]) if 0 <= place < len(self._strings) else ""
        if kind == "b":
            return "TRUE" if value == "1" else "FALSE"
        if kind in {"str", "e", "d"}:
            return one_line(value)
        style = cell.get("s") or "0"
        return self._formats.shown(value, int(style) if style.isdigit() else 0)

    def _write(self, rows: Sequence[Row]) -> None:
        if len(rows) == 1 and sum(map(bool, rows[0])) == 1:
            # A line between tables: their title, or a note.
            self._writer.paragraph(next(filter(None, rows[0])))
            return
        self._writer.table(rows, has_header=_is_header(rows[0]))


def _string(item: Any) -> str:
    """Returns the text of a string with all its runs, without how it is pronounced."""
    parts = []
    for child in item:
        if child.tag == _S + "t":
            parts.append(child.text or "")
        elif child.tag == _S + "r":
            parts.extend(text.text or "" for text in child.iter(f"{_S}t"))
    return "".join(parts).replace("_x000D_", "\n")


def _column(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number - 1


def _repeat_merged(rows: dict[int, Cells], merges: Sequence[str]) -> None:
    """Repeats a cell that is merged over several rows in each, so that each row says all."""
    places = sorted(rows)
    left = _MAX_CELLS
    for reference in merges:
        first, _, last = reference.partition(":")
        top, bottom = _REFERENCE.match(first), _REFERENCE.match(last)
        if not top or not bottom:
            continue
        column, start = _column(top[1]), int(top[2])
        text = rows.get(start, {}).get(column)
        if not text:
            continue
        below = places[bisect.bisect(places, start) : bisect.bisect(places, int(bottom[2]))]
        left -= len(below)
        if left < 0:
            return
        for place in below:
            rows[place].setdefault(column, text)


def _tables(rows: dict[int, Cells]) -> Iterator[list[Row]]:
    """Yields runs of rows without an empty one between, without columns empty in all of them."""
    run: list[Cells] = []
    last = 0
    for place in sorted(rows):
        if run and place != last + 1:
            yield _table(run)
            run = []
        run.append(rows[place])
        last = place
    if run:
        yield _table(run)


def _table(rows: Sequence[Cells]) -> list[Row]:
    used = sorted(set().union(*rows))
    if len(rows) * len(used) > _MAX_CELLS:
        raise _too_large()
    return [[row.get(column, "") for column in used] for row in rows]


def _too_large() -> UnparsableError:
    return UnparsableError("TOO_LARGE", f"the workbook has over {_MAX_CELLS} cells; split it")


def _is_header(row: Row) -> bool:
    """Whether a row names columns: several cells, none of them a number."""
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and not any(_NUMBER.match(cell) for cell in filled)
