"""From the lines of PDF pages to headings, paragraphs, lists and tables."""

from __future__ import annotations

import itertools
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.ingestion.parsers.parsed import BlockKind
from services.ingestion.parsers.pdf_layout import Line, cells_of, table_at
from services.ingestion.parsers.pdf_running import SENTENCE_END, Page, RunningLines
from services.ingestion.parsers.pdf_words import HYPHEN
from services.ingestion.parsers.writer import DocumentWriter

_HEADING_GROWTH = 1.17
"""Headings are at least so much larger than the text."""
_MAX_HEADING_CHARACTERS = 160
_MAX_HEADING_LINES = 3
_MAX_HEADING_SHARE = 0.35
"""Where more than this of the text looks like headings, none is."""
_DEEPEST = 6
_BULLET = re.compile(
    r"(?:[•‣◦▪▫●○■□–—\-*➢➤✓✔⁃·\uf0b7\uf0a7\uf0d8o](?=\s)|\d{1,3}[.)](?=\s)|[a-z]\.(?=\s)"
    r"|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})\)(?=\s))\s*"
)
_SYMBOL_BULLETS = re.compile(r"\A[•‣◦▪▫●○■□➢➤✓✔⁃·\uf0b7\uf0a7\uf0d8]\s*")
_NUMBERED = re.compile(r"(?:\d{1,2}(?:\.\d{1,2}){0,4}\.?|[A-Z]\.|[IVX]{1,5}\.)\s+\S")
_LEADERS = re.compile(r"\s*(?:\.{5,}|(?:[.…] ){4,}[.…]?)\s*")
"""Dots between a title and its page number."""
_WIDE = ("\u2e80", "\ud7ff")
_HANGUL = ("\uac00", "\ud7ff")


@dataclass(slots=True)
class _Draft:
    """A block before it is written."""

    kind: BlockKind
    page: int
    lines: list[Line] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    depth: int = 0


@dataclass(frozen=True, slots=True)
class _Style:
    """What the text of a document looks like."""

    body: float
    """Height of its usual letters."""
    levels: Mapping[float, int]
    """Depth of headings by their height."""
    bold_depth: int
    """Depth of bold headings that are no larger than text; 0: there are none."""


def write_pages(
    writer: DocumentWriter,
    pages: Sequence[tuple[int, Page]],
    outline: Mapping[int, Mapping[str, int]],
    *,
    after_page: Callable[[int], None],
) -> None:
    """Writes pages one after the other.

    Args:
        writer: Receives the blocks.
        pages: Numbers and columns.
        outline: Depth of each title in the outline, by page number and `folded` title.
        after_page: Called with each page's number when its text is written.
    """
    style = _style_of(pages)
    running = RunningLines(pages, style.body * _HEADING_GROWTH)
    hyphenated = _hyphenated_words(pages)
    for number, columns in pages:
        titles = outline.get(number, {})
        drafts: list[_Draft] = []
        for column in running.without(number, columns):
            if column:
                _add_column(drafts, column, number, style, titles)
        writer.page = number
        for draft in drafts:
            _write(writer, draft, hyphenated)
        after_page(number)


def folded(title: str) -> str:
    """Returns a title as it is compared: letters and digits in lower case."""
    return "".join(char for char in title.lower() if char.isalnum())


def _style_of(pages: Sequence[tuple[int, Page]]) -> _Style:
    sizes: Counter[float] = Counter()
    bold = total = 0
    for _, columns in pages:
        for column in columns:
            for line in column:
                length = len(line.text)
                sizes[_rounded(line.height)] += length
                total += length
                bold += length * line.is_bold
    if not sizes:
        return _Style(0.0, {}, 0)
    body = max(sizes, key=lambda size: sizes[size])
    # Superscripts make lines a little higher: neighbours of the usual size are usual, too.
    large = sorted((size for size in sizes if size >= body * _HEADING_GROWTH), reverse=True)
    if sum(sizes[size] for size in large) > _MAX_HEADING_SHARE * total:
        large = []
    merged: list[float] = []
    levels: dict[float, int] = {}
    for size in large:
        if not merged or merged[-1] - size > 0.08 * size:
            merged.append(size)
        levels[size] = min(len(merged), _DEEPEST - 1)
    has_bold = 0 < bold <= _MAX_HEADING_SHARE * total
    return _Style(body, levels, min(len(merged) + 1, _DEEPEST) if has_bold else 0)


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _hyphenated_words(pages: Sequence[tuple[int, Page]]) -> set[str]:
    """Returns the words that are written with a hyphen inside a line: it belongs to them."""
    words: set[str] = set()
    for _, columns in pages:
        for column in columns:
            for line in column:
                if "-" in line.text:
                    words.update(re.findall(r"\w+-\w+", line.text.lower()))
    return words


def _add_column(
    drafts: list[_Draft],
    lines: Sequence[Line],
    page: int,
    style: _Style,
    titles: Mapping[str, int],
) -> None:
    measure = _Measure.of(lines)
    place = 0
    is_first = True
    while place < len(lines):
        end = table_at(lines, place)
        if end > place:
            drafts.append(_Draft("table", page, rows=cells_of(lines[place:end])))
            place, is_first = end, False
            continue
        heading = _heading_at(lines, place, style, titles)
        if heading is not None:
            count, depth = heading
            drafts.append(_Draft("heading", page, list(lines[place : place + count]), depth=depth))
            place, is_first = place + count, False
            continue
        line = lines[place]
        last = drafts[-1] if drafts else None
        goes_on = last is not None and last.kind in {"paragraph", "list"} and last.page == page
        if goes_on and last is not None:
            if is_first:
                goes_on = _continues_column(last, line)
            else:
                goes_on = not measure.begins(last.lines[-1], line)
        if goes_on and last is not None:
            last.lines.append(line)
        else:
            kind: BlockKind = "list" if _BULLET.match(line.text) else "paragraph"
            drafts.append(_Draft(kind, page, [line]))
        place, is_first = place + 1, False


def _continues_column(last: _Draft, line: Line) -> bool:
    """Whether a column goes on with the sentence that the one before broke off."""
    text = last.lines[-1].text if last.lines else ""
    return (
        bool(text)
        and last.kind == "paragraph"
        and not SENTENCE_END.search(text)
        and (text.endswith(HYPHEN) or line.text[:1].islower())
        and abs(last.lines[-1].height - line.height) < 0.15 * line.height
    )


@dataclass(frozen=True, slots=True)
class _Measure:
    """How the lines of a column are set."""

    left: float
    right: float
    leading: float
    """Usual distance from line to line."""

    @classmethod
    def of(cls, lines: Sequence[Line]) -> _Measure:
        lefts = Counter(round(line.left) for line in lines)
        steps = [
            below.top - above.top
            for above, below in itertools.pairwise(lines)
            if 0 < below.top - above.top < 4 * above.height
        ]
        return cls(
            lefts.most_common(1)[0][0],
            max(line.right for line in lines),
            statistics.median(steps) if steps else 0.0,
        )

    def begins(self, above: Line, line: Line) -> bool:
        """Whether a line begins a paragraph."""
        if _BULLET.match(line.text) and not _is_flowing(above, line):
            return True
        step = line.top - above.top
        if step > max(1.3 * self.leading, 1.25 * above.height) or step < -0.5 * line.height:
            return True
        ratio = line.height / max(above.height, 0.1)
        if not 0.8 < ratio < 1.25 or line.is_bold != above.is_bold:
            return True
        indent = 0.7 * line.height
        if line.left > self.left + indent and abs(above.left - self.left) <= indent:
            return _is_short(above, self) or bool(SENTENCE_END.search(above.text))
        if line.left < self.left - indent and above.left >= self.left - indent:
            return True
        return _is_short(above, self) and bool(SENTENCE_END.search(above.text))


def _is_short(line: Line, measure: _Measure) -> bool:
    return line.right < measure.right - 0.12 * (measure.right - measure.left)


def _is_flowing(above: Line, line: Line) -> bool:
    """Whether what looks like a bullet is a word of the sentence above."""
    return not _SYMBOL_BULLETS.match(line.text) and (
        above.text.endswith((",", HYPHEN))
        or (
            not line.text[:1].isdigit()
            and line.text[:1] not in "-–—*("
            and above.text[-1:].islower()
        )
    )


def _heading_at(
    lines: Sequence[Line], place: int, style: _Style, titles: Mapping[str, int]
) -> tuple[int, int] | None:
    """Returns how many lines the heading here has and its depth; None: none begins here."""
    first = lines[place]
    if titles:
        text = ""
        for count in range(1, min(_MAX_HEADING_LINES, len(lines) - place) + 1):
            text += folded(lines[place + count - 1].text)
            depth = titles.get(text)
            if depth is not None:
                return count, depth
    depth = _depth_of(first, style)
    if depth is None:
        return None
    count = 1
    while place + count < len(lines):
        line = lines[place + count]
        is_near = line.top - lines[place + count - 1].bottom < 0.8 * first.height
        if (
            not is_near
            or _depth_of(line, style, is_first=False) != depth
            or abs(line.height - first.height) > 1
        ):
            break
        if _NUMBERED.match(line.text):
            break
        count += 1
    if count > _MAX_HEADING_LINES:
        return None
    if sum(len(line.text) for line in lines[place : place + count]) > _MAX_HEADING_CHARACTERS:
        return None
    return count, depth


def _depth_of(  # noqa: PLR0911 - a line per rule
    line: Line, style: _Style, *, is_first: bool = True
) -> int | None:
    text = line.text
    letters = sum(char.isalpha() for char in text)
    if letters < 2 or len(text) > _MAX_HEADING_CHARACTERS or letters < 0.4 * len(text):
        return None
    if _SYMBOL_BULLETS.match(text) or text.endswith((",", HYPHEN, ";")):
        return None
    if text.count(",") > 2 or any(mark in text for mark in "@†‡∗"):
        return None  # authors
    level = style.levels.get(_rounded(line.height))
    if level is not None and not (is_first and text[:1].islower()):
        return level
    is_small = line.height < 0.9 * style.body
    if not style.bold_depth or not line.is_bold or is_small or len(text) > 100:
        return None
    if text.endswith((".", ":")) and not _NUMBERED.match(text):
        return None
    if (is_first and text[:1].islower()) or len(line.runs) > 2:
        return None
    return style.bold_depth


def _write(writer: DocumentWriter, draft: _Draft, hyphenated: set[str]) -> None:
    if draft.kind == "table":
        writer.table(draft.rows, has_header=_names_columns(draft.rows[0]))
        return
    text = _joined([line.text for line in draft.lines], hyphenated)
    if draft.kind == "heading":
        writer.heading(draft.depth, text)
    elif draft.kind == "list":
        writer.items([_SYMBOL_BULLETS.sub("- ", text)])
    else:
        writer.paragraph(text)


def _names_columns(row: Sequence[str]) -> bool:
    filled = [cell for cell in row if cell]
    return len(filled) > 1 and not any(re.match(r"[$€£(]?\s*-?\d", cell) for cell in filled)


def _joined(lines: Sequence[str], hyphenated: set[str]) -> str:
    """Joins lines as one text: broken words are put together again."""
    text = ""
    for line in lines:
        if text.endswith(HYPHEN):
            text = _unbroken(text[:-1], line, hyphenated)
        else:
            text += line if not text or _needs_no_space(text, line) else f" {line}"
    return _LEADERS.sub(" … ", text.replace(HYPHEN, "-"))


def _needs_no_space(text: str, line: str) -> bool:
    if text.endswith("-") and text[-2:-1].isalnum() and line[:1].isalnum():
        return True
    return _is_unspaced(text[-1]) and _is_unspaced(line[0])


def _unbroken(text: str, line: str, hyphenated: set[str]) -> str:
    """Puts a word together, with its hyphen where the document writes it with one elsewhere."""
    before = re.search(r"\w+\Z", text)
    after = re.match(r"\w+", line)
    if before and after:
        word = f"{before[0]}-{after[0]}".lower()
        if word in hyphenated or after[0][0].isupper() or before[0][-1].isdigit():
            return f"{text}-{line}"
    return text + line


def _is_unspaced(char: str) -> bool:
    """Whether a character is of a script that puts no spaces between words."""
    return _WIDE[0] <= char <= _WIDE[1] and not _HANGUL[0] <= char <= _HANGUL[1]
