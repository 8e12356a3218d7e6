"""Which language a text is in: by its script, then by its commonest words.

Questions are short, so that one telling word decides; of a whole text more is asked. Too little
gives no language rather than a wrong one.
"""

from __future__ import annotations

import re
from collections import Counter

from services.languages.words import LANGUAGES_OF, WORDS

_SAMPLE_CHARACTERS = 20_000
_TEXT_LETTERS = 12
_TEXT_WORDS = 8
_TEXT_SHARE = 0.04
"""Part of a text's words that must speak for its language."""
_LEAST_SCORE = 0.75
_LEAST_LEAD = 1.15
"""The best language must score so much more than the next."""
_KANA_SHARE = 0.05
"""Of the letters of a Japanese text; Japanese is written with Chinese characters, too."""

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS = (
    ("latin", 0x0041, 0x024F),
    ("el", 0x0370, 0x03FF),
    ("cyrillic", 0x0400, 0x052F),
    ("hy", 0x0530, 0x058F),
    ("he", 0x0590, 0x05FF),
    ("arabic", 0x0600, 0x077F),
    ("hi", 0x0900, 0x097F),
    ("bn", 0x0980, 0x09FF),
    ("pa", 0x0A00, 0x0A7F),
    ("gu", 0x0A80, 0x0AFF),
    ("ta", 0x0B80, 0x0BFF),
    ("te", 0x0C00, 0x0C7F),
    ("kn", 0x0C80, 0x0CFF),
    ("ml", 0x0D00, 0x0D7F),
    ("si", 0x0D80, 0x0DFF),
    ("th", 0x0E00, 0x0E7F),
    ("lo", 0x0E80, 0x0EFF),
    ("my", 0x1000, 0x109F),
    ("ka", 0x10A0, 0x10FF),
    ("ko", 0x1100, 0x11FF),
    ("am", 0x1200, 0x137F),
    ("km", 0x1780, 0x17FF),
    ("latin", 0x1E00, 0x1EFF),
    ("kana", 0x3040, 0x30FF),
    ("zh", 0x3400, 0x9FFF),
    ("ko", 0xAC00, 0xD7AF),
)
"""Letters by their script, named by the language where it is written in one only."""
_CYRILLIC = ("ru", "uk", "bg", "sr")
_ARABIC = ("ar", "fa", "ur")

LANGUAGES = tuple(
    sorted({*WORDS, *(name for name, *_ in _SCRIPTS if len(name) == 2), *_CYRILLIC, *_ARABIC, "ja"})
)
"""Codes that may be told."""


def language_of_question(text: str) -> str:
    """Returns the language of a short text by its ISO 639-1 code; empty when it cannot be told."""
    return _told(text, least_letters=1, least_words=1)


def language_of_text(text: str) -> str:
    """Returns the language of a document by its ISO 639-1 code; empty when it cannot be told."""
    return _told(text, least_letters=_TEXT_LETTERS, least_words=_TEXT_WORDS)


def _told(text: str, *, least_letters: int, least_words: int) -> str:
    sample = text[:_SAMPLE_CHARACTERS].lower()
    scripts = _scripts(sample)
    letters = sum(scripts.values())
    if letters < least_letters:
        return ""
    script = max(scripts, key=scripts.__getitem__)
    if script == "latin":
        return _latin(sample, least_words)
    if script == "cyrillic":
        return _cyrillic(sample)
    if script == "arabic":
        return _arabic(sample)
    if script in ("zh", "kana"):
        return "ja" if scripts["kana"] > letters * _KANA_SHARE else "zh"
    return script


def _scripts(sample: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for character, count in Counter(sample).items():
        if character.isalpha():
            code = ord(character)
            name = next((name for name, first, last in _SCRIPTS if first <= code <= last), "")
            if name:
                counts[name] += count
    return counts


def _cyrillic(sample: str) -> str:
    letters = Counter(sample)
    russian = letters["ы"] + letters["э"] + letters["ё"]
    if letters["і"] + letters["ї"] + letters["є"] > russian:
        return "uk"
    if letters["ј"] + letters["љ"] + letters["њ"] + letters["ћ"] > letters["й"]:
        return "sr"
    # Bulgarian has the hard sign for a vowel; in Russian it is rare and other letters are not.
    return "bg" if letters["ъ"] > russian and not letters["ы"] else "ru"


def _arabic(sample: str) -> str:
    if any(letter in sample for letter in "ٹڈڑںے"):
        return "ur"
    return "fa" if any(letter in sample for letter in "پچژگکی") else "ar"


def _latin(sample: str, least_words: int) -> str:
    words = _WORD.findall(sample)
    if len(words) < least_words:
        return ""
    scores: dict[str, float] = {}
    for word, count in Counter(words).items():
        languages = LANGUAGES_OF.get(word, ())
        for language in languages:
            scores[language] = scores.get(language, 0.0) + count / len(languages)
    best, second = (*sorted(scores.values(), reverse=True), 0.0, 0.0)[:2]
    share = _TEXT_SHARE * len(words) if least_words > 1 else 0.0
    if best < max(_LEAST_SCORE, share) or best < _LEAST_LEAD * second:
        return ""
    return max(scores, key=scores.__getitem__)
