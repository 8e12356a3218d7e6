"""Splits a passage into sentences with exact offsets, plain text and Markdown alike.

Two steps: lines are grouped into blocks (paragraph, list item, heading, table row, code), then
paragraphs are cut at sentence ends. Marks that only lay out text (heading signs, bullets, quote
signs, fences) stay outside the spans, so that a quoted sentence reads well and is still
`text[start:end]`.
"""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.languages.telling import language_of_question
from services.languages.words import function_words

MAX_SENTENCE_WORDS = 60
"""A longer run without a sentence end (legal prose) is cut at line ends, then at commas."""

MAX_SENTENCE_CHARACTERS = 800
"""The same for text without spaces, such as encoded data."""


class BlockKind(enum.Enum):
    """What kind of block a sentence comes from."""

    PROSE = enum.auto()
    LIST_ITEM = enum.auto()
    HEADING = enum.auto()
    TABLE_ROW = enum.auto()
    CODE = enum.auto()


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage."""

    start: int
    """First character in the passage's text, in Unicode code points."""
    end: int
    """Character after the last one."""
    kind: BlockKind
    """Block it comes from."""
    block: int
    """Number of that block in the passage, from 0."""


_FENCE = re.compile(r"\s*(```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+")
_UNDERLINE = re.compile(r"\s*(={3,}|-{3,}|_{3,}|\*{3,})\s*$")
_LIST_ITEM = re.compile(
    r"\s*(?:[-*+•‣–]\s+(?:\[[ xX]\]\s+)?|(?:\d{1,3}|[a-zA-Z])[.)]\s+(?=\S)|\(\d{1,3}\)\s+)"
)
_QUOTE = re.compile(r"\s*(?:>\s?)+")
_TABLE_ROW = re.compile(r"\s*\|.*\|.*\S")
_TABLE_RULE = re.compile(r"\s*\|?[\s|:+=-]*-[\s|:+=-]*$")

_CLOSERS = "\"'”’»)\\]」』）*_"
_END = re.compile(
    rf"(?:[.!?…]+[{_CLOSERS}]*(?:\[\d{{1,3}}\])*(?=\s|$))|(?:[。！？｡।॥؟۔]+[{_CLOSERS}]*)"
)
_TRAILING_REFERENCE = re.compile(r"(?:\s*\[\d{1,3}\])+$")
_WORD_BEFORE = re.compile(r"([\w.&'-]+)\.$")
_INITIAL = re.compile(r"(?:^|[\s(.])[A-Z]$")
_ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof sr jr st sen rep gov gen col lt sgt capt rev hon messrs mt ft vs etc al cf ca
    approx est e.g i.e viz resp incl fig figs eq eqs sec ch vol vols no nos pp p ed eds inc ltd
    corp co bros dept univ assn u.s u.k u.n a.m p.m b.c a.d ph.d m.d d.c jan feb mar apr jun jul
    aug sep sept oct nov dec bzw z.b usw d.h u.a p.ej sra sres ud uds av
    ggf inkl exkl zzgl vgl evtl sog bspw gem mio mrd tel str geb núm págs aprox
    """.split()  # noqa: SIM905 - words read best as text
)
_BEFORE_NUMBERS = frozenset(["art", "abs", "nr", "pág", "kap", "abb", "tab", "pos", "bd", "cap"])
"""Abbreviations that are words, too, and stand for one before a number only."""
_ORDINAL_LANGUAGES = frozenset(["cs", "da", "de", "et", "fi", "hr", "hu", "lv", "no", "sk", "tr"])
"""Where "1." is "first"."""
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_WORD = re.compile(r"\S+")
_WORDS = re.compile(r"[^\W_]")
_FIRST_WORD = re.compile(r"[^\W\d_]+")
_SEPARATORS = tuple(re.compile(mark) for mark in (r"\n+", r"[;；]\s*", r"[,，、]\s*", r"\s+"))
"""Where an overlong sentence may be cut, the best place first."""


def count_words(text: str) -> int:
    """Counts words; in scripts without spaces (Chinese, Japanese, Thai) two characters are one."""
    wide = len(_WIDE.findall(text))
    return len(_WORD.findall(_WIDE.sub(" ", text))) + (wide + 1) // 2


def split_sentences(text: str) -> list[Sentence]:
    """Splits into sentences, in order and without overlap; layout marks and space are left out."""
    sentences = [
        Sentence(start, end, kind, number)
        for number, (first, last, kind) in enumerate(_Blocks(text).split())
        for span in _spans(text, first, last, kind)
        for start, end in _short_enough(text, *_trimmed(text, *span))
    ]
    return [each for each in sentences if _WORDS.search(text, each.start, each.end)]


def _spans(text: str, first: int, last: int, kind: BlockKind) -> Iterable[tuple[int, int]]:
    """Returns the sentences of a block; code is one."""
    return [(first, last)] if kind is BlockKind.CODE else _sentence_spans(text, first, last)


class _Blocks:
    """Groups the lines of a text into blocks: (start, end, kind) each."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[tuple[int, int, BlockKind]] = []
        self._open: tuple[int, BlockKind] | None = None
        self._open_end = 0
        self._is_quote = False
        self._code_start: int | None = None

    def split(self) -> list[tuple[int, int, BlockKind]]:
        position = 0
        for line in self._text.splitlines(keepends=True):
            start, position = position, position + len(line)
            if self._code_start is not None:
                if _FENCE.match(line):
                    self._found.append((self._code_start, start, BlockKind.CODE))
                    self._code_start = None
            else:
                self._take(line, start, position)
        if self._code_start is not None:
            self._found.append((self._code_start, position, BlockKind.CODE))
        self._close()
        return self._found

    def _take(self, line: str, start: int, end: int) -> None:
        """Takes a line outside of code."""
        if _FENCE.match(line):
            self._close()
            self._code_start = end
        elif not line.strip() or _UNDERLINE.match(line) or _TABLE_RULE.match(line):
            self._close()
        elif heading := _HEADING.match(line):
            self._close()
            self._found.append((start + heading.end(), end, BlockKind.HEADING))
        elif _TABLE_ROW.match(line):
            self._close()
            self._found.append((start + line.index("|") + 1, end, BlockKind.TABLE_ROW))
        else:
            self._continue(line, start, end)

    def _continue(self, line: str, start: int, end: int) -> None:
        """Takes a line of running text: it begins a block or goes on with the open one."""
        item, quote = _LIST_ITEM.match(line), _QUOTE.match(line)
        if item or (quote and not self._is_quote):
            self._close()
        if self._open is None:
            mark = item or quote
            kind = BlockKind.LIST_ITEM if item else BlockKind.PROSE
            self._open = (start + (mark.end() if mark else 0), kind)
            self._is_quote = quote is not None
        self._open_end = end

    def _close(self) -> None:
        if self._open is not None:
            self._found.append((self._open[0], self._open_end, self._open[1]))
            self._open = None
        self._is_quote = False


def _sentence_spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the sentences of one block."""
    first = start
    for mark in _END.finditer(text, start, end):
        if mark.end() >= end or _ends_sentence(text, first, mark, end):
            yield first, mark.end()
            first = mark.end()
    if first < end:
        yield first, end


def _ends_sentence(text: str, first: int, mark: re.Match[str], end: int) -> bool:
    """Whether the full stop (or the like) at `mark` ends a sentence that began at `first`."""
    if mark.group()[0] in "。！？｡।॥؟۔":
        return True
    following = text[mark.end() : min(end, mark.end() + 40)].lstrip()
    if not following or following[0].islower():
        return False
    if mark.group()[0] != ".":
        return True
    return not _is_abbreviation(text, first, mark, following)


def _is_abbreviation(text: str, first: int, mark: re.Match[str], following: str) -> bool:
    """Whether the full stop at `mark` belongs to the word or number before it."""
    before = text[max(first, mark.start() - 30) : mark.start() + 1]
    word = _WORD_BEFORE.search(before)
    stem = word.group(1).rstrip(".").lower() if word else ""
    if stem.isdigit():
        # "3." at the head of a list that lost its line breaks, or "the third".
        is_head = not text[first : mark.start()].strip(" \t\n" + stem)
        return is_head or (len(stem) <= 2 and _is_ordinal(text, following))
    if stem in _ABBREVIATIONS or (stem in _BEFORE_NUMBERS and following[0].isdigit()):
        return True
    return _INITIAL.search(before[:-1]) is not None


def _is_ordinal(text: str, following: str) -> bool:
    """Whether a number with a full stop before `following` means its place, as in "1. Oktober"."""
    language = _language(text)
    if language not in _ORDINAL_LANGUAGES:
        return False
    word = _FIRST_WORD.match(following)
    return word is not None and word.group().lower() not in function_words(language)


@functools.lru_cache(maxsize=64)
def _language(text: str) -> str:
    return language_of_question(text)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Returns the span without space at its ends and without trailing references like "[3]"."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if reference := _TRAILING_REFERENCE.search(text, start, end):
        end = reference.start()
    while end > start and text[end - 1] in "| \t":
        end -= 1
    return start, end


def _short_enough(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the span, or pieces of it of at most MAX_SENTENCE_WORDS words each."""
    piece = text[start:end]
    if len(piece) <= MAX_SENTENCE_CHARACTERS and count_words(piece) <= MAX_SENTENCE_WORDS:
        if piece:
            yield start, end
        return
    middle = (start + end) // 2
    cuts = (_middle_cut(text, start, end, separator) for separator in _SEPARATORS)
    left_end, right_start = next((cut for cut in cuts if cut), (middle, middle))
    yield from _short_enough(text, *_trimmed(text, start, left_end))
    yield from _short_enough(text, *_trimmed(text, right_start, end))


def _middle_cut(
    text: str, start: int, end: int, separator: re.Pattern[str]
) -> tuple[int, int] | None:
    """Returns end of the left part and start of the right one, at the middlemost `separator`."""
    middle = (start + end) // 2
    best: tuple[int, int] | None = None
    for match in separator.finditer(text, start + 1, end - 1):
        # A comma stays with the text before it.
        left = match.start() if text[match.start()].isspace() else match.start() + 1
        left = max(left, start + 1)
        right = max(match.end(), left)
        if right < end and (best is None or abs(left - middle) < abs(best[0] - middle)):
            best = (left, right)
    return best
