"""Columns of typed metadata, one value per document row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from services.filters.values import FieldType, Timestamp
from services.retrieval.view.arrays import GrowingArray
from services.retrieval.view.postings import Postings
from services.retrieval.view.texts import ABSENT, TextTable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from services.filters.values import Value

NULL_CODE = ABSENT


class Column(Protocol):
    """Values of one field; rows without a value are null."""

    kind: FieldType

    def put(self, rows: Sequence[int], values: Sequence[Value], size: int) -> None:
        """Makes the column `size` rows long.

        Args:
            rows: Ascending rows that the column did not have yet and that get a value.
            values: Their values; other new rows become null.
            size: Rows of the column afterwards.
        """
        ...

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which of the first `count` rows have a value."""
        ...

    def seal(self) -> None:
        """Moves what lies in lists into arrays; the caller keeps other writers out."""
        ...

    @property
    def tail_size(self) -> int:
        """Entries that lie in lists."""
        ...

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        ...


class KeywordColumn:
    """Texts, each different one kept once."""

    kind = FieldType.KEYWORD

    def __init__(self, table: TextTable | None = None, codes: GrowingArray | None = None) -> None:
        self.table = TextTable() if table is None else table
        self.row_codes = GrowingArray(np.int32) if codes is None else codes

    def put(self, rows: Sequence[int], values: Sequence[Value], size: int) -> None:
        """Sets the texts of new rows."""
        first = self.row_codes.size
        added = np.full(size - first, NULL_CODE, np.int32)
        if rows:
            added[np.array(rows) - first] = self.table.intern_all([str(each) for each in values])
        self.row_codes.extend(added)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a text."""
        return self.row_codes.rows(count) != NULL_CODE

    def codes(self, count: int) -> NDArray[np.int32]:
        """Returns the codes of the first rows; -1 is null."""
        return self.row_codes.rows(count)

    def code(self, text: str) -> int | None:
        """Returns the code of a text, or None when no row has it."""
        code = self.table.code(text)
        return None if code == ABSENT else code

    def texts(self) -> list[str]:
        """Returns the texts, each at its code, as a copy."""
        return self.table.all()

    def texts_of(self, codes: Iterable[int]) -> list[str]:
        """Returns the texts of codes."""
        return self.table.texts(codes)

    def seal(self) -> None:
        """Moves the texts into arrays."""
        self.table.seal()

    @property
    def tail_size(self) -> int:
        """Texts that lie in a list."""
        return self.table.tail_size

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        return self.row_codes.nbytes + self.table.nbytes


class NumberColumn:
    """Integers, floats, booleans (0 and 1) or timestamps (microseconds)."""

    def __init__(
        self,
        kind: FieldType,
        values: GrowingArray | None = None,
        present: GrowingArray | None = None,
    ) -> None:
        self.kind = kind
        self.row_values = values if values is not None else GrowingArray(_number_type(kind))
        self.row_present = present if present is not None else GrowingArray(np.bool_)

    def put(self, rows: Sequence[int], values: Sequence[Value], size: int) -> None:
        """Sets the numbers of new rows."""
        first = self.row_values.size
        numbers = np.zeros(size - first, self.row_values.rows(0).dtype)
        present = np.zeros(size - first, np.bool_)
        if rows:
            places = np.array(rows) - first
            present[places] = True
            numbers[places] = [
                each.micros if isinstance(each, Timestamp) else each for each in values
            ]
        self.row_values.extend(numbers)
        self.row_present.extend(present)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a number."""
        return self.row_present.rows(count)

    def values(self, count: int) -> NDArray[Any]:
        """Returns the numbers of the first rows; 0 where there is none."""
        return self.row_values.rows(count)

    def seal(self) -> None:
        """Numbers lie in arrays already."""

    @property
    def tail_size(self) -> int:
        """Nothing lies in lists."""
        return 0

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self.row_values.nbytes + self.row_present.nbytes


class TagPostings:
    """For each tag the rows that have it."""

    def __init__(self, table: TextTable, rows: Postings) -> None:
        self.table = table
        self.rows = rows

    def put(self, rows: Sequence[int], sets: Sequence[frozenset[str] | tuple[str, ...]]) -> None:
        """Notes the tags of ascending rows, larger than all before."""
        # Rows of a batch often have the same set: it is looked up once, and added at once.
        groups: dict[frozenset[str] | tuple[str, ...], list[int]] = {}
        for row, tags in zip(rows, sets, strict=True):
            groups.setdefault(tags, []).append(row)
        by_code: dict[int, list[int]] = {}
        for tags, members in groups.items():
            for code in self.table.intern_all(list(dict.fromkeys(tags))):
                known = by_code.get(code)
                if known is None:
                    by_code[code] = list(members)
                else:
                    known.extend(members)
        for code, members in by_code.items():
            members.sort()
            self.rows.add_all(code, members)

    def get(self, tag: str, count: int, first: int = 0) -> NDArray[np.uint32]:
        """Returns the rows from `first` to before `count` that have a tag."""
        code = self.table.code(tag)
        if code == ABSENT:
            return np.empty(0, np.uint32)
        return self.rows.get(code, count, first)

    def keys(self) -> list[str]:
        """Returns all tags, as a copy."""
        return self.table.all()

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        return self.table.nbytes + self.rows.nbytes


class TagsColumn:
    """Sets of keywords."""

    kind = FieldType.TAGS

    def __init__(
        self,
        table: TextTable | None = None,
        rows: Postings | None = None,
        present: GrowingArray | None = None,
    ) -> None:
        self.row_present = GrowingArray(np.bool_) if present is None else present
        self.postings = TagPostings(
            TextTable() if table is None else table, Postings() if rows is None else rows
        )

    def put(self, rows: Sequence[int], values: Sequence[Any], size: int) -> None:
        """Sets the keywords of new rows."""
        first = self.row_present.size
        present = np.zeros(size - first, np.bool_)
        if rows:
            present[np.array(rows) - first] = True
            self.postings.put(rows, values)
        # Last: who sees a row finds its tags.
        self.row_present.extend(present)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a set, be it empty."""
        return self.row_present.rows(count)

    def seal(self) -> None:
        """Moves tags and rows into arrays."""
        self.postings.table.seal()
        self.postings.rows.seal()

    @property
    def tail_size(self) -> int:
        """Tags and rows that lie in lists."""
        return self.postings.table.tail_size + self.postings.rows.tail_size

    @property
    def nbytes(self) -> int:
        """About the bytes in memory."""
        return self.row_present.nbytes + self.postings.nbytes


def new_column(kind: FieldType) -> Column:
    """Returns an empty column for values of a type."""
    if kind is FieldType.KEYWORD:
        return KeywordColumn()
    if kind is FieldType.TAGS:
        return TagsColumn()
    return NumberColumn(kind)


def _number_type(kind: FieldType) -> type[np.number[Any] | np.bool_]:
    if kind is FieldType.FLOAT:
        return np.float64
    return np.int8 if kind is FieldType.BOOL else np.int64
