"""Evaluates filters and permissions to masks over the document rows of a snapshot.

Everything a search returns lies inside the mask made here: live, not expired, readable by one of
the scope's principals, and matching the filter. The mask is made before the search, so nothing is
found and then thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
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
from services.filters.values import (
    INT64_MAX,
    INT64_MIN,
    FieldType,
    Timestamp,
    Value,
    parse_timestamp,
    type_of,
)
from services.retrieval.vectors.allowed import Allowed
from services.retrieval.view.columns import KeywordColumn, NumberColumn, TagsColumn
from services.retrieval.view.texts import ABSENT

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
    readers = frozenset(principals)
    mask = snapshot.masks.get(
        ("acl", readers),
        lambda: _granted(snapshot, readers, snapshot.document_count) & snapshot.live,
    )
    ends = _ends(snapshot, now_micros)
    if ends is not None and len(ends.gone):
        mask = mask.copy()
        mask[ends.gone] = False
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
    # By its text: 1, 1.0 and True are equal to Python, and different to a filter. With the fields'
    # types, which may come to be known after a first search was refused.
    return snapshot.rows.masks.get(
        ("filter", repr(tree)),
        snapshot.document_count,
        lambda first: _Evaluator(snapshot, fields, path, first).mask(tree),
    )


def allowed(
    snapshot: Snapshot,
    principals: Sequence[str],
    tree: Filter | None,
    fields: Mapping[str, FieldType],
    now_micros: int,
    path: str = "options.filter",
) -> Allowed:
    """Returns the chunk rows a search may return; the same object again while nothing changes.

    Args:
        snapshot: State to evaluate in.
        principals: Who asks.
        tree: The filter; None: everything readable.
        fields: The collection's fields.
        now_micros: The time, for documents that expire.
        path: Path of the filter in the request, for errors.

    Raises:
        InvalidArgumentError: as for `matching`.
    """
    readers = frozenset(principals)
    key = ("allowed", readers, repr(tree))

    def make() -> Allowed:
        mask = _allowed_rows(snapshot, readers, tree, fields, path) & snapshot.live_chunk_mask
        mask.flags.writeable = False
        return Allowed(mask)

    found = snapshot.masks.get(key, make)
    ends = _ends(snapshot, now_micros)
    if ends is None or not len(ends.gone):
        return found
    gone = ends.gone

    def make_without() -> Allowed:
        # Few documents are past their time and still there: a sweep deletes them.
        mask = found.mask.copy()
        for row in gone.tolist():
            chunks = snapshot.chunks_of(row)
            mask[chunks.start : chunks.stop] = False
        return Allowed(mask)

    return snapshot.masks.get((*key, ends.since), make_without)


def chunk_mask(snapshot: Snapshot, documents: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns which chunk rows belong to the given document rows."""
    return documents[snapshot.document_of]


def _allowed_rows(
    snapshot: Snapshot,
    readers: frozenset[str],
    tree: Filter | None,
    fields: Mapping[str, FieldType],
    path: str,
) -> NDArray[np.bool_]:
    """Returns the chunk rows of documents that are granted and match, whether or not they live."""
    documents = _granted(snapshot, readers, snapshot.document_count)
    if tree is not None:
        documents = documents & matching(snapshot, tree, fields, path)
    return snapshot.rows.masks.get(
        ("chunks", readers, repr(tree)),
        snapshot.chunk_count,
        lambda first: documents[snapshot.document_of[first:]],
    )


def _granted(snapshot: Snapshot, readers: frozenset[str], count: int) -> NDArray[np.bool_]:
    """Returns the document rows whose access list names one of the readers."""

    def make(first: int) -> NDArray[np.bool_]:
        mask = np.zeros(count - first, np.bool_)
        for reader in readers:
            mask[snapshot.rows.acl.postings.get(reader, count, first) - np.uint32(first)] = True
        return mask

    return snapshot.rows.masks.get(("acl", readers), count, make)


@dataclass(frozen=True, slots=True)
class _Ends:
    """What is past its time, and how long that stays so."""

    since: int
    """Time from which on it is known, in microseconds since 1970."""
    until: int
    """Time at which the next live document ends; INT64_MAX: none does."""
    gone: NDArray[np.int64]
    """Live document rows past their time."""


def _ends(snapshot: Snapshot, now_micros: int) -> _Ends | None:
    """Returns which documents are past their time; None: none of them ever had an end.

    All rows are looked at when the next of them ends, not for each search.
    """
    expires = snapshot.rows.expires
    if expires is None:
        return None
    kept: dict[str, _Ends] = snapshot.masks.get("ends", dict)
    known = kept.get("last")
    if known is not None and known.since <= now_micros < known.until:
        return known
    # A document that had an end before any other had is in the column as soon as it is in the rows.
    ends = expires.rows(snapshot.document_count)
    past = np.flatnonzero(ends <= now_micros)
    coming = ends[snapshot.live & (ends > now_micros)]
    until = int(coming.min()) if len(coming) else INT64_MAX
    found = kept["last"] = _Ends(now_micros, until, past[snapshot.live[past]])
    return found


def next_end(snapshot: Snapshot, now_micros: int) -> int | None:
    """Returns when a live document ceases to be readable next, by its own time; None: none does."""
    ends = _ends(snapshot, now_micros)
    return None if ends is None or ends.until == INT64_MAX else ends.until


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
    """Evaluates one filter over the document rows from one on."""

    def __init__(
        self, snapshot: Snapshot, fields: Mapping[str, FieldType], path: str, first: int
    ) -> None:
        self._snapshot = snapshot
        self._fields = fields
        self._path = path
        self._first = first
        self._last = snapshot.document_count
        self._count = self._last - first

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
                return self._none() if column is None else self._present(column).copy()
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
            rows = column.codes(self._last)[self._first :]
            return rows == codes[0] if len(codes) == 1 else np.isin(rows, codes)
        if isinstance(column, TagsColumn):
            for value in fitted:
                mask[self._having(column, value)] = True
        elif isinstance(column, NumberColumn):
            numbers = column.values(self._last)[self._first :]
            exact = [v for v in fitted if kind is not FieldType.INTEGER or _is_int64(v)]
            mask = np.isin(numbers, np.array(exact, numbers.dtype))
            mask &= self._present(column)
        return mask

    def _ids(self, ids: Sequence[str]) -> NDArray[np.bool_]:
        # All versions of the documents: which of them lives differs from state to state.
        rows = self._snapshot.rows
        codes = [code for each in ids if (code := rows.id_table.code(each)) != ABSENT]
        return np.isin(rows.id_codes.rows(self._last)[self._first :], codes)

    def _contains_all(self, name: str, values: Sequence[Value]) -> NDArray[np.bool_]:
        kind, column = self._column(name)
        if kind is not FieldType.TAGS:
            raise self._wrong_operator("contains_all", name, kind)
        fitted = [self._fit(name, kind, value) for value in values]
        if not isinstance(column, TagsColumn):
            return self._none()
        mask = self._present(column).copy()
        for value in fitted:
            has_it = self._none()
            has_it[self._having(column, value)] = True
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
        values = column.values(self._last)[self._first :]
        mask = self._present(column).copy()
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
        codes = column.codes(self._last)[self._first :]
        if not len(codes):
            return self._none()
        is_used = np.zeros(int(codes.max()) + 2, np.bool_)
        is_used[codes] = True
        is_used[-1] = False
        used = np.flatnonzero(is_used)
        wanted = np.zeros(len(is_used), np.bool_)
        texts = column.texts_of(used.tolist())
        wanted[used] = np.fromiter(map(test, texts), np.bool_, len(texts))
        return wanted[codes]

    def _id_mask(self, test: Any) -> NDArray[np.bool_]:
        ids = self._snapshot.rows.ids.between(self._first, self._last)
        return np.fromiter(map(test, ids), np.bool_, self._count)

    def _present(self, column: Column) -> NDArray[np.bool_]:
        return column.present(self._last)[self._first :]

    def _having(self, column: TagsColumn, tag: str) -> NDArray[np.uint32]:
        found = column.postings.get(tag, self._last, self._first)
        return found - np.uint32(self._first)

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


def _is_int64(value: float) -> bool:
    """Returns whether an integer field can hold the value."""
    return INT64_MIN <= value <= INT64_MAX and value == int(value)


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
