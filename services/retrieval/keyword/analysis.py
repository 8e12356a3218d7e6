r"""Cuts text into the terms that are indexed and looked up.

Words are runs of letters, digits and combining marks: dropping the marks, as `\w` does, loses the
vowels of Indic and Thai words (Hindi: nDCG@10 .946 becomes .781). Scripts that put no spaces
between words are cut into pairs of characters (Chinese: .144 becomes .963). Words are stemmed by
Snowball: those of the collection's language, and words in a script that only one language here is
written in by that one, whatever the collection's is (Arabic in an English collection: .877 becomes
.943).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

import tantivy

from services.retrieval.keyword.stop_words import ARABIC, ENGLISH

LANGUAGES = frozenset(
    {
        *("arabic", "danish", "dutch", "english", "finnish", "french", "german", "greek"),
        *("hungarian", "italian", "norwegian", "portuguese", "romanian", "russian", "spanish"),
        *("swedish", "tamil", "turkish"),
    }
)
"""Snowball languages; "none" stems nothing."""

_WITH_STOP_WORDS = frozenset(
    {
        *("danish", "dutch", "english", "finnish", "french", "german", "hungarian"),
        *("italian", "norwegian", "portuguese", "russian", "spanish", "swedish"),
    }
)
_UNSPACED = (
    "\u3005-\u3007\u3021-\u3029\u3040-\u30ff\u3100-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"  # Han, kana, Hangul
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u1000-\u109f\u1780-\u17d3"  # Thai, Lao, Burmese, Khmer
)
ANALYSIS = 2
"""Raised when texts are cut into other terms: views of older terms are then built anew."""

_BY_SCRIPT = {
    "arabic": re.compile("[\u0620-\u064a]"),
    "greek": re.compile("[\u0370-\u03ff\u1f00-\u1fff]"),
    "tamil": re.compile("[\u0b80-\u0bff]"),
}
"""Languages that words show by their letters."""

_MAX_TERM_CHARACTERS = 64
_REMEMBERED_STEMS = 32_768
"""Words of a language whose stems are kept at hand, some 6 MB at most."""


@functools.cache
def _marks() -> str:
    """Returns the combining marks as the inside of a character class."""
    ranges: list[str] = []
    first = last = -2
    # Marks beyond the first two planes (variation selectors) belong to no word.
    for code in (*range(0x0300, 0x20000), -2):
        if code >= 0 and unicodedata.category(chr(code)) not in {"Mn", "Mc"}:
            continue
        if code != last + 1:
            if first >= 0:
                ranges.append(f"{chr(first)}-{chr(last)}")
            first = code
        last = code
    return "".join(ranges)


_ASCII_WORD = re.compile(r"\w+(?:'\w+)*", re.ASCII)
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")


@functools.cache
def _word() -> re.Pattern[str]:
    """Matches words in texts without unspaced scripts."""
    inside = rf"[\w{_marks()}]"
    return re.compile(rf"{inside}+(?:'{inside}+)*")


@functools.cache
def _word_or_run() -> re.Pattern[str]:
    """Matches words and unspaced runs; several times slower."""
    inside = rf"(?:(?![{_UNSPACED}])[\w{_marks()}])"
    return re.compile(rf"(?P<unspaced>[{_UNSPACED}]+)|(?P<word>{inside}+(?:'{inside}+)*)")


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of a text."""

    counted: list[str]
    """Terms in order, with repetitions: words' stems and character pairs."""
    extra: list[str]
    """Single characters of unspaced runs, found by one-character queries only."""


class Analyzer:
    """Cuts texts of one language.

    Args:
        language: One of LANGUAGES, or "none".
    """

    def __init__(self, language: str) -> None:
        self._stem = None
        self._drop = None
        self._others = {name: each for name, each in _BY_SCRIPT.items() if name != language}
        """Letters of the languages whose words show them, but for its own."""
        self._stems_of: dict[str, str] = {}
        """Stems of words met before; replaced when full, so that readers never lose an entry."""
        if language in LANGUAGES:
            self._stem = _stemmer(language)
        if language in _WITH_STOP_WORDS:
            builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
            words = tantivy.Filter.stopword(language)
            if language == "english":
                words = tantivy.Filter.custom_stopword(list(ENGLISH))
            self._drop = builder.filter(words).build()

    def document(self, text: str) -> Terms:
        """Returns the terms under which a text is found."""
        words, pairs, singles = self._split(text)
        return Terms(self._stems(words) + pairs, singles)

    def query(self, text: str) -> list[str]:
        """Returns the terms to look for; stop words only when there is nothing else."""
        words, pairs, singles = self._split(text)
        telling = words
        if words and self._drop is not None:
            telling = self._drop.analyze(" ".join(words))
        if self._stem is not None and not text.isascii():
            telling = [word for word in telling if word not in ARABIC]
        lonely = [] if pairs else singles
        return self._stems(telling) + pairs + lonely or self._stems(words)

    def _stems(self, words: list[str]) -> list[str]:
        if self._stem is None or not words:
            return words
        known = self._stems_of
        missing = _stemmable(words, known)
        if missing:
            if len(known) + len(missing) > _REMEMBERED_STEMS:
                known = self._stems_of = {}
                missing = _stemmable(words, known)
            found = self._stem.analyze(" ".join(missing))
            known.update(zip(missing, found, strict=True))
            foreign = [word for word in missing if not word.isascii()]
            for language, letters in self._others.items():
                if own := [word for word in foreign if letters.search(word)]:
                    stems = _stemmer(language).analyze(" ".join(own))
                    known.update(zip(own, stems, strict=True))
        return [known.get(word, word) for word in words]

    def _split(self, text: str) -> tuple[list[str], list[str], list[str]]:
        """Returns words, pairs of characters and single characters."""
        if text.isascii():
            return _cut(_ASCII_WORD.findall(text.lower())), [], []
        text = unicodedata.normalize("NFKC", text).lower().replace("\u2019", "'")
        if not _UNSPACED_CHARACTER.search(text):
            return _cut(_word().findall(text)), [], []
        words: list[str] = []
        pairs: list[str] = []
        singles: list[str] = []
        for match in _word_or_run().finditer(text):
            run = match.group()
            if match.lastgroup == "word":
                words.append(run)
                continue
            pairs.extend(run[at : at + 2] for at in range(len(run) - 1))
            singles.extend(run)
        return _cut(words), pairs, singles


@functools.cache
def _stemmer(language: str) -> tantivy.TextAnalyzer:
    """Returns Snowball's stemmer of a language, made once."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    return builder.filter(tantivy.Filter.stemmer(language)).build()


@functools.cache
def analyzer(language: str) -> Analyzer:
    """Returns the analyzer of a language, made once."""
    return Analyzer(language)


def _stemmable(words: list[str], known: Mapping[str, str]) -> list[str]:
    """Returns the words, each once, whose stems are not known; numbers have none."""
    return [
        word
        for word in dict.fromkeys(words)
        if word not in known and not (word.isascii() and word.isdecimal())
    ]


def _cut(words: list[str]) -> list[str]:
    """Returns the words with over-long ones cut."""
    if max(map(len, words), default=0) <= _MAX_TERM_CHARACTERS:
        return words
    return [word[:_MAX_TERM_CHARACTERS] for word in words]
