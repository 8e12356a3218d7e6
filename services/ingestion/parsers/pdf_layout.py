"""From runs of words on a page to lines and tables in the order a reader takes them."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from services.ingestion.parsers.pdf_words import Run

_MIN_COLUMN_LINES = 3
_MIN_COLUMN_SHARE = 0.17
"""A column of text is at least so much of its page's text wide."""
_FULL_LINE = 0.65
"""A line that fills so much of its column is running text."""
_FULL_SHARE = 0.35
_FLOWING_SHARE = 0.6
_BESIDE_SHARE = 0.5
_MAX_DEPTH = 6


@dataclass(frozen=True, slots=True)
class Line:
    """Runs that stand on one line of a column, from left to right."""

    runs: tuple[Run, ...]

    @property
    def left(self) -> float:
        """Where it begins."""
        return self.runs[0].left

    @property
    def right(self) -> float:
        """Where it ends."""
        return max(run.right for run in self.runs)

    @property
    def top(self) -> float:
        """Its upper edge."""
        return min(run.top for run in self.runs)

    @property
    def bottom(self) -> float:
        """Its lower edge."""
        return max(run.bottom for run in self.runs)

    @property
    def middle(self) -> float:
        """Where its middle is, from the top."""
        return (self.top + self.bottom) / 2

    @property
    def height(self) -> float:
        """Height of its letters: of most of them."""
        return max(self.runs, key=lambda run: len(run.text)).height

    @property
    def text(self) -> str:
        """Its words."""
        return " ".join(run.text for run in self.runs)

    @property
    def is_bold(self) -> bool:
        """Whether all of it is bold."""
        return all(run.is_bold for run in self.runs)


def columns_of(runs: Sequence[Run]) -> list[list[Line]]:
    """Returns the columns of a page in reading order, each with its lines from top to bottom.

    What stands over the whole width divides the columns above it from those below.
    """
    upright = [run for run in runs if run.is_upright]
    turned = [run for run in runs if not run.is_upright]
    columns = [_lines(part) for part in _ordered(upright, 0)]
    columns.extend([Line((run,))] for run in turned)
    return columns


def _ordered(runs: list[Run], depth: int) -> list[list[Run]]:
    if len(runs) < 2 * _MIN_COLUMN_LINES or depth > _MAX_DEPTH:
        return [runs] if runs else []
    gutter = _gutter(runs)
    if gutter is None:
        return [runs]
    crossing = [run for run in runs if _crosses(run, gutter)]
    bounds = [float("-inf"), *sorted(run.middle for run in crossing), float("inf")]
    parts: list[list[Run]] = []
    spanning: list[Run] = []

    def add_spanning() -> None:
        if spanning:
            parts.append(list(spanning))
            spanning.clear()

    crossing.sort(key=lambda run: run.middle)
    sides = [run for run in runs if not _crosses(run, gutter)]
    for place, upper in enumerate(bounds[:-1]):
        lower = bounds[place + 1]
        band = [run for run in sides if upper <= run.middle < lower]
        left = [run for run in band if run.left + run.right <= 2 * gutter]
        right = [run for run in band if run.left + run.right > 2 * gutter]
        if left and right and len(_lines(band)) == 1:
            # A line that happens to have a gap where the gutter is.
            spanning.extend(band)
        elif band:
            add_spanning()
            parts.extend(_ordered(left, depth + 1))
            parts.extend(_ordered(right, depth + 1))
        if place < len(crossing):
            spanning.append(crossing[place])
    add_spanning()
    return parts


def _crosses(run: Run, gutter: float) -> bool:
    """Whether a run belongs to both sides: a line that is a little too long belongs to one."""
    return run.left < gutter - run.height and run.right > gutter + run.height


def _gutter(runs: Sequence[Run]) -> float | None:
    """Returns where two columns of running text part; None: there is one column, or a table."""
    left_edge, right_edge = min(run.left for run in runs), max(run.right for run in runs)
    width = right_edge - left_edge
    if width <= 0:
        return None
    best, best_score = None, 0.0
    for candidate in _candidates(runs, left_edge + 0.12 * width, right_edge - 0.12 * width):
        crossed = [_crosses(run, candidate) for run in runs]
        left = [
            run
            for run, crosses in zip(runs, crossed, strict=True)
            if not crosses and run.left + run.right <= 2 * candidate
        ]
        right = [
            run
            for run, crosses in zip(runs, crossed, strict=True)
            if not crosses and run.left + run.right > 2 * candidate
        ]
        if min(len(left), len(right)) < _MIN_COLUMN_LINES:
            continue
        crossing = len(runs) - len(left) - len(right)
        if crossing > min(len(left), len(right)):
            continue
        if not _are_columns(left, right, width):
            continue
        score = min(len(left), len(right)) / (1 + crossing)
        if score > best_score:
            best, best_score = candidate, score
    return best


def _candidates(runs: Sequence[Run], low: float, high: float) -> list[float]:
    """Returns middles of the gaps between where runs end and where others begin."""
    edges = sorted({round(run.left, 1) for run in runs if low < run.left < high})
    lefts = sorted(run.left for run in runs)
    kept: list[float] = []
    for edge in edges:
        starts = _count_near(lefts, edge, 2.0)
        if starts >= _MIN_COLUMN_LINES and (not kept or edge - kept[-1] > 2):
            kept.append(edge)
    return [edge - 1.0 for edge in kept[:60]]


def _are_columns(left: Sequence[Run], right: Sequence[Run], page_width: float) -> bool:
    """Whether two sides are read one after the other, and not line by line as tables are."""
    lines = _lines(left), _lines(right)
    if min(map(len, lines)) < _MIN_COLUMN_LINES:
        return False
    is_text = [_is_text(side, page_width) for side in (left, right)]
    if all(is_text):
        return True
    # A margin beside the text: its lines do not stand on the text's lines, as cells would.
    shorter, longer = sorted(lines, key=len)
    middles = sorted(line.middle for line in longer)
    beside = sum(_count_near(middles, line.middle, 0.12 * line.height) > 0 for line in shorter)
    return any(is_text) and beside < _BESIDE_SHARE * len(shorter)


def _count_near(places: Sequence[float], place: float, reach: float) -> int:
    """Returns how many of the sorted places are within reach of one."""
    return bisect.bisect_left(places, place + reach) - bisect.bisect_right(places, place - reach)


def _is_text(runs: Sequence[Run], page_width: float) -> bool:
    """Whether most of a side is running text: runs of several words, as wide as the side."""
    width = max(run.right for run in runs) - min(run.left for run in runs)
    if width < _MIN_COLUMN_SHARE * page_width:
        return False
    total = sum(len(run.text) for run in runs)
    flowing = sum(len(run.text) for run in runs if _is_flowing(run.text))
    wide = sum(len(run.text) for run in runs if run.width >= _FULL_LINE * width)
    return flowing >= _FLOWING_SHARE * total and wide >= _FULL_SHARE * total


def _is_flowing(text: str) -> bool:
    if text.count(" ") >= 3:
        return True
    return len(text) >= 12 and any(ord(char) > 0x2E80 for char in text)


def _lines(runs: Sequence[Run]) -> list[Line]:
    """Groups runs that stand side by side, and sorts the lines downwards."""
    lines: list[list[Run]] = []
    for run in sorted(runs, key=lambda each: each.middle):
        for line in reversed(lines[-3:]):
            if _is_beside(run, line):
                line.append(run)
                break
        else:
            lines.append([run])
    return [Line(tuple(sorted(line, key=lambda run: run.left))) for line in lines]


def _is_beside(run: Run, line: Sequence[Run]) -> bool:
    other = line[0]
    overlap = min(run.bottom, other.bottom) - max(run.top, other.top)
    smaller = min(run.bottom - run.top, other.bottom - other.top)
    return overlap > 0.5 * max(smaller, 0.1) and abs(run.middle - other.middle) < 0.6 * max(
        run.height, other.height
    )


def table_at(lines: Sequence[Line], start: int) -> int:
    """Returns where the table that begins at a line ends; `start`: none begins there.

    A table is two or more lines one after the other with cells that stand below each other.
    """
    end = start
    while end < len(lines):
        line = lines[end]
        if len(line.runs) < 2:
            # A line of one cell goes on with what is above it, when it stands below a later cell.
            is_inner = (
                end > start + 1
                and end + 1 < len(lines)
                and len(lines[end + 1].runs) > 1
                and _is_near(lines[end - 1], line)
                and _is_near(line, lines[end + 1])
                and _fits(line, lines[end - 1])
            )
            if not is_inner:
                break
        elif end > start and not _is_near(lines[end - 1], line):
            break
        end += 1
    rows = lines[start:end]
    if len(rows) < 2 or not _is_aligned(rows):
        return start
    return end


def _is_near(above: Line, below: Line) -> bool:
    return below.top - above.bottom < 2.2 * max(above.height, below.height)


def _fits(line: Line, above: Line) -> bool:
    return any(min(line.right, run.right) > max(line.left, run.left) for run in above.runs)


def _is_aligned(rows: Sequence[Line]) -> bool:
    """Whether cells of neighbouring rows share an edge or a middle."""
    shared = 0
    pairs = 0
    for above, below in itertools.pairwise(rows):
        if len(above.runs) < 2 or len(below.runs) < 2:
            continue
        pairs += 1
        hits = 0
        for run in below.runs[1:]:
            near = 0.6 * run.height
            if any(
                abs(run.left - other.left) < near
                or abs(run.right - other.right) < near
                or abs(run.left + run.right - other.left - other.right) < 2 * near
                for other in above.runs[1:]
            ):
                hits += 1
        shared += hits > 0
    return pairs > 0 and shared >= 0.6 * pairs


def cells_of(rows: Sequence[Line]) -> list[list[str]]:
    """Returns the cells of a table, each in its column."""
    columns: list[list[float]] = []
    most = max(len(row.runs) for row in rows)
    for row in rows:
        if len(row.runs) < most:
            continue
        for run in row.runs:
            _place(columns, run)
    columns.sort()
    table: list[list[str]] = []
    for row in rows:
        cells = [""] * len(columns)
        for run in row.runs:
            column = _nearest(columns, run)
            cells[column] = f"{cells[column]} {run.text}".strip()
        table.append(cells)
    return table


def _place(columns: list[list[float]], run: Run) -> None:
    """Widens the column that a cell stands in, or begins one."""
    for column in columns:
        if min(column[1], run.right) - max(column[0], run.left) > 0:
            column[0], column[1] = min(column[0], run.left), max(column[1], run.right)
            return
    columns.append([run.left, run.right])


def _nearest(columns: Sequence[Sequence[float]], run: Run) -> int:
    overlaps = [min(right, run.right) - max(left, run.left) for left, right in columns]
    return max(range(len(columns)), key=overlaps.__getitem__)
