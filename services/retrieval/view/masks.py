"""Evaluates filters and permissions to masks over the document rows of a snapshot.

Everything a search returns lies inside the mask made here: live, not expired, readable by one of
the scope's principals, and matching the filter. The mask is made before the search, so nothing is
found and then thrown away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

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
from services.filters.values import FieldType, Timestamp, Value, parse_timestamp, type_of
from services.retrieval.view.columns import KeywordColumn, NumberColumn, TagsColumn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from services.retrieval.view.columns import Column
    from services.retrieval.view.rows import Snapshot

DOCUMENT_ID, URI, SOURCE = "document_id", "uri", "source"
"""Built-in fields. `source` is the metadata field of that name where there is one, else the URI."""

_COMPARABLE = {FieldType.KEYWORD, FieldType.INTEGER, FieldType.FLOAT, FieldType.TIMESTAMP}


def readable(snapshot: Snapshot, principals: Sequence[str], now_micros: int) -> NDArray[np.bool_]:
    """Returns which document rows live, are not expired, and one of the principals may read."""

    def make() -> NDArray[np.bool_]:
        mask = np.zeros(snapshot.document_count, np.bool_)
        for principal in set(principals):
            mask[snapshot.rows.acl.postings.get(principal, snapshot.document_count)] = True
        return mask & snapshot.live

    mask = snapshot.masks.get(("acl", frozenset(principals)), make)
    if snapshot.rows.has_expiring:
        return mask & (snapshot.rows.expires.rows(snapshot.document_count) > now_micros)
    return mask


def matching(
    snapshot: Snapshot, tree: Filter, fields: Mapping[str, FieldType], path: str = "filter"
) -> NDArray[np.bool_]:
    """Returns which document rows match a filter, whether or not they live.

    Args:
        snapshot: State to evaluate in.
        tree: The filter.
        fields: The collection's fields.
        path: Path of the filter in the request, for errors.

    Raises:
        InvalidArgumentError: an unknown field, or a value or operator that does not fit its type.
    """
    evaluator = _Evaluator(snapshot, fields, path)
    # By its text: 1, 1.0 and True are equal to Python, and different to a filter.
    return snapshot.masks.get(("filter", repr(tree)), lambda: evaluator.mask(tree))


def chunk_mask(snapshot: Snapshot, documents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which chunk rows belong to the given document rows."""
    return documents[snapshot.document_of]


def column_of(
    snapshot: Snapshot, name: str, fields: Mapping[str, FieldType], path: str
) -> tuple[FieldType, Column | None]:
    """Returns a field's type and its column; None when no document in the snapshot has the field.

    Raises:
        InvalidArgumentError: the collection has no such field.
    """
    if name in fields:
        return fields[name], snapshot.rows.fields.get(name)
    if name in {URI, SOURCE}:
        return FieldType.KEYWORD, snapshot.rows.uris
    known = ", ".join(sorted(fields)[:20]) or "none yet"
    raise invalid_filter(
        f"the collection has no field {name!r} (it has {known})", path, unknown_field=name
    )


class _Evaluator:
    """Evaluates one filter."""

    def __init__(self, snapshot: Snapshot, fields: Mapping[str, FieldType], path: str) -> None:
        self._snapshot = snapshot
        self._fields = fields
        self._path = path
        self._count = snapshot.document_count

    def mask(self, tree: Filter) -> NDArray[np.bool_]:
        match tree:
            case And(operands):
                mask = np.ones(self._count, np.bool_)
                for operand in operands:
                    mask &= self.mask(operand)
                return mask
            case Or(operands):
                mask = self._none()
                for operand in operands:
                    mask |= self.mask(operand)
                return mask
            case Not(operand):
                return ~self.mask(operand)
            case Equals(name, value):
                return self._one_of(name, (value,))
            case OneOf(name, values):
                return self._one_of(name, values)
            case _:
                return self._single(tree)

    def _single(self, tree: Filter) -> NDArray[np.bool_]:
        match tree:
            case Range():
                return self._range(tree)
            case Exists(name):
                if name == DOCUMENT_ID:
                    return np.ones(self._count, np.bool_)
                _, column = self._column(name)
                return self._none() if column is None else column.present(self._count).copy()
            case Prefix(name, prefix):
                return self._prefix(name, prefix)
            case ContainsAll(name, values):
                return self._contains_all(name, values)
        raise invalid_filter(f"unknown condition {type(tree).__name__}", self._path)

    def _one_of(self, name: str, values: Sequence[Value]) -> NDArray[np.bool_]:
        if name == DOCUMENT_ID:
            return self._ids([self._fit(name, FieldType.KEYWORD, value) for value in values])
        kind, column = self._column(name)
        fitted = [self._fit(name, kind, value) for value in values]
        mask = self._none()
        if isinstance(column, KeywordColumn):
            codes = [code for v in fitted if (code := column.code(v)) is not None]
            rows = column.codes(self._count)
            return rows == codes[0] if len(codes) == 1 else np.isin(rows, codes)
        if isinstance(column, TagsColumn):
            for value in fitted:
                mask[column.postings.get(value, self._count)] = True
        elif isinstance(column, NumberColumn):
            numbers = column.values(self._count)
            exact = [v for v in fitted if kind is not FieldType.INTEGER or v == int(v)]
            mask = np.isin(numbers, np.array(exact, numbers.dtype))
            mask &= column.present(self._count)
        return mask

    def _ids(self, ids: Sequence[str]) -> NDArray[np.bool_]:
        mask = self._none()
        for each in ids:
            row = self._snapshot.row_of(each)
            if row is not None:
                mask[row] = True
        return mask

    def _contains_all(self, name: str, values: Sequence[Value]) -> NDArray[np.bool_]:
        kind, column = self._column(name)
        if kind is not FieldType.TAGS:
            raise self._wrong_operator("contains_all", name, kind)
        fitted = [self._fit(name, kind, value) for value in values]
        if not isinstance(column, TagsColumn):
            return self._none()
        mask = column.present(self._count).copy()
        for value in fitted:
            has_it = self._none()
            has_it[column.postings.get(value, self._count)] = True
            mask &= has_it
        return mask

    def _range(self, tree: Range) -> NDArray[np.bool_]:
        if tree.field == DOCUMENT_ID:
            return self._id_mask(lambda text: _is_within(text, tree))
        kind, column = self._column(tree.field)
        if kind not in _COMPARABLE:
            raise self._wrong_operator("range", tree.field, kind)
        bounds = {
            name: self._fit(tree.field, kind, bound)
            for name in ("gte", "gt", "lte", "lt")
            if (bound := getattr(tree, name)) is not None
        }
        fitted = Range(tree.field, **bounds)
        if isinstance(column, KeywordColumn):
            return self._text_mask(column, lambda text: _is_within(text, fitted))
        if not isinstance(column, NumberColumn):
            return self._none()
        values = column.values(self._count)
        mask = column.present(self._count).copy()
        for name, bound in bounds.items():
            exact = bound
            if kind is FieldType.INTEGER and isinstance(bound, float):
                # Large integers would lose digits if they were compared as floats.
                exact = math.ceil(bound) if name in {"gte", "lt"} else math.floor(bound)
            mask &= _COMPARE[name](values, exact)
        return mask

    def _prefix(self, name: str, prefix: str) -> NDArray[np.bool_]:
        if name == DOCUMENT_ID:
            return self._id_mask(lambda text: text.startswith(prefix))
        kind, column = self._column(name)
        if kind is not FieldType.KEYWORD:
            raise self._wrong_operator("prefix", name, kind)
        if not isinstance(column, KeywordColumn):
            return self._none()
        return self._text_mask(column, lambda text: text.startswith(prefix))

    def _text_mask(self, column: KeywordColumn, test: Any) -> NDArray[np.bool_]:
        # One test per different text, then a look-up per row; the last place stands for null (-1).
        texts = column.texts()
        wanted = np.zeros(len(texts) + 1, np.bool_)
        wanted[: len(texts)] = np.fromiter(map(test, texts), np.bool_, len(texts))
        return wanted[column.codes(self._count)]

    def _id_mask(self, test: Any) -> NDArray[np.bool_]:
        ids = self._snapshot.rows.ids[: self._count]
        return np.fromiter(map(test, ids), np.bool_, self._count)

    def _column(self, name: str) -> tuple[FieldType, Column | None]:
        return column_of(self._snapshot, name, self._fields, self._path)

    def _fit(self, name: str, kind: FieldType, value: Value) -> Any:
        """Returns a value in the field's type, as its column holds it."""
        given = type_of(value)
        if kind is FieldType.TAGS and isinstance(value, str):
            return value
        if kind in {FieldType.FLOAT, FieldType.INTEGER} and given in {
            FieldType.FLOAT,
            FieldType.INTEGER,
        }:
            return value
        if kind is FieldType.TIMESTAMP and isinstance(value, str):
            # Who writes JSON has no other way to write a time.
            value = parse_timestamp(value) or value
        if isinstance(value, Timestamp) and kind is FieldType.TIMESTAMP:
            return value.micros
        if kind is given and kind is not FieldType.TAGS:
            return value
        wanted = "KEYWORD (one of the tags)" if kind is FieldType.TAGS else kind.name
        raise invalid_filter(
            f"{name!r} holds {kind.name}: compare it with {wanted}, not {given.name}",
            self._path,
            expected=kind.name,
            actual=given.name,
        )

    def _wrong_operator(self, operator: str, name: str, kind: FieldType) -> Exception:
        return invalid_filter(f"{operator} does not apply to {name!r}, a {kind.name}", self._path)

    def _none(self) -> NDArray[np.bool_]:
        return np.zeros(self._count, np.bool_)


def _is_within(text: str, bounds: Range) -> bool:
    return (
        (bounds.gte is None or text >= bounds.gte)  # pyright: ignore[reportOperatorIssue]
        and (bounds.gt is None or text > bounds.gt)  # pyright: ignore[reportOperatorIssue]
        and (bounds.lte is None or text <= bounds.lte)  # pyright: ignore[reportOperatorIssue]
        and (bounds.lt is None or text < bounds.lt)  # pyright: ignore[reportOperatorIssue]
    )


_COMPARE: Any = {
    "gte": np.greater_equal,
    "gt": np.greater,
    "lte": np.less_equal,
    "lt": np.less,
}
