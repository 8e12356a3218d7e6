"""Filters and metadata values to protobuf and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cairn.types.v1 import metadata_pb2 as pb

from services.filters.ast import (
    MAX_DEPTH,
    MAX_VALUES,
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
    check_limits,
    invalid_filter,
    too_deep,
)
from services.filters.values import MAX_MICROS, MIN_MICROS, Timestamp, Value
from services.rpc.errors import InvalidArgumentError, Reason

_BOUNDS = ("gte", "gt", "lte", "lt")


def value_from_proto(  # noqa: PLR0911 - one per kind
    message: pb.MetadataValue, path: str
) -> Value | None:
    """Returns the value, or None for null.

    Args:
        message: The value.
        path: Its place in the request, for errors.

    Raises:
        InvalidArgumentError: NaN, an infinity, a timestamp out of range, or text with NUL
            characters.
    """
    match message.WhichOneof("kind"):
        case None:
            return None
        case "keyword":
            return _text(message.keyword, path)
        case "integer":
            return message.integer
        case "float":
            if not math.isfinite(message.float):
                raise InvalidArgumentError.for_field(path, "NaN and infinities are not stored")
            return message.float
        case "bool":
            return message.bool
        case "timestamp":
            return timestamp_from_proto(message.timestamp, path)
        case _:
            tags = list(message.tags.values)
            _text("".join(tags), path)
            return frozenset(tags)


def timestamp_from_proto(message: object, path: str) -> Timestamp:
    """Returns the point in time, cut to microseconds.

    Raises:
        InvalidArgumentError: it lies outside the years 1 to 9999, or its nanoseconds outside a
            second.
    """
    seconds, nanos = message.seconds, message.nanos  # pyright: ignore[reportAttributeAccessIssue]
    micros = seconds * 1_000_000 + nanos // 1000
    if not 0 <= nanos < 1_000_000_000 or not MIN_MICROS <= micros <= MAX_MICROS:
        raise InvalidArgumentError.for_field(path, "must be a time in the years 1 to 9999")
    return Timestamp(micros)


def value_to_proto(value: Value | None) -> pb.MetadataValue:  # noqa: PLR0911 - one per type
    """Returns the value as a message; None becomes a null."""
    if value is None:
        return pb.MetadataValue()
    if isinstance(value, bool):
        return pb.MetadataValue(bool=value)
    if isinstance(value, str):
        return pb.MetadataValue(keyword=value)
    if isinstance(value, int):
        return pb.MetadataValue(integer=value)
    if isinstance(value, float):
        return pb.MetadataValue(float=value)
    if isinstance(value, Timestamp):
        message = pb.MetadataValue()
        message.timestamp.seconds = value.micros // 1_000_000
        message.timestamp.nanos = value.micros % 1_000_000 * 1000
        return message
    return pb.MetadataValue(tags=pb.Tags(values=sorted(value)))


def from_proto(message: pb.Filter, field: str = "filter") -> Filter:
    """Returns the filter that a message stands for.

    Args:
        message: The filter; every `condition` in it must be set.
        field: Its path in the request, for errors.

    Raises:
        InvalidArgumentError: the filter is malformed, too deep or too large (reason
            INVALID_FILTER).
    """
    tree = _read(message, field, 1)
    check_limits(tree, field)
    return tree


def to_proto(tree: Filter) -> pb.Filter:  # noqa: PLR0911 - one per condition
    """Returns the filter as a message."""
    match tree:
        case And(operands):
            return pb.Filter(all_of=pb.FilterList(filters=map(to_proto, operands)))
        case Or(operands):
            return pb.Filter(any_of=pb.FilterList(filters=map(to_proto, operands)))
        case Not(operand):
            return pb.Filter(negation=to_proto(operand))
        case Equals(field, value):
            return pb.Filter(equals=pb.FieldValue(field=field, value=value_to_proto(value)))
        case OneOf(field, values):
            return pb.Filter(one_of=_values_to_proto(field, values))
        case ContainsAll(field, values):
            return pb.Filter(contains_all=_values_to_proto(field, values))
        case Exists(field):
            return pb.Filter(exists=field)
        case Prefix(field, prefix):
            return pb.Filter(prefix=pb.FieldPrefix(field=field, prefix=prefix))
        case Range(field):
            bounds = {
                name: value_to_proto(bound)
                for name in _BOUNDS
                if (bound := getattr(tree, name)) is not None
            }
            return pb.Filter(range=pb.FieldRange(field=field, **bounds))


def _read(  # noqa: C901, PLR0911 - one case per condition
    message: pb.Filter, field: str, depth: int
) -> Filter:
    if depth > MAX_DEPTH:
        raise too_deep(field)
    match message.WhichOneof("condition"):
        case "all_of":
            return And(tuple(_read(m, field, depth + 1) for m in message.all_of.filters))
        case "any_of":
            return Or(tuple(_read(m, field, depth + 1) for m in message.any_of.filters))
        case "negation":
            return Not(_read(message.negation, field, depth + 1))
        case "equals":
            name = _name(message.equals.field, field)
            return Equals(name, _value(message.equals.value, field, name))
        case "one_of":
            name = _name(message.one_of.field, field)
            return OneOf(name, _values(message.one_of, field, name))
        case "contains_all":
            name = _name(message.contains_all.field, field)
            return ContainsAll(name, _values(message.contains_all, field, name))
        case "range":
            return _range(message.range, field)
        case "exists":
            return Exists(_name(message.exists, field))
        case "prefix":
            return Prefix(_name(message.prefix.field, field), _text(message.prefix.prefix, field))
    raise invalid_filter("a condition must be set", field)


def _range(message: pb.FieldRange, field: str) -> Range:
    name = _name(message.field, field)
    bounds = {
        bound: _value(getattr(message, bound), field, name)
        for bound in _BOUNDS
        if message.HasField(bound)
    }
    if not bounds:
        raise invalid_filter(f"the range of {name!r} needs a bound", field)
    return Range(name, **bounds)


def _values(message: pb.FieldValues, field: str, name: str) -> tuple[Value, ...]:
    if len(message.values) > MAX_VALUES:
        raise invalid_filter(f"{name!r} is compared with more than {MAX_VALUES} values", field)
    return tuple(_value(value, field, name) for value in message.values)


def _value(message: pb.MetadataValue, field: str, name: str) -> Value:
    try:
        value = value_from_proto(message, field)
    except InvalidArgumentError as error:
        raise invalid_filter(f"the value for {name!r}: {error.message}", field) from None
    if value is None:
        raise invalid_filter(
            f"{name!r} is compared with nothing: use exists to test for null", field
        )
    return value


def _name(name: str, field: str) -> str:
    if not name:
        raise invalid_filter("a condition names no field", field)
    return name


def _values_to_proto(field: str, values: Sequence[Value]) -> pb.FieldValues:
    return pb.FieldValues(field=field, values=map(value_to_proto, values))


def _text(text: str, path: str) -> str:
    if "\0" in text:
        raise InvalidArgumentError.for_field(
            path, "NUL characters cannot be stored", Reason.INVALID_TEXT
        )
    return text
