"""Words and sentences in any language, cheaply: for likeness and support, not for search."""

from __future__ import annotations

import re
import unicodedata

# Combining marks belong to words: Indic vowel signs are not in \w.
_LETTER = r"[^\W_]|(?<=\w)[\u0300-\u036f]|[\u0900-\u0963\u0966-\u0dff\u064b-\u0652]"
_WORD = re.compile(rf"(?:{_LETTER})+(?:['’][^\W_]+)?")
_PLAIN_WORD = re.compile(r"[a-z0-9]+(?:'[a-z0-9]+)?")
"""The same in lower-case ASCII, in a third of the time."""
_THIN = "\u00a0\u2009\u202f"
_NUMBER = re.compile(rf"\d+(?:[.,'’٬٫]\d+|[{_THIN}]\d{{3}}(?!\d))*")
_DATE = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{2}|\d{4})")
_NUMBER_WORDS = {
    word: str(value)
    for value, words in enumerate(
        (
            "two zwei deux dos due twee dois duas",
            "three drei trois tres tre drie três",
            "four vier quatre cuatro quattro quatro",
            "five fünf cinq cinco cinque vijf",
            "six sechs seis zes",
            "seven sieben sept siete sette sete zeven",
            "eight huit ocho otto oito",
            "nine neun nueve nove negen",
            "ten zehn dix diez dieci tien",
            "eleven elf onze undici",
            "twelve zwölf douze doce dodici twaalf doze",
        ),
        start=2,
    )
    for word in words.split()
}
"""Small numbers as they are written out; words that mean something else somewhere are left out."""
_THOUSANDS = re.compile(
    rf"([1-9]\d{{0,2}}(?:([.,'{_THIN}])\d{{3}})(?:\2\d{{3}})*)(?:(?!\2)[.,](\d+))?"
)
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
)
"""Scripts written without spaces between words (and Hangul, whose endings vary): by pairs."""

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^a-z\s])|(?<=[。！？।॥؟۔])|(?:\r?\n){2,}|\n(?=\s*(?:[-*#|>]|\d+[.)]\s))"
)
_LIST_NUMBER = re.compile(r"\s*\d{1,3}[.)]\s*")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\d{1,3}[.)]\s+)|(?<=[:：])\s*1[.)]\s*$")
_STEM_CHARACTERS = 6
_STOP_WORDS = frozenset(
    {
        *(
            "a",
            "an",
            "and",
            "are",
            "as",
            "at",
            "be",
            "been",
            "but",
            "by",
            "can",
            "did",
            "do",
            "does",
        ),
        *("for", "from", "had", "has", "have", "he", "her", "his", "how", "i", "if", "in", "into"),
        *("is", "it", "its", "may", "must", "no", "not", "of", "on", "or", "our", "shall", "she"),
        *("should", "so", "than", "that", "the", "their", "them", "then", "there", "these", "they"),
        *(
            "this",
            "to",
            "was",
            "we",
            "were",
            "what",
            "when",
            "where",
            "which",
            "who",
            "why",
            "will",
        ),
        *("with", "would", "you", "your"),
    }
)


def content_words(text: str) -> list[str]:
    """Returns the words that carry meaning, lower-case and cut to a crude stem.

    Scripts without spaces give pairs of characters. All words count where there is nothing else.
    """
    words = _words(text.lower())
    if not text.isascii() and _UNSPACED.search(text):
        words = [part for word in words for part in _parts(word)]
    kept = [word[:_STEM_CHARACTERS] for word in words if word not in _STOP_WORDS]
    return kept or [word[:_STEM_CHARACTERS] for word in words]


def _words(text: str) -> list[str]:
    """Returns the words of a lower-case text."""
    return (_PLAIN_WORD if text.isascii() else _WORD).findall(text)


def _parts(word: str) -> list[str]:
    if _UNSPACED.search(word):
        return [word[i : i + 2] for i in range(max(1, len(word) - 1))]
    return [word]


def count_tokens(text: str) -> int:
    """Returns about how many tokens a model reads in a text: four Latin letters make one."""
    plain = sum(map(str.isascii, text))
    return plain // 4 + (len(text) - plain) * 2 // 3 + 1


def numbers(text: str) -> set[str]:
    """Returns the numbers in a text in one form: "2,500", "2.500" and "२५००" are "2500"."""
    found: set[str] = set()
    for match in _NUMBER.finditer(text):
        date = _DATE.fullmatch(match.group())
        found.update(map(_plain, date.groups() if date else (match.group(),)))
    return found


def known_numbers(text: str) -> set[str]:
    """Returns the numbers that a source gives, small ones that it writes out included."""
    words = (_NUMBER_WORDS.get(word) for word in _words(text.lower()))
    return numbers(text) | {value for value in words if value}


def _plain(number: str) -> str:
    if number.isascii() and number.isdigit():
        return number.lstrip("0") or "0"
    number = "".join(
        str(unicodedata.decimal(each))
        if each.isdigit()
        else {"٬": ",", "٫": ".", "’": "'"}.get(each, each)
        for each in number
    )
    if grouped := _THOUSANDS.fullmatch(number):
        whole = re.sub(r"\D", "", grouped.group(1))
        return f"{whole}.{grouped.group(3)}" if grouped.group(3) else whole
    return number.replace(",", ".").replace("'", "")


def without_list_marks(sentence: str) -> str:
    """Returns a sentence without what counts the items of a list: no part of what it says."""
    return _LIST_MARK.sub("", sentence)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Returns (start, end) of each sentence, without white space around it, in order."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if _LIST_NUMBER.fullmatch(text, start, match.start()):
            continue  # "1." belongs to what it counts
        _append(spans, text, start, match.start() if match.group().isspace() else match.end())
        start = match.end()
    _append(spans, text, start, len(text))
    return spans


def _append(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    lead = len(piece) - len(piece.lstrip())
    trimmed = piece.strip()
    if trimmed:
        spans.append((start + lead, start + lead + len(trimmed)))
