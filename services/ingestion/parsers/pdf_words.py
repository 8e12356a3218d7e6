"""The words of a PDF page with their places, as PDFium reads them."""

from __future__ import annotations

import ctypes
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pypdfium2

_MAX_CHARACTERS = 200_000
"""Characters of one page; more are hostile, or a map."""
_GAP = 1.0
"""White space between words that divides cells and columns, in heights of the text."""
_HYPHEN_MARKS = {0x02, 0xFFFE}
"""What PDFium puts for a hyphen at the end of a line."""
_SPACES = {0xA0, 0x2002, 0x2003, 0x2009, 0x3000}
_IGNORED = {0x00, 0xAD, 0xFEFF, 0xFFFF}
_BOLD = re.compile(r"bold|black|heavy|semibold|demi|medi(?!um?i)|cmbx|-b\b", re.IGNORECASE)
_IS_FORCED_BOLD = 1 << 18
FIRST_RIGHT_TO_LEFT = "\u0590"
HYPHEN = "\u00ad"
"""Ends a run whose last word goes on in the next line."""


@dataclass(frozen=True, slots=True)
class Run:
    """Words side by side on one line. Lengths are in points, `top` and `bottom` count downwards."""

    text: str
    left: float
    right: float
    top: float
    bottom: float
    height: float
    """Height of its letters with their ascenders and descenders."""
    is_bold: bool = False
    is_upright: bool = True
    """Whether it is written in the direction most of the page is written in."""

    @property
    def width(self) -> float:
        """How wide it is."""
        return self.right - self.left

    @property
    def middle(self) -> float:
        """Where its middle is, from the top."""
        return (self.top + self.bottom) / 2


@dataclass(slots=True)
class _Word:
    text: str
    first: int
    left: float
    right: float
    top: float
    bottom: float
    quarter: int
    breaks_before: bool


def page_runs(text_page: pypdfium2.PdfTextPage) -> list[Run]:
    """Returns the runs of a page in the order the file gives them."""
    words = _words(text_page)
    if not words:
        return []
    sizes: Counter[int] = Counter()
    for word in words:
        sizes[word.quarter] += len(word.text)
    upright = sizes.most_common(1)[0][0]
    for word in words:
        _turn(word, upright)
    return _without_doubles(_join(text_page, words))


def _words(text_page: pypdfium2.PdfTextPage) -> list[_Word]:  # noqa: C901 - one loop, for speed
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - in the parser process only

    raw = text_page.raw
    count = min(pdfium.FPDFText_CountChars(raw), _MAX_CHARACTERS)
    code_at = pdfium.FPDFText_GetUnicode
    loose, tight = pdfium.FPDFText_GetLooseCharBox, pdfium.FPDFText_GetCharBox
    box = pdfium.FS_RECTF()
    box_at = ctypes.byref(box)
    edges = [ctypes.c_double() for _ in range(4)]
    edges_at = [ctypes.byref(edge) for edge in edges]

    def box_of(place: int) -> tuple[float, float, float, float]:
        if loose(raw, place, box_at) and box.right > box.left and box.top > box.bottom:
            return box.left, box.right, box.bottom, box.top
        tight(raw, place, *edges_at)
        return edges[0].value, edges[1].value, edges[2].value, edges[3].value

    words: list[_Word] = []
    codes: list[int] = []
    start = 0
    breaks = True

    def end(place: int) -> None:
        nonlocal breaks
        if not codes:
            return
        left, right, bottom, top = box_of(start)
        if place - 1 > start:
            left2, right2, bottom2, top2 = box_of(place - 1)
            left, right = min(left, left2), max(right, right2)
            bottom, top = min(bottom, bottom2), max(top, top2)
        angle = pdfium.FPDFText_GetCharAngle(raw, start)
        quarter = round(angle / (math.pi / 2)) % 4 if angle >= 0 else 0
        text = _decoded(codes)
        if len(text) == place - start > 1 and text[0] >= FIRST_RIGHT_TO_LEFT:
            text = _logical(text, [box_of(each)[:2] for each in range(start, place)])
        if text:
            words.append(_Word(text, start, left, right, top, bottom, quarter, breaks))
            breaks = False
        codes.clear()

    for place in range(count):
        code = code_at(raw, place)
        if code in {0x0A, 0x0D}:
            end(place)
            breaks = True
        elif code in _HYPHEN_MARKS:
            codes.append(0xAD)
            end(place + 1)
        elif code <= 0x20 or code in _SPACES:
            end(place)
        elif code not in _IGNORED:
            if not codes:
                start = place
            codes.append(code)
    end(count)
    return words


def _decoded(codes: list[int]) -> str:
    text = "".join(map(chr, (code for code in codes if code < 0x110000)))
    if any(0xD800 <= code < 0xE000 for code in codes):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text if text != HYPHEN else ""


def _logical(text: str, places: list[tuple[float, float]]) -> str:
    """Returns right-to-left text as it is spoken.

    PDFium reverses what it sees, also the letters that share a place (ligatures, and texts that the
    file states for a picture of a word), which were in order already.
    """
    parts: list[str] = []
    start = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or places[end] != places[start]:
            part = text[start:end]
            is_reversed = part[0] >= FIRST_RIGHT_TO_LEFT
            parts.append(part[::-1] if is_reversed else part)
            start = end
    return "".join(parts)


def _turn(word: _Word, quarter: int) -> None:
    """Turns a word's place so that most of the page reads from left to right, and downwards."""
    left, right, bottom, top = word.left, word.right, word.bottom, word.top
    if quarter == 0:
        word.left, word.right, word.top, word.bottom = left, right, -top, -bottom
    elif quarter == 1:
        word.left, word.right, word.top, word.bottom = bottom, top, left, right
    elif quarter == 2:
        word.left, word.right, word.top, word.bottom = -right, -left, bottom, top
    else:
        word.left, word.right, word.top, word.bottom = -top, -bottom, -right, -left
    word.quarter = (word.quarter - quarter) % 4


def _join(text_page: pypdfium2.PdfTextPage, words: list[_Word]) -> list[Run]:
    """Joins words that stand side by side."""
    runs: list[Run] = []
    open_words: list[_Word] = []

    def close() -> None:
        if not open_words:
            return
        first = open_words[0]
        sizes: Counter[float] = Counter()
        for word in open_words:
            size = word.right - word.left if word.quarter % 2 else word.bottom - word.top
            sizes[round(size, 1)] += len(word.text)
        height = max(sizes, key=lambda each: sizes[each])
        runs.append(
            Run(
                " ".join(word.text for word in open_words),
                min(word.left for word in open_words),
                max(word.right for word in open_words),
                min(word.top for word in open_words),
                max(word.bottom for word in open_words),
                height,
                _is_bold(text_page, first.first)
                and (len(open_words) == 1 or _is_bold(text_page, open_words[-1].first)),
                first.quarter == 0,
            )
        )
        open_words.clear()

    for word in words:
        if open_words and not _goes_on(open_words[-1], word):
            close()
        open_words.append(word)
    close()
    return runs


def _goes_on(last: _Word, word: _Word) -> bool:
    if word.quarter != last.quarter:
        return False
    if word.quarter:
        # Turned text is kept as the file orders it.
        return not word.breaks_before
    height = max(last.bottom - last.top, word.bottom - word.top, 1.0)
    overlap = min(last.bottom, word.bottom) - max(last.top, word.top)
    if overlap < 0.4 * min(last.bottom - last.top, word.bottom - word.top):
        return False
    gap = max(word.left - last.right, last.left - word.right)
    return gap <= _GAP * height and word.left > last.left - 50 * height


def _is_bold(text_page: pypdfium2.PdfTextPage, place: int) -> bool:
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - in the parser process only

    name = ctypes.create_string_buffer(128)
    flags = ctypes.c_int()
    size = pdfium.FPDFText_GetFontInfo(text_page.raw, place, name, 128, ctypes.byref(flags))
    if flags.value & _IS_FORCED_BOLD:
        return True
    if 0 < size <= 128:
        plain = name.value.decode("latin-1").rpartition("+")[2]
        if _BOLD.search(plain):
            return True
    return pdfium.FPDFText_GetFontWeight(text_page.raw, place) >= 600


def _without_doubles(runs: list[Run]) -> list[Run]:
    """Leaves out runs that are printed twice at one place, to look bold or to cast a shadow."""
    kept: list[Run] = []
    places: dict[str, list[Run]] = {}
    for run in runs:
        same = places.setdefault(run.text, [])
        if any(_is_on_top(run, other) for other in same):
            continue
        same.append(run)
        kept.append(run)
    return kept


def _is_on_top(run: Run, other: Run) -> bool:
    near = 0.35 * max(run.height, 1.0)
    return abs(run.left - other.left) < near and abs(run.top - other.top) < near
