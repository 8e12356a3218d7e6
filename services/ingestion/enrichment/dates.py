"""Days that a text names."""

from __future__ import annotations

import datetime as dt
import re

from services.filters.values import Timestamp
from services.ingestion.enrichment.scanning import find_all

_MIN_YEAR, _MAX_YEAR = 1000, 2999
_MONTHS: dict[str, int] = {}
for _names in (
    "january february march april may june july august september october november december",
    "jan feb mar apr may jun jul aug sep oct nov dec",
    "januar februar märz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
):
    _MONTHS |= {_name: _number for _number, _name in enumerate(_names.split(), start=1)}
_MONTHS["sept"] = 9
_NAME = "|".join(sorted(_MONTHS, key=len, reverse=True))

_YEAR_FIRST = re.compile(r"(?<![\d.-])(\d{4})([-/.])(\d{1,2})\2(\d{1,2})(?![\d-])")
_DAY_FIRST = re.compile(r"(?<![\d.])(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)")
_DAY_MONTH = re.compile(
    rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|\.)?\s{{1,3}}(?:of\s|de\s)?({_NAME})\.?,?\s{{1,3}}(?:de\s)?(\d{{4}})(?!\d)",
    re.IGNORECASE,
)
_MONTH_DAY = re.compile(
    rf"(?<!\w)({_NAME})\.?\s{{1,3}}(\d{{1,2}})(?:st|nd|rd|th)?,?\s{{1,3}}(\d{{4}})(?!\d)",
    re.IGNORECASE,
)


def find_days(text: str) -> set[dt.date]:
    """Returns the days a text names, in the forms in which they cannot be mistaken.

    01/02/2026 is left out: it is one day in Europe and another in America.
    """
    days = set()
    for match in find_all(_YEAR_FIRST, text):
        days.add(_day(int(match[1]), int(match[3]), int(match[4])))
    for match in find_all(_DAY_FIRST, text):
        first, second = int(match[1]), int(match[3])
        if match[2] == "." or first > 12 or first == second:
            days.add(_day(int(match[4]), second, first))
        elif second > 12:
            days.add(_day(int(match[4]), first, second))
    for match in find_all(_DAY_MONTH, text):
        days.add(_day(int(match[3]), _MONTHS[match[2].lower()], int(match[1])))
    for match in find_all(_MONTH_DAY, text):
        days.add(_day(int(match[3]), _MONTHS[match[1].lower()], int(match[2])))
    return {day for day in days if day is not None}


def timestamp_of(day: dt.date) -> Timestamp:
    """Returns the day's beginning, in UTC."""
    return Timestamp((day - dt.date(1970, 1, 1)).days * 86_400_000_000)


def _day(year: int, month: int, day: int) -> dt.date | None:
    if not _MIN_YEAR <= year <= _MAX_YEAR:
        return None
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None
