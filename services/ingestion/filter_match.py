"""Whether a filter holds for a document that retrieval does not have yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.filters.ast import (
    And,
    ContainsAll,
    Equals,
    Exists,
    Not,
    OneOf,
    Or,
    Prefix,
    Range,
)
from services.filters.values import Timestamp, parse_timestamp

if TYPE_CHECKING:
    from services.filters.ast import Filter
    from services.filters.values import Value


def matches(tree: Filter, fields: Mapping[str, Value | None]) -> bool:
    """Returns whether a filter holds.

    Args:
        tree: The filter.
        fields: Values by field, the built-in ones ("document_id", "uri", "source") among them.
    """
    match tree:
        case And(operands):
            return all(matches(each, fields) for each in operands)
        case Or(operands):
            return any(matches(each, fields) for each in operands)
        case Not(operand):
            return not matches(operand, fields)
        case _:
            value = fields.get(tree.field)
            return value is not None and _holds(tree, value)


def _holds(tree: Any, value: Value) -> bool:
    held = False
    match tree:
        case Exists():
            held = True
        case Equals(_, wanted):
            held = _is(value, wanted)
        case OneOf(_, wanted):
            held = any(_is(value, each) for each in wanted)
        case Prefix(_, prefix):
            held = isinstance(value, str) and value.startswith(prefix)
        case ContainsAll(_, wanted):
            held = isinstance(value, frozenset) and all(each in value for each in wanted)
        case Range():
            held = _is_between(tree, value)
    return held


def _is(value: Value, wanted: Value) -> bool:
    if isinstance(value, frozenset):
        return wanted in value
    wanted = _like(value, wanted)
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _is_between(tree: Range, value: Any) -> bool:
    bounds = {name: getattr(tree, name) for name in ("gte", "gt", "lte", "lt")}
    given = {name: _like(value, each) for name, each in bounds.items() if each is not None}
    try:
        return (
            ("gte" not in given or value >= given["gte"])
            and ("gt" not in given or value > given["gt"])
            and ("lte" not in given or value <= given["lte"])
            and ("lt" not in given or value < given["lt"])
        )
    except TypeError:  # another type than the field's: no match
        return False


def _like(value: Value, wanted: Any) -> Any:
    """Returns the wanted value in the field's type: filters write points in time as text, too."""
    if isinstance(value, Timestamp) and isinstance(wanted, str):
        return parse_timestamp(wanted)
    return wanted
