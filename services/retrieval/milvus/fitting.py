"""Fields and values of a filter, brought to the types that a collection's rows are kept in."""

from __future__ import annotations

from collections.abc import Mapping

from services.filters.ast import invalid_filter
from services.filters.values import FieldType, Timestamp, Value, parse_timestamp, type_of

DOCUMENT_ID, URI, SOURCE = "document_id", "uri", "source"
"""Built-in fields. `source` is the metadata field of that name where there is one, else the URI."""

_NUMBERS = {FieldType.FLOAT, FieldType.INTEGER}


class Fitting:
    """Resolves names and values.

    Args:
        fields: The collection's fields.
        path: Path of the filter in the request, for errors.
    """

    def __init__(self, fields: Mapping[str, FieldType], path: str) -> None:
        self.path = path
        self._fields = fields

    def column(self, name: str) -> tuple[str, FieldType]:
        """Returns under which name a field is kept, and its type.

        Raises:
            InvalidArgumentError: the collection has no such field.
        """
        if name == DOCUMENT_ID:
            return builtin(DOCUMENT_ID), FieldType.KEYWORD
        if name in self._fields:
            return name, self._fields[name]
        if name in {URI, SOURCE}:
            return builtin(URI), FieldType.KEYWORD
        known = ", ".join(sorted(self._fields)[:20]) or "none yet"
        raise invalid_filter(
            f"the collection has no field {name!r} (it has {known})",
            self.path,
            unknown_field=name,
        )

    def fit(self, name: str, kind: FieldType, value: Value) -> Value:
        """Returns a value in its field's type; an integer field may be compared with a fraction.

        Raises:
            InvalidArgumentError: it cannot be compared with the field.
        """
        given = type_of(value)
        if kind is FieldType.TAGS and isinstance(value, str):
            return value
        if kind in _NUMBERS and given in _NUMBERS:
            return float(value) if kind is FieldType.FLOAT else value  # pyright: ignore[reportArgumentType]
        if kind is FieldType.TIMESTAMP and isinstance(value, str):
            # Who writes JSON has no other way to write a time.
            value = parse_timestamp(value) or value
        if isinstance(value, Timestamp) and kind is FieldType.TIMESTAMP:
            return value
        if kind is given and kind is not FieldType.TAGS:
            return value
        wanted = "KEYWORD (one of the tags)" if kind is FieldType.TAGS else kind.name
        raise invalid_filter(
            f"{name!r} holds {kind.name}: compare it with {wanted}, not {given.name}",
            self.path,
            expected=kind.name,
            actual=given.name,
        )

    def wrong_operator(self, operator: str, name: str, kind: FieldType) -> Exception:
        """Returns the error for an operator that a type does not have."""
        return invalid_filter(f"{operator} does not apply to {name!r}, a {kind.name}", self.path)


def builtin(name: str) -> str:
    """Returns the name of a built-in field that no metadata field can have."""
    return f"\0{name}"
