"""Number formats of spreadsheets: 45292 as 2024-01-01, 0.5 as 50%, 1234.5 as 1,234.50."""

from __future__ import annotations

import datetime as dt
import functools
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

_S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_BUILT_IN = {
    1: "0", 2: "0.00", 3: "#,##0", 4: "#,##0.00", 9: "0%", 10: "0.00%", 11: "0.00E+00",
    14: "yyyy-mm-dd", 15: "d-mmm-yy", 16: "d-mmm", 17: "mmm-yy", 18: "h:mm AM/PM",
    19: "h:mm:ss AM/PM", 20: "h:mm", 21: "h:mm:ss", 22: "yyyy-mm-dd h:mm",
    37: "#,##0 ;(#,##0)", 38: "#,##0 ;(#,##0)", 39: "#,##0.00;(#,##0.00)",
    40: "#,##0.00;(#,##0.00)", 45: "mm:ss", 46: "[h]:mm:ss", 47: "mm:ss.0", 48: "##0.0E+0",
}  # fmt: skip
"""What the file only numbers. 14 and 22 follow the reader's locale: ISO dates serve all."""
_TOKEN = re.compile(
    r'"[^"]*"|\\.|_.|\*.|\[[^\]]*\]|AM/PM|A/P|General|y+|m+|d+|h+|s+(?:\.0+)?|[#0?]|.',
    re.IGNORECASE | re.DOTALL,
)
_DATE_TOKEN = re.compile(r"(?:y+|m+|d+|h+|s+(?:\.0+)?|am/pm|a/p|\[[hms]+\])\Z", re.IGNORECASE)
_CURRENCY = re.compile(r"\[\$([^\]-]*)(?:-[^\]]*)?\]\Z")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MAX_SERIAL = 2_958_465.999_99
_MAX_DIGITS = 30
_NEXT_SECTION = ";"
_ZERO = frozenset({"0"})


class Formats:
    """The cell styles of a workbook.

    Args:
        root: Its `styles.xml`, or None.
        is_1904: Days are counted from 1904, as on old Macintoshes.
    """

    def __init__(self, root: Any | None, *, is_1904: bool = False) -> None:
        self._epoch = dt.datetime(1904, 1, 1) if is_1904 else dt.datetime(1899, 12, 30)  # noqa: DTZ001 - cells have no time zone
        own: dict[int, str] = {}
        self._codes: list[str] = []
        if root is None:
            return
        for entry in root.iter(f"{_S}numFmt"):
            own[_whole(entry.get("numFmtId"))] = entry.get("formatCode") or ""
        styles = root.find(f"{_S}cellXfs")
        for entry in styles if styles is not None else ():
            number = _whole(entry.get("numFmtId"))
            self._codes.append(own.get(number, _BUILT_IN.get(number, "General")))

    def shown(self, value: str, style: int) -> str:
        """Returns a number as the cell shows it.

        Args:
            value: The number as it is stored.
            style: Index of the cell's style.
        """
        code = self._codes[style] if style < len(self._codes) else "General"
        if code == "General" and len(value) < 12 and value.isdecimal():
            return value
        try:
            number = Decimal(value)
        except InvalidOperation:
            return value
        if not number.is_finite() or abs(number.adjusted()) > _MAX_DIGITS:
            return value
        return _shown(number, code, self._epoch)


@dataclass(frozen=True, slots=True)
class _Section:
    tokens: tuple[str, ...]
    is_date: bool
    is_general: bool


@functools.lru_cache(maxsize=1024)
def _sections(code: str) -> tuple[_Section, ...]:
    sections: list[list[str]] = [[]]
    for token in _TOKEN.findall(code[:500]):
        if token == _NEXT_SECTION:
            sections.append([])
        else:
            sections[-1].append(token)
    return tuple(
        _Section(
            tuple(tokens),
            any(_DATE_TOKEN.match(token) for token in tokens),
            any(token.lower() == "general" for token in tokens),
        )
        for tokens in sections
    )


def _shown(number: Decimal, code: str, epoch: dt.datetime) -> str:
    sections = _sections(code)
    section, is_signed = sections[0], True
    if len(sections) > 1 and number < 0:
        section, is_signed = sections[1], False
    elif len(sections) > 2 and number == 0:
        section = sections[2]
    if not section.tokens:
        # A format that shows nothing: what is hidden from readers is not quoted to them.
        return _general(number) if len(sections) == 1 else ""
    if section.is_date:
        return _date(number, section.tokens, epoch)
    if section.is_general:
        return _general(number if is_signed else abs(number))
    return _number(number if is_signed else abs(number), section.tokens)


def _general(number: Decimal) -> str:
    """Writes up to eleven significant digits, as cells do."""
    rounded = number.normalize()
    if len(rounded.as_tuple().digits) > 11:
        rounded = Decimal(f"{number:.11g}").normalize()
    if rounded == 0:
        return "0"
    if -10 < rounded.adjusted() < 12:
        return f"{rounded:f}"
    return f"{rounded:E}"


def _number(number: Decimal, tokens: tuple[str, ...]) -> str:
    literal = [_literal(token) for token in tokens]
    places = [place for place, token in enumerate(tokens) if token in {"0", "#", "?"}]
    if not places:
        return "".join(filter(None, literal)).strip() or _general(number)
    percent = tokens.count("%")
    first, last = places[0], places[-1]
    middle = tokens[first : last + 1]
    if "/" in middle:
        # Fractions: the decimal says the same and is searched for.
        return _general(number)
    scaled = number * 100**percent
    trailing = last + 1
    while trailing < len(tokens) and tokens[trailing] == ",":
        scaled /= 1000
        trailing += 1
    exponent = next((place for place, token in enumerate(middle) if token in {"E", "e"}), None)
    digits = middle if exponent is None else middle[:exponent]
    point = digits.index(".") if "." in digits else len(digits)
    decimals = sum(token in {"0", "#", "?"} for token in digits[point:])
    required = sum(token in _ZERO for token in digits[point:])
    if exponent is not None:
        body = f"{scaled:.{decimals}E}"
    else:
        body = _fixed(scaled, decimals, required, is_grouped="," in digits[:point])
        width = sum(token in _ZERO for token in digits[:point])
        body = _padded(body, width)
    prefix = "".join(text or "" for text in literal[:first])
    suffix = "".join(text or "" for text in literal[trailing:])
    sign = "-" if body.startswith("-") else ""
    return f"{sign}{prefix}{body.removeprefix('-')}{suffix}".strip()


def _fixed(number: Decimal, decimals: int, required: int, *, is_grouped: bool) -> str:
    rounded = number.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    if rounded == 0:
        rounded = abs(rounded)
    text = f"{rounded:,f}" if is_grouped else f"{rounded:f}"
    if decimals > required and "." in text:
        whole, _, part = text.partition(".")
        while len(part) > required and part.endswith("0"):
            part = part[:-1]
        text = f"{whole}.{part}" if part else whole
    return text


def _padded(text: str, width: int) -> str:
    sign = "-" if text.startswith("-") else ""
    whole, point, part = text.removeprefix("-").partition(".")
    if "," not in whole:
        whole = whole.zfill(width)
    return f"{sign}{whole}{point}{part}"


def _literal(token: str) -> str | None:
    """Returns what a token stands for by itself; None: nothing that is shown."""
    if token.startswith('"'):
        return token.strip('"')
    if token.startswith("\\"):
        return token[1:]
    if token.startswith("_"):
        return " "
    if token.startswith("*"):
        return None
    if token.startswith("["):
        currency = _CURRENCY.match(token)
        return currency[1] if currency else None
    return None if token in {"0", "#", "?", ".", ",", "@"} else token


def _date(number: Decimal, tokens: tuple[str, ...], epoch: dt.datetime) -> str:
    serial = float(number)
    if not 0 <= serial <= _MAX_SERIAL:
        return _general(number)
    has_fraction = any(re.match(r"s+\.0", token, re.IGNORECASE) for token in tokens)
    seconds = round(serial * 86400, 3) if has_fraction else round(serial * 86400)
    if epoch.year == 1899 and seconds < 60 * 86400:
        # The 29th of February 1900 that never was: before it, days count from the 31st of December.
        epoch += dt.timedelta(days=1)
    moment = epoch + dt.timedelta(seconds=seconds)
    is_12_hours = any(token.lower() in {"am/pm", "a/p"} for token in tokens)
    parts = []
    for place, token in enumerate(tokens):
        if not _DATE_TOKEN.match(token):
            text = _literal(token)
            parts.append(text if text is not None else token if token in {".", ","} else "")
            continue
        is_minutes = token[0] in "mM" and _is_minutes(tokens, place)
        parts.append(
            _date_part(
                token.lower(), moment, seconds, is_minutes=is_minutes, is_12_hours=is_12_hours
            )
        )
    return "".join(parts).strip()


def _is_minutes(tokens: tuple[str, ...], place: int) -> bool:
    """Whether an m means minutes: after hours, or before seconds."""
    dated = [(each, token.lower()) for each, token in enumerate(tokens) if _DATE_TOKEN.match(token)]
    before = [token for each, token in dated if each < place]
    after = [token for each, token in dated if each > place]
    follows_hours = bool(before) and before[-1].strip("[]").startswith("h")
    return len(tokens[place]) <= 2 and (follows_hours or bool(after and after[0][0] == "s"))


def _date_part(  # noqa: C901, PLR0911 - one line per token of the notation
    token: str, moment: dt.datetime, seconds: float, *, is_minutes: bool, is_12_hours: bool
) -> str:
    if token.startswith("["):
        unit = {"h": 3600, "m": 60, "s": 1}[token[1]]
        return str(int(seconds // unit))
    if token in {"am/pm", "a/p"}:
        return "AM" if moment.hour < 12 else "PM"
    letter, width = token[0], len(token)
    if letter == "y":
        return str(moment.year) if width > 2 else f"{moment.year % 100:02}"
    if letter == "m" and not is_minutes:
        if width <= 2:
            return str(moment.month).zfill(width)
        name = _MONTHS[moment.month - 1]
        return name if width == 4 else name[0] if width == 5 else name[:3]
    if letter == "d":
        if width <= 2:
            return str(moment.day).zfill(width)
        name = _DAYS[moment.weekday()]
        return name if width > 3 else name[:3]
    if letter == "h":
        hour = (moment.hour % 12 or 12) if is_12_hours else moment.hour
        return str(hour).zfill(min(width, 2))
    if letter == "m":
        return str(moment.minute).zfill(width)
    if "." in token:
        decimals = len(token.partition(".")[2])
        return f"{moment.second + moment.microsecond / 1e6:0{decimals + 3}.{decimals}f}"
    return str(moment.second).zfill(min(width, 2))


def _whole(text: str | None) -> int:
    return int(text) if text and text.isdigit() and len(text) < 9 else 0
