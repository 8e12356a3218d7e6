"""Writes filters in their text form, so that what `parse` reads can also be shown and kept."""

from __future__ import annotations

import re

from services.filters.ast import (
    And,
    ContainsAll,
    Equals,
    Exists,
    Filter,
    Not,
    OneOf,
    Or,
    Prefix,
    Range,
)
from services.filters.parser import RESERVED
from services.filters.values import Timestamp, Value, format_timestamp

_PLAIN_NAME = re.compile(r"[^\W\d][\w.\-]*")
_ALWAYS = "EXISTS document_id"
"""Every document has an id."""
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_COMPARISONS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


def to_text(tree: Filter) -> str:  # noqa: C901, PLR0911 - one per condition
    """Returns a text that `parse` reads as a filter of the same meaning.

    Raises:
        ValueError: a field's name holds a backquote, or a value is a set: the text form has
            neither.
    """
    match tree:
        case And(operands):
            return _joined(" AND ", operands) if operands else _ALWAYS
        case Or(operands):
            return _joined(" OR ", operands) if operands else f"NOT {_ALWAYS}"
        case Not(operand):
            return f"NOT ({to_text(operand)})"
        case Equals(field, value):
            return f"{_name(field)} = {_value(value)}"
        case OneOf(field, values):
            if not values:
                return f"NOT {_ALWAYS}"
            return f"{_name(field)} IN ({', '.join(map(_value, values))})"
        case ContainsAll(field, values):
            if not values:
                return f"EXISTS {_name(field)}"
            return f"{_name(field)} CONTAINS ALL ({', '.join(map(_value, values))})"
        case Exists(field):
            return f"EXISTS {_name(field)}"
        case Prefix(field, prefix):
            return f"{_name(field)} STARTS WITH {_value(prefix)}"
        case Range(field):
            bounds = [
                f"{_name(field)} {sign} {_value(bound)}"
                for name, sign in _COMPARISONS.items()
                if (bound := getattr(tree, name)) is not None
            ]
            return bounds[0] if len(bounds) == 1 else f"({' AND '.join(bounds)})"


def _joined(word: str, operands: tuple[Filter, ...]) -> str:
    if len(operands) == 1:
        return to_text(operands[0])
    return word.join(
        f"({to_text(each)})" if isinstance(each, And | Or) else to_text(each) for each in operands
    )


def _name(name: str) -> str:
    if _PLAIN_NAME.fullmatch(name) and name.upper() not in RESERVED | {"TRUE", "FALSE"}:
        return name
    if "`" in name or not name:
        raise ValueError(f"the text form has no way to write the name {name!r}")
    return f"`{name}`"


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_ESCAPES.get(each, each) for each in value) + '"'
    if isinstance(value, Timestamp):
        return format_timestamp(value)
    if isinstance(value, int | float):
        return repr(value)
    raise ValueError("the text form has no way to write a set")
