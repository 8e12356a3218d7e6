"""Personal identifiers in a text: found by their form and, where they have one, their checksum."""

from __future__ import annotations

import bisect
import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.ingestion.enrichment.scanning import find_all

_HASH_DIGITS = 32
_EMAIL = re.compile(
    r"(?<![\w.+%-])[A-Za-z0-9_][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})\.){1,8}"
    r"[A-Za-z]{2,24}(?![\w@-])"
)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}(?=[ \u00a0]?[A-Z0-9])")
_CARD = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){12,18}(?![\w-]|[.,]\d)")
_ISSUED = re.compile(
    r"(?:4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|3[0689]\d{12}|35\d{14}|6\d{15,18})\Z"
)
"""Numbers that card schemes issue, by beginning and length."""
_PHONE = re.compile(
    r"(?<![\w.+])(?<!\d[ -])(?:\+|00)[1-9](?:[ \u00a0().\/-]{0,2}\d){7,14}(?!\d)"
    r"|(?<![\w.+-])(?:\(\d{3}\) ?|\d{3}[-.])\d{3}[-.]\d{4}(?![\w-])"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_NOT_DIGITS = re.compile(r"\D+")

_IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28,
    "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26,
    "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20,
    "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24,
    "SC": 31, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24,
    "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identifier:
    """A personal identifier and where it stands."""

    kind: str
    """"email", "iban", "card", "phone" or "ssn"."""
    value: str
    """In its one form, so that each way of writing it has the same hash."""
    start: int
    end: int


class IdentifierHasher:
    """Hashes identifiers with a key, so that nobody without it can try them out.

    Args:
        key: The key.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def hash(self, tenant: str, kind: str, value: str) -> str:
        """Returns the hash: equal within a tenant, different between tenants."""
        text = f"{tenant}\x00{kind}\x00{value}".encode()
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()[:_HASH_DIGITS]


def find_identifiers(text: str) -> list[Identifier]:
    """Returns the identifiers of a text, in order, not overlapping."""
    found: list[Identifier] = []
    taken: list[tuple[int, int]] = []
    for find in _FINDERS:
        spans = sorted(taken)
        for each in find(text):
            if not _overlaps(spans, each.start, each.end):
                found.append(each)
                taken.append((each.start, each.end))
    return sorted(found, key=lambda each: each.start)


def _overlaps(spans: list[tuple[int, int]], start: int, end: int) -> bool:
    place = bisect.bisect_left(spans, (end, 0))
    return place > 0 and spans[place - 1][1] > start


def _emails(text: str) -> Iterator[Identifier]:
    for match in find_all(_EMAIL, text):
        yield Identifier("email", match[0].lower(), match.start(), match.end())


def _ibans(text: str) -> Iterator[Identifier]:
    for match in find_all(_IBAN_START, text):
        length = _IBAN_LENGTHS.get(match[0][:2])
        if length is None:
            continue
        value, end = _compact(text, match.start(), length)
        is_whole = end >= len(text) or not text[end].isalnum()
        if len(value) == length and is_whole and _is_iban(value):
            yield Identifier("iban", value, match.start(), end)


def _compact(text: str, start: int, length: int) -> tuple[str, int]:
    """Returns so many letters and digits from a place on, single spaces left out."""
    value: list[str] = []
    at = start
    while at < len(text) and len(value) < length:
        character = text[at]
        if character.isascii() and (character.isdigit() or character.isupper()):
            value.append(character)
        elif character not in " \u00a0" or text[at - 1] in " \u00a0":
            break
        at += 1
    return "".join(value), at


def _is_iban(value: str) -> bool:
    moved = value[4:] + value[:4]
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _cards(text: str) -> Iterator[Identifier]:
    for match in find_all(_CARD, text):
        value = _NOT_DIGITS.sub("", match[0])
        if _ISSUED.match(value) and _is_luhn(value):
            yield Identifier("card", value, match.start(), match.end())


def _is_luhn(digits: str) -> bool:
    total = 0
    for place, character in enumerate(reversed(digits)):
        number = int(character) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _phones(text: str) -> Iterator[Identifier]:
    for match in find_all(_PHONE, text):
        digits = _NOT_DIGITS.sub("", match[0])
        if not match[0].startswith("+"):
            digits = digits[2:] if match[0].startswith("00") else f"1{digits}"
        if 8 <= len(digits) <= 15:
            yield Identifier("phone", f"+{digits}", match.start(), match.end())


def _ssns(text: str) -> Iterator[Identifier]:
    for match in find_all(_SSN, text):
        yield Identifier("ssn", match[0], match.start(), match.end())


_FINDERS: tuple[Callable[[str], Iterator[Identifier]], ...] = (
    _emails,
    _ibans,
    _cards,
    _ssns,
    _phones,
)
"""The surest first: what one has taken, the next do not see."""
