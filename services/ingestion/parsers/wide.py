"""Texts of UTF-16, of UTF-32 and of the seven-bit encodings of East Asia, without a mark."""

from __future__ import annotations

import unicodedata
from collections import Counter

from services.ingestion.parsers.guessing import COMMON_SIGNS, script_of

_SAMPLE_BYTES = 64 * 1024
_SAMPLE_CHARACTERS = 4000
_UNITS = (("utf-32-le", 4), ("utf-32-be", 4), ("utf-16-le", 2), ("utf-16-be", 2))
"""The longer first: most of what UTF-32 is would also pass for UTF-16 full of zeros."""
_SPACES = frozenset("\t\n\r\f\x0b\x1a ")
_SIGNS_SHARE = 0.2
"""So many of the signs of a Chinese, Japanese or Korean text are among the frequent ones."""
_ALPHABETS_SHARE = 0.95
"""So many letters of another text belong to the Latin alphabet and one more."""
_SHIFTED = ((b"\x1b$B", "iso2022_jp"), (b"\x1b$@", "iso2022_jp"), (b"\x1b$)C", "iso2022_kr"))
_HZ = (b"~{", b"~}")


def decode_wide(data: bytes) -> str | None:
    """Returns the text of UTF-16 or UTF-32 without a mark, or None when it is neither."""
    for encoding, width in _UNITS:
        if len(data) % width:
            continue
        sample = _decoded(data[: _SAMPLE_BYTES // width * width], encoding, is_cut=width == 2)
        if sample is not None and _looks_written(sample):
            text = _decoded(data, encoding)
            if text is not None:
                return text
    return None


def decode_shifted(data: bytes) -> tuple[str, str] | None:
    """Returns the text and the encoding of ISO-2022-JP, ISO-2022-KR or HZ, or None."""
    sample = data[:_SAMPLE_BYTES]
    names = [name for mark, name in _SHIFTED if mark in sample]
    if all(mark in sample for mark in _HZ):
        names.append("hz")
    for name in names:
        text = _decoded(data, name)
        if text is not None and _looks_written("".join(char for char in text if char > "\x7f")):
            return text, name
    return None


def _decoded(data: bytes, encoding: str, *, is_cut: bool = False) -> str | None:
    # A sample may end within a pair of surrogates.
    for dropped in (0, 2) if is_cut else (0,):
        try:
            return data[: len(data) - dropped].decode(encoding)
        except UnicodeError:
            continue
    return None


def _looks_written(text: str) -> bool:
    """Whether these are the characters of some script rather than the halves of others."""
    text = text[:_SAMPLE_CHARACTERS].removeprefix("\ufeff")
    if any(_is_no_text(char) for char in text):
        return False
    letters = [char for char in text if char.isalpha()]
    if not letters:
        return bool(text) and text.isascii()
    signs = [char for char in letters if _is_sign(char)]
    if len(signs) > len(letters) // 4:
        return sum(char in COMMON_SIGNS for char in signs) >= _SIGNS_SHARE * len(signs)
    if sum("\u0180" <= char <= "\u024f" for char in letters) > len(letters) // 10:
        return False  # letters of few languages: halves of something else
    scripts = Counter(map(script_of, letters))
    latin = scripts.pop("LATIN", 0)
    most = max(scripts.values(), default=0)
    return latin + most >= _ALPHABETS_SHARE * len(letters)


def _is_no_text(char: str) -> bool:
    category = unicodedata.category(char)
    return category in {"Cn", "Co", "Cs"} or (category == "Cc" and char not in _SPACES)


def _is_sign(char: str) -> bool:
    return (
        "\u3041" <= char <= "\u30fe" or "\u3400" <= char <= "\u9fff" or "\uac00" <= char <= "\ud7a3"
    )
