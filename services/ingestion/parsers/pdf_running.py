"""Running headers and footers of PDF pages, and page numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from services.ingestion.parsers.pdf_layout import Line

Page = Sequence[Sequence[Line]]
"""Columns of lines, in reading order."""

SENTENCE_END = re.compile(r"[.!?:;。！？]['\"”’)\]]*\Z")
"""Where a sentence ends a line."""
_PAGE_NUMBER = re.compile(
    r"(?:page\s*)?[-–—\s]*\d{1,4}(?:\s*(?:of|/|von|de)\s*\d{1,4})?[-–—\s]*\Z", re.IGNORECASE
)
_NUMBER = re.compile(r"\d{1,9}")
_EDGE_LINES = 3
_MIN_REPEATED = 3


class RunningLines:
    """Knows the lines at the edges of many pages.

    Args:
        pages: Numbers and columns.
        heading_height: Lines of that height or more are headings.
    """

    def __init__(self, pages: Sequence[tuple[int, Page]], heading_height: float) -> None:
        self._heading_height = heading_height
        self._seen: set[str] = set()
        self._repeated: set[str] = set()
        if len(pages) < _MIN_REPEATED:
            return
        counts: Counter[str] = Counter()
        for number, columns in pages:
            counts.update(
                {look for line in _edge_lines(columns) for look in self._looks(line, number)}
            )
        wanted = max(_MIN_REPEATED, len(pages) // 4)
        self._repeated = {look for look, count in counts.items() if count >= wanted and look}

    def without(self, number: int, columns: Page) -> list[list[Line]]:
        """Returns a page's columns but page numbers, and but what an earlier page showed.

        Pages are to come in their order. One with nothing else keeps what looks like a running
        header: it is what the page says.
        """
        if not self._repeated:
            return [list(column) for column in columns]
        edges = set(map(id, _edge_lines(columns)))
        kept = [
            [line for line in column if id(line) not in edges or self._is_text(line, number)]
            for column in columns
        ]
        if any(kept):
            return kept
        return [
            [line for line in column if not _PAGE_NUMBER.match(line.text)] for column in columns
        ]

    def _is_text(self, line: Line, page: int) -> bool:
        shared = self._repeated.intersection(self._looks(line, page))
        if shared and (_PAGE_NUMBER.match(line.text) or shared & self._seen):
            return False
        self._seen |= shared
        return True

    def _looks(self, line: Line, page: int) -> list[str]:
        """Returns what a line may have in common with those of other pages.

        It is the same on all of them, or but for one number that goes with the pages'. Other
        numbers are what a page says: a total, a name. So is the number of a heading or in a
        sentence: a page may hold a chapter.
        """
        plain = " ".join(line.text.split())
        looks = [plain]
        if line.is_bold or line.height >= self._heading_height or SENTENCE_END.search(plain):
            return looks
        for found in _NUMBER.finditer(plain):
            distance = int(found[0]) - page
            looks.append(f"{plain[: found.start()]}#{distance}{plain[found.end() :]}")
        return looks


def _edge_lines(columns: Page) -> list[Line]:
    lines = sorted((line for column in columns for line in column), key=lambda line: line.top)
    return [*lines[:_EDGE_LINES], *lines[max(_EDGE_LINES, len(lines) - _EDGE_LINES) :]]
