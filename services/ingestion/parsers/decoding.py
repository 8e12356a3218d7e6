"""From bytes in some encoding to text."""

from __future__ import annotations

import codecs
import re

from services.ingestion.parsers.guessing import guess
from services.ingestion.parsers.parsed import UnparsableError
from services.ingestion.parsers.wide import decode_shifted, decode_wide

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # UTF-32 before UTF-16: the one's mark begins with the other's.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META_CHARSET = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{2,40})""", re.IGNORECASE
)
_SAMPLE_BYTES = 64 * 1024
_STRAY = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[\x80-\ud7ff\ue000-\U0010ffff]")
_LEAST_IN_ORDER = 3
_IN_ORDER_PER_STRAY = 4
_CONTROL = re.compile("[\x80-\x9f]")
_ENCODED_TWICE = re.compile(
    "[\xc2-\xdf][\x80-\x9f]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


def decode(data: bytes, *, is_html: bool = False) -> tuple[str, list[str]]:
    """Returns the text and warnings about its encoding.

    A byte-order mark decides; then what an HTML page declares; then valid UTF-8, unless it has the
    escapes of a seven-bit encoding; then whether UTF-16 or UTF-32 make sense; then statistics.

    Raises:
        UnparsableError: the bytes are text in no known encoding.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_marked(data, encoding)
    if is_html and (declared := _META_CHARSET.search(data[:4096])):
        text = _try(data, declared[1].decode("ascii"))
        if text is not None:
            return text, []
    text = _try(data, "utf-8")
    if text is not None and "\x00" not in text:
        return _unshifted(data, text)
    wide = decode_wide(data)
    if wide is not None:
        return wide, []
    if text is not None:
        return text, ["characters that are no text were replaced"]
    return _decode_damaged(data) or _decode_by_statistics(data)


def _decode_damaged(data: bytes) -> tuple[str, list[str]] | None:
    """Returns the text of bytes that are UTF-8 but for a few; None: they are not.

    No text of another encoding has many sequences that are UTF-8 by chance. What is none is read
    as Windows does, because it mostly comes from rows of another file; the last character may have
    been cut off.
    """
    sample = data[:_SAMPLE_BYTES].decode("utf-8", "surrogateescape")
    in_order, stray = len(_BEYOND_ASCII.findall(sample)), len(_STRAY.findall(sample[:-3]))
    if in_order < max(_LEAST_IN_ORDER, _IN_ORDER_PER_STRAY * stray):
        return None
    text = data.decode("utf-8", "surrogateescape")
    kept = text[-3:].rstrip("".join(map(chr, range(0xDC80, 0xDD00))))
    text, count = _STRAY.subn(_from_windows, text[:-3] + kept)
    return text, [f"{count or 1} bytes are no UTF-8, as the rest of the file is"]


def _from_windows(found: re.Match[str]) -> str:
    return bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "replace")


def _unshifted(data: bytes, text: str) -> tuple[str, list[str]]:
    shifted = decode_shifted(data) if text.isascii() else None
    if shifted is None:
        return text, []
    return shifted[0], [f"the encoding was guessed from the text: {shifted[1]}"]


def mended(text: str) -> str:
    """Returns the text with characters that were encoded twice as what they were.

    Only sequences with a control character that no text has: "â" and two of them for a dash.
    """
    return _ENCODED_TWICE.sub(_decoded_twice, text) if _CONTROL.search(text) else text


def _decoded_twice(found: re.Match[str]) -> str:
    try:
        return found[0].encode("latin-1").decode("utf-8")
    except UnicodeError:
        return found[0]


def clean(text: str) -> str:
    """Returns the text with line ends as newlines and without characters no database stores."""
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "\ufffd")


def _decode_marked(data: bytes, encoding: str) -> tuple[str, list[str]]:
    text = data.decode(encoding, errors="replace")
    damaged = text.count("\ufffd")
    return text, [f"{damaged} characters could not be decoded"] if damaged else []


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeError, LookupError):
        return None


def _decode_by_statistics(data: bytes) -> tuple[str, list[str]]:
    encoding, _ = guess(data)
    text = _try(data, encoding)
    if text is None:
        text, encoding = data.decode("latin-1"), "latin-1"
    elif encoding == "cp1252" and "\xa4" in text:
        # Nobody writes that sign; where it stood, the euro came to stand.
        text, encoding = _try(data, "iso8859_15") or text, "iso8859_15"
    elif encoding != "cp1252" and _try(data, "cp1252") == text:
        # The usual name for bytes that several code pages read alike.
        encoding = "cp1252"
    controls = sum(char < " " and char not in "\t\n\r\f\x1b" for char in text[:_SAMPLE_BYTES])
    if controls > len(text[:_SAMPLE_BYTES]) // 20:
        raise UnparsableError("PARSE_FAILED", "the file holds no text in any known encoding")
    return text, [f"the encoding was guessed from the text: {encoding}"]
