"""Typed metadata values, as filters compare them and documents carry them."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


class FieldType(enum.IntEnum):
    """Type of a metadata field, numbered as in `cairn.types.v1.FieldType`."""

    KEYWORD = 1
    INTEGER = 2
    FLOAT = 3
    BOOL = 4
    TIMESTAMP = 5
    TAGS = 6


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """A point in time."""

    micros: int
    """Microseconds since 1970-01-01T00:00:00Z; may be negative."""


Value = str | int | float | bool | Timestamp | frozenset[str]
"""A value: KEYWORD, INTEGER, FLOAT, BOOL, TIMESTAMP or TAGS. Null is None beside it."""

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MIN_MICROS = -62_135_596_800_000_000
"""0001-01-01T00:00:00Z, the earliest timestamp protobuf knows."""
MAX_MICROS = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z."""

_TIMESTAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}"
    r"(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|z|[+-]\d{2}:?\d{2})?)?"
)


_TYPES: dict[type, FieldType] = {
    str: FieldType.KEYWORD,
    int: FieldType.INTEGER,
    float: FieldType.FLOAT,
    bool: FieldType.BOOL,
    Timestamp: FieldType.TIMESTAMP,
    frozenset: FieldType.TAGS,
}


def type_of(value: Value) -> FieldType:
    """Returns the type of a value."""
    return _TYPES[type(value)]


def parse_timestamp(text: str) -> Timestamp | None:
    """Reads an ISO 8601 date or date and time, in UTC without a zone; None when it is not one."""
    if not _TIMESTAMP.fullmatch(text):
        return None
    # Python reads at most microseconds; RFC 3339 allows nanoseconds.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("z", "Z"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    micros = (moment - EPOCH) // timedelta(microseconds=1)
    return Timestamp(micros) if MIN_MICROS <= micros <= MAX_MICROS else None


def format_timestamp(value: Timestamp) -> str:
    """Returns the timestamp in ISO 8601, in UTC."""
    moment = EPOCH + timedelta(microseconds=value.micros)
    return moment.isoformat().replace("+00:00", "Z")
