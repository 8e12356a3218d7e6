"""OpenAI's filters on attributes as conditions on metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.filters.ast import (
    MAX_CONDITIONS,
    MAX_DEPTH,
    MAX_VALUES,
    And,
    Equals,
    Not,
    OneOf,
    Or,
    Range,
    invalid_filter,
    too_deep,
)
from services.filters.values import INT64_MAX, INT64_MIN
from services.gateway.texts import check_text

if TYPE_CHECKING:
    from services.filters.ast import Filter
    from services.filters.values import Value

_COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_KEYS = frozenset({"type", "key", "value", "filters"})


def attribute_filter(given: Mapping[str, Any] | None, field: str = "filters") -> Filter | None:
    """Returns the condition; None for none.

    Raises:
        InvalidArgumentError: INVALID_FILTER with what is wrong.
    """
    if given is None:
        return None
    return _Reader(field).condition(given, 1)


class _Reader:
    def __init__(self, field: str) -> None:
        self._field = field
        self._conditions = 0
        self._values = 0

    def condition(self, given: Any, depth: int) -> Filter:
        if not isinstance(given, Mapping) or not set(given) <= _KEYS:
            raise self._wrong("each filter is an object of type, key and value, or filters")
        self._conditions += 1
        if depth > MAX_DEPTH:
            raise too_deep(self._field)
        if self._conditions > MAX_CONDITIONS:
            raise self._wrong(f"has more than {MAX_CONDITIONS} conditions")
        kind = given.get("type")
        if kind in ("and", "or"):
            operands = given.get("filters")
            if not isinstance(operands, list) or not operands:
                raise self._wrong(f"{kind} needs a list of filters")
            tree = tuple(self.condition(each, depth + 1) for each in operands)
            return And(tree) if kind == "and" else Or(tree)
        if kind not in _COMPARISONS:
            raise self._wrong(f"type must be one of {', '.join(_COMPARISONS)}, and, or")
        key = given.get("key")
        if not isinstance(key, str):
            raise self._wrong("key must be the name of an attribute")
        check_text(f"{self._field} (key)", key, limit=128, required=True)
        return self._comparison(kind, key, given.get("value"))

    def _comparison(self, kind: str, key: str, value: Any) -> Filter:
        if kind in ("in", "nin"):
            if not isinstance(value, list) or not value:
                raise self._wrong(f"{kind} needs a list of values")
            self._values += len(value)
            if self._values > MAX_VALUES:
                raise self._wrong(f"compares with more than {MAX_VALUES} values")
            among = OneOf(key, tuple(self._value(each) for each in value))
            return among if kind == "in" else Not(among)
        single = self._value(value)
        match kind:
            case "eq":
                return Equals(key, single)
            case "ne":
                return Not(Equals(key, single))
            case _:
                return Range(key, **{kind: single})

    def _value(self, value: Any) -> Value:
        if isinstance(value, str):
            return check_text(f"{self._field} (value)", value, limit=8_192)
        if isinstance(value, bool | float):
            return value
        if isinstance(value, int) and INT64_MIN <= value <= INT64_MAX:
            return value
        raise self._wrong("a value must be a text, a number of 64 bits, true or false")

    def _wrong(self, message: str) -> Exception:
        return invalid_filter(message, self._field)
