"""Words and sentences in any language, cheaply: for likeness and support, not for search."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]"
)
"""Scripts written without spaces between words (and Hangul, whose endings vary): by pairs."""

_SENTENCE_END = re.compile(
    r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[^a-z\s])|(?<=[。！？])|(?:\r?\n){2,}|\n(?=\s*(?:[-*#|>]|\d+[.)]\s))"
)
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
    words: list[str] = _WORD.findall(text.lower())
    if not text.isascii() and _UNSPACED.search(text):
        words = [part for word in words for part in _parts(word)]
    kept = [word[:_STEM_CHARACTERS] for word in words if word not in _STOP_WORDS]
    return kept or [word[:_STEM_CHARACTERS] for word in words]


def _parts(word: str) -> list[str]:
    if _UNSPACED.search(word):
        return [word[i : i + 2] for i in range(max(1, len(word) - 1))]
    return [word]


def count_tokens(text: str) -> int:
    """Returns about how many tokens a model reads in a text: four Latin letters make one."""
    plain = sum(map(str.isascii, text))
    return plain // 4 + (len(text) - plain) * 2 // 3 + 1


def numbers(text: str) -> set[str]:
    """Returns the numbers in a text, without separators of thousands."""
    return {match.group().replace(",", "").rstrip(".") for match in _NUMBER.finditer(text)}


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Returns (start, end) of each sentence, without white space around it, in order."""
    spans: list[tuple[int, int]] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
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
