"""CSV and TSV: rows as a table; the delimiter is found in the text."""

from __future__ import annotations

import csv
import io
import re

from services.ingestion.parsers.decoding import clean, decode
from services.ingestion.parsers.parsed import ParsedDocument, UnparsableError
from services.ingestion.parsers.writer import DocumentWriter

_DELIMITERS = ",;\t|"
_SAMPLE_CHARACTERS = 32_768
_SAMPLE_ROWS = 50
_NUMBER = re.compile(r"\s*[-+(]?[$€£¥]?\s*\d[\d.,\s]*[)%]?\s*\Z")
_SEPARATOR_LINE = re.compile(r"sep=(.)\n", re.IGNORECASE)
_MAX_ROWS = 2_000_000


def parse(data: bytes) -> ParsedDocument:
    """Returns the rows, cells divided by `" | "`.

    Raises:
        UnparsableError: there are none.
    """
    text, warnings = decode(data)
    text = clean(text)
    delimiter = ""
    if found := _SEPARATOR_LINE.match(text):
        delimiter, text = found[1], text[found.end() :]
    delimiter = delimiter or _delimiter_of(text)
    writer = DocumentWriter()
    writer.warnings.extend(warnings)
    rows = _rows(text, delimiter)
    start = 0
    # A title above the table: one filled cell in a row that others fill further.
    while start < min(3, len(rows) - 1) and sum(map(bool, rows[start])) == 1 < len(rows[start + 1]):
        writer.paragraph(next(filter(None, rows[start])))
        start += 1
    table = rows[start:]
    if table:
        writer.table(table, has_header=_is_header(table[0]))
    return writer.finish()


def _rows(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(max(len(text), 1 << 17))
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            cells = [cell.strip() for cell in row]
            if any(cells):
                rows.append(cells)
            if len(rows) > _MAX_ROWS:
                raise UnparsableError("TOO_LARGE", f"the table has over {_MAX_ROWS} rows; split it")
    except csv.Error as error:
        raise UnparsableError("PARSE_FAILED", f"the table cannot be read: {error}") from error
    return rows


def _delimiter_of(text: str) -> str:
    """Returns the character that divides the most rows into equally many cells."""
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > _SAMPLE_CHARACTERS and "\n" in sample:
        sample = sample[: sample.rindex("\n")]
    best, best_score = ",", 0.0
    for delimiter in _DELIMITERS:
        if delimiter not in sample:
            continue
        widths = []
        reader = csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
        try:
            for row in reader:
                if row:
                    widths.append(len(row))
                if len(widths) == _SAMPLE_ROWS:
                    break
        except csv.Error:
            continue
        usual = max(set(widths), key=lambda width: (widths.count(width), width), default=1)
        if usual < 2:
            continue
        # Agreement counts first, then that many cells agree.
        score = widths.count(usual) / len(widths) + min(usual, 50) / 1000
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _is_header(row: list[str]) -> bool:
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and not any(_NUMBER.match(cell) for cell in filled)
