"""Tables of web pages: cells that reach over columns and rows, and columns that hold only space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

_MAX_SPAN = 100
_MAX_SHARED = 4
"""A cell over more columns is a heading of rows rather than of a column."""
_BEFORE = frozenset({"$", "€", "£", "¥", "CHF", "(", "US$", "$("})
_AFTER = frozenset({")", "%", ")%", "%)"})
"""Parts of figures that stand in cells of their own, so that digits line up."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table."""

    text: str = ""
    columns: int = 1
    rows: int = 1
    is_header: bool = False

    def holding(self, text: str) -> Cell:
        """Returns the cell with its text."""
        return replace(self, text=text) if text or self != _EMPTY else _EMPTY


_EMPTY = Cell()


def cell_of(tag: str, columns: str | None, rows: str | None) -> Cell:
    """Returns the cell that a tag with these attributes begins."""
    return Cell("", _span(columns), _span(rows), tag == "th")


def filled(rows: Sequence[Sequence[Cell]]) -> list[list[str]]:
    """Returns the texts of a table, each in its column.

    A cell over several rows is repeated in each; columns that are always empty are left out.
    """
    grid: list[list[str]] = []
    shared: set[int] = set()
    pending: dict[int, tuple[int, str]] = {}
    for row in rows:
        line: list[str] = []
        for cell in row:
            _take_pending(line, pending)
            start = len(line)
            line.extend([cell.text, *[""] * (cell.columns - 1)])
            if cell.text and 1 < cell.columns <= _MAX_SHARED:
                shared.update(range(start, start + cell.columns - 1))
            if cell.rows > 1:
                for column in range(start, start + cell.columns):
                    text = cell.text if column == start else ""
                    pending[column] = (cell.rows - 1, text)
        _take_pending(line, pending)
        grid.append(line)
    return _without_gaps(_merged(_joined_figures(grid), shared))


def _take_pending(line: list[str], pending: dict[int, tuple[int, str]]) -> None:
    """Adds the cells that reach down from rows above to the place where the line stands."""
    while len(line) in pending:
        column = len(line)
        left, text = pending.pop(column)
        line.append(text)
        if left > 1:
            pending[column] = (left - 1, text)


def _without_gaps(grid: list[list[str]]) -> list[list[str]]:
    used = sorted({column for line in grid for column, text in enumerate(line) if text})
    if not grid or len(used) == max(map(len, grid)):
        return grid
    return [[line[column] if column < len(line) else "" for column in used] for line in grid]


def _merged(grid: list[list[str]], shared: set[int]) -> list[list[str]]:
    """Makes one of two columns that a heading spans together and that no row fills both of."""
    for column in sorted(shared, reverse=True):
        rows = [line for line in grid if column + 1 < len(line)]
        if any(line[column] and line[column + 1] for line in rows):
            continue
        for line in rows:
            line[column] = line[column] or line[column + 1]
            line[column + 1] = ""
    return grid


def _joined_figures(grid: list[list[str]]) -> list[list[str]]:
    """Joins currency signs, brackets and percent signs with the figures they belong to."""
    for line in grid:
        for column, text in enumerate(line):
            if text in _BEFORE and column + 1 < len(line) and line[column + 1]:
                space = " " if text == "CHF" else ""
                line[column + 1] = f"{text}{space}{line[column + 1]}"
                line[column] = ""
            elif text in _AFTER and column and line[column - 1]:
                line[column - 1] += text
                line[column] = ""
    return grid


def _span(text: str | None) -> int:
    text = (text or "").strip()
    return min(max(int(text), 1), _MAX_SPAN) if text.isdecimal() and len(text) < 6 else 1
