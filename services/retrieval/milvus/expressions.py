"""Filters and scopes as Milvus expressions.

Every leaf is true or false, never unknown: an ordered value is compared only where the field is
known to be there. `not` therefore means what it means in the local view, whatever the server makes
of missing values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

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
    invalid_filter,
)
from services.filters.values import INT64_MAX, INT64_MIN, FieldType, Value
from services.retrieval.milvus.fitting import Fitting
from services.retrieval.milvus.tokens import (
    document_token,
    field_token,
    ordered,
    reader_token,
    tenant_token,
    value_token,
)

if TYPE_CHECKING:
    from services.retrieval.search import Reach

EVERYTHING = "ordinal >= -1"
NOTHING = "ordinal < -1"
CHUNKS = "ordinal >= 0"
"""Rows with a vector; a document without chunks has one row with ordinal -1."""
DOCUMENTS = "ordinal <= 0"
"""One row of each document."""
_MARKS = "marks"
_KEYS = "keys"


def scope(reach: Reach, now_micros: int) -> str:
    """Returns the condition that a scope may read a row, which is ANDed to every search."""
    readers = [reader_token(each) for each in sorted(set(reach.principals))]
    return f"{_has(tenant_token(reach.tenant))} and {_has_any(readers)} and expires > {now_micros}"


def condition(tree: Filter, fields: Mapping[str, FieldType], path: str = "filter") -> str:
    """Returns a filter as an expression.

    Args:
        tree: The filter.
        fields: The collection's fields.
        path: Path of the filter in the request, for errors.

    Raises:
        InvalidArgumentError: an unknown field, or a value or operator that does not fit its type.
    """
    return _Translator(Fitting(fields, path)).text(tree)


def every(*conditions: str) -> str:
    """Returns the conjunction of conditions."""
    return " and ".join(f"({each})" for each in conditions if each)


class _Translator:
    def __init__(self, fitting: Fitting) -> None:
        self._fitting = fitting

    def text(self, tree: Filter) -> str:  # noqa: PLR0911 - one per condition
        match tree:
            case And(operands):
                return _joined("and", map(self.text, operands), EVERYTHING)
            case Or(operands):
                return _joined("or", map(self.text, operands), NOTHING)
            case Not(operand):
                return f"not ({self.text(operand)})"
            case Equals(name, value):
                return self._one_of(name, (value,))
            case OneOf(name, values):
                return self._one_of(name, values)
            case ContainsAll(name, values):
                return self._contains_all(name, values)
            case Exists(name):
                return _has(field_token(self._fitting.column(name)[0]))
            case Prefix(name, prefix):
                return self._prefix(name, prefix)
            case Range():
                return self._range(tree)
        raise invalid_filter(f"unknown condition {type(tree).__name__}", self._fitting.path)

    def _one_of(self, name: str, values: Sequence[Value]) -> str:
        column, kind = self._fitting.column(name)
        fitted = [self._fitting.fit(name, kind, value) for value in values]
        wanted = [value_token(column, kind, each) for each in fitted if _is_exact(kind, each)]
        return _has_any(wanted)

    def _contains_all(self, name: str, values: Sequence[Value]) -> str:
        column, kind = self._fitting.column(name)
        if kind is not FieldType.TAGS:
            raise self._fitting.wrong_operator("contains_all", name, kind)
        fitted = [self._fitting.fit(name, kind, value) for value in values]
        wanted = [field_token(column), *(value_token(column, kind, each) for each in fitted)]
        return f"array_contains_all({_MARKS}, [{_quoted(wanted)}])"

    def _prefix(self, name: str, prefix: str) -> str:
        column, kind = self._fitting.column(name)
        if kind is not FieldType.KEYWORD:
            raise self._fitting.wrong_operator("prefix", name, kind)
        key = field_token(column)
        start = ordered(kind, prefix)
        return f'{_has(key)} and ({_KEYS}["{key}"] like "{start}%")'

    def _range(self, tree: Range) -> str:
        column, kind = self._fitting.column(tree.field)
        if kind in {FieldType.BOOL, FieldType.TAGS}:
            raise self._fitting.wrong_operator("range", tree.field, kind)
        key = field_token(column)
        parts = [_has(key)]
        for name, operator in _OPERATORS.items():
            bound = getattr(tree, name)
            if bound is None:
                continue
            fitted = self._fitting.fit(tree.field, kind, bound)
            parts.append(_bound(key, kind, name, operator, fitted))
        return " and ".join(parts)


_OPERATORS = {"gte": ">=", "gt": ">", "lte": "<=", "lt": "<"}


def _bound(key: str, kind: FieldType, name: str, operator: str, value: Value) -> str:
    if kind is FieldType.INTEGER:
        # Between whole numbers a fraction is as good as the next whole one on the safe side.
        number: Any = value
        whole = math.ceil(number) if name in {"gte", "lt"} else math.floor(number)
        if not INT64_MIN <= whole <= INT64_MAX:
            is_true = (whole < 0) == (name in {"gte", "gt"})
            return EVERYTHING if is_true else NOTHING
        value = whole
    return f'{_KEYS}["{key}"] {operator} "{ordered(kind, value)}"'


def _is_exact(kind: FieldType, value: Value) -> bool:
    """Returns whether a value of the field's type can be equal to this one."""
    if kind is not FieldType.INTEGER:
        return True
    return value == int(value) and INT64_MIN <= int(value) <= INT64_MAX  # pyright: ignore[reportArgumentType]


def _has(mark: str) -> str:
    return f'array_contains({_MARKS}, "{mark}")'


def _has_any(marks: Sequence[str]) -> str:
    if not marks:
        return NOTHING
    if len(marks) == 1:
        return _has(marks[0])
    return f"array_contains_any({_MARKS}, [{_quoted(marks)}])"


def _quoted(marks: Iterable[str]) -> str:
    return ", ".join(f'"{each}"' for each in marks)


def _joined(word: str, parts: Iterable[str], empty: str) -> str:
    found = [f"({each})" for each in parts]
    return f" {word} ".join(found) if found else empty


def documents(ids: Iterable[str]) -> str:
    """Returns the condition that a row belongs to one of some documents."""
    return f"document_key in [{_quoted(map(document_token, ids))}]"
