"""Filters on one document: what Milvus found is held against the truth once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
from services.filters.values import FieldType, Value
from services.retrieval.milvus.fitting import DOCUMENT_ID, URI, Fitting, builtin


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a filter can ask of a document."""

    document_id: str
    uri: str
    metadata: Mapping[str, Value | None]


def matches(tree: Filter, candidate: Candidate, fields: Mapping[str, FieldType]) -> bool:
    """Returns whether a document matches a filter.

    Args:
        tree: The filter, which `expressions.condition` took.
        candidate: The document.
        fields: The collection's fields.
    """
    values: dict[str, Any] = {
        name: value
        for name, value in candidate.metadata.items()
        if value is not None and name in fields
    }
    values[builtin(DOCUMENT_ID)] = candidate.document_id
    if candidate.uri:
        values[builtin(URI)] = candidate.uri
    return _Matcher(Fitting(fields, "filter"), values).is_true(tree)


class _Matcher:
    def __init__(self, fitting: Fitting, values: Mapping[str, Any]) -> None:
        self._fitting = fitting
        self._values = values

    def is_true(self, tree: Filter) -> bool:
        match tree:
            case And(operands):
                return all(map(self.is_true, operands))
            case Or(operands):
                return any(map(self.is_true, operands))
            case Not(operand):
                return not self.is_true(operand)
            case Equals(name, value):
                return self._equals(name, value)
            case OneOf(name, values):
                return any(self._equals(name, value) for value in values)
            case _:
                return self._is_single_true(tree)

    def _is_single_true(self, tree: Any) -> bool:
        column, kind = self._fitting.column(tree.field)
        held = self._values.get(column)
        if held is None:
            return False
        match tree:
            case Exists():
                return True
            case Prefix(_, prefix):
                return held.startswith(prefix)
            case ContainsAll(_, values):
                return held.issuperset(values)
        return self._is_within(tree, kind, held)

    def _equals(self, name: str, value: Value) -> bool:
        column, kind = self._fitting.column(name)
        held = self._values.get(column)
        if held is None:
            return False
        fitted = self._fitting.fit(name, kind, value)
        return fitted in held if kind is FieldType.TAGS else held == fitted

    def _is_within(self, tree: Range, kind: FieldType, held: Any) -> bool:
        def bound(value: Value | None) -> Any:
            return None if value is None else self._fitting.fit(tree.field, kind, value)

        low, above = bound(tree.gte), bound(tree.gt)
        high, below = bound(tree.lte), bound(tree.lt)
        return (
            (low is None or held >= low)
            and (above is None or held > above)
            and (high is None or held <= high)
            and (below is None or held < below)
        )
