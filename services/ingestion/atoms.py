"""The smallest parts of a text that chunks take whole: sentences, lines, words of long ones."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.ingestion.parsers.parsed import Block

LONG_WORDS = 60
"""Sentences and lines above this may be cut between words."""

BLOCK, LINE, SENTENCE, WORD = 0, 1, 2, 3
"""What a cut before an atom cuts: the smaller, the better the place."""

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u2e80-\u9fff\ua000-\ua4cf\uf900-\ufaff"  # CJK, kana, Yi
    "\uac00-\ud7af"  # Hangul: spaced, but as dense
    "\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")
_UNSPACED_CHARACTER = re.compile(rf"[{_UNSPACED}]")
_UNSPACED_WEIGHT = 0.75
"""Words that one character of a script without spaces counts for: it is a token of its own, and a
word of an alphabetic script is about 1.3 tokens."""
_LONG_WORD_CHARACTERS = 12
"""Longer words (addresses, keys, base64) count once per so many characters."""
_LONG_WORD = re.compile(rf"\S{{{_LONG_WORD_CHARACTERS + 1},}}")
_SENTENCE = re.compile(
    r"[^.!?。！？…\n]*(?:(?:[.!?…]+[\"'”’)\]]*(?=\s|\Z)|[。！？]+[」』”’）]*|[.!?…])|\n(?=\s*\S)|[^.!?。！？…\n]+\Z|\n)",
)
_LINE = re.compile(r"[^\n]*\n?")
_HASHED_CHARACTERS = 24
"""Characters behind a place that decide whether it is cut: few, so that few edits move a cut, and
enough to differ between neighbours."""
_LINEWISE = frozenset({"list", "table", "code"})


@dataclass(frozen=True, slots=True)
class Atom:
    """A part of a text."""

    start: int
    end: int
    words: float
    key: tuple[int, int]
    """Order among places to cut before: kind of the place, then hash of the words that follow."""
    page: int


def weigh(text: str) -> float:
    """Returns the size of a text in words."""
    if text.isascii():
        # The same sum, five times as fast.
        long_words = _LONG_WORD.findall(text)
        extra = sum(map(len, long_words)) / _LONG_WORD_CHARACTERS - len(long_words)
        return len(text.split()) + extra
    return sum(_word_weight(word) for word in _WORD.findall(text))


def _word_weight(word: str) -> float:
    if len(word) == 1 and _UNSPACED_CHARACTER.match(word):
        return _UNSPACED_WEIGHT
    return max(1.0, len(word) / _LONG_WORD_CHARACTERS)


def atoms_of(text: str, block: Block) -> Iterator[Atom]:
    """Yields the parts of a block, in order, without the white space between them."""
    is_linewise = block.kind in _LINEWISE
    pattern = _LINE if is_linewise else _SENTENCE
    kind = BLOCK
    for found in pattern.finditer(text, block.start, block.end):
        start, end = _trim(text, found.start(), found.end())
        if start == end:
            continue
        yield from _parts(text, start, end, kind, block.page)
        kind = LINE if is_linewise else SENTENCE


def _parts(text: str, start: int, end: int, kind: int, page: int) -> Iterator[Atom]:
    words = weigh(text[start:end])
    if words <= LONG_WORDS:
        yield Atom(start, end, words, (kind, _hash(text, start)), page)
        return
    for found in _WORD.finditer(text, start, end):
        for piece_start in range(found.start(), found.end(), _LONG_WORD_CHARACTERS * 8):
            piece_end = min(found.end(), piece_start + _LONG_WORD_CHARACTERS * 8)
            weight = _word_weight(text[piece_start:piece_end])
            yield Atom(piece_start, piece_end, weight, (kind, _hash(text, piece_start)), page)
            kind = WORD


def _hash(text: str, start: int) -> int:
    """Returns a number that depends on the next words only, the same on every machine."""
    return zlib.crc32(text[start : start + _HASHED_CHARACTERS].encode("utf-8", "replace"))


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    stripped = inside.strip()
    if not stripped:
        return start, start
    start += len(inside) - len(inside.lstrip())
    return start, start + len(stripped)
