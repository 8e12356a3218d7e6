"""Columns of typed metadata, one value per document row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from services.filters.values import FieldType, Timestamp
from services.retrieval.view.arrays import GrowingArray, Postings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.filters.values import Value

NULL_CODE = -1


class Column(Protocol):
    """Values of one field; rows without a value are null."""

    kind: FieldType

    def put(self, row: int, value: Value) -> None:
        """Sets the value of a row larger than all before; rows in between become null."""
        ...

    def pad(self, size: int) -> None:
        """Makes the column `size` rows long."""
        ...

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which of the first `count` rows have a value."""
        ...

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        ...


class KeywordColumn:
    """Texts, each different one kept once."""

    kind = FieldType.KEYWORD

    def __init__(self) -> None:
        self._codes = GrowingArray(np.int32)
        self._code_of: dict[str, int] = {}
        self._texts: list[str] = []

    def put(self, row: int, value: Value) -> None:
        """Sets the text of a row."""
        text = str(value)
        code = self._code_of.get(text)
        if code is None:
            code = len(self._texts)
            self._texts.append(text)
            self._code_of[text] = code
        self._codes.pad(row, NULL_CODE)
        self._codes.append(code)

    def pad(self, size: int) -> None:
        """Makes the column longer."""
        self._codes.pad(size, NULL_CODE)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a text."""
        return self._codes.rows(count) != NULL_CODE

    def codes(self, count: int) -> NDArray[np.int32]:
        """Returns the codes of the first rows; -1 is null."""
        return self._codes.rows(count)

    def code(self, text: str) -> int | None:
        """Returns the code of a text, or None when no row has it."""
        return self._code_of.get(text)

    def texts(self) -> list[str]:
        """Returns the texts, each at its code, as a copy."""
        return list(self._texts)

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        return self._codes.nbytes + sum(len(text) + 130 for text in list(self._texts))


class NumberColumn:
    """Integers, floats, booleans (0 and 1) or timestamps (microseconds)."""

    def __init__(self, kind: FieldType) -> None:
        self.kind = kind
        self._values = GrowingArray(np.float64 if kind is FieldType.FLOAT else np.int64)
        self._present = GrowingArray(np.bool_)

    def put(self, row: int, value: Value) -> None:
        """Sets the number of a row."""
        self.pad(row)
        self._values.append(value.micros if isinstance(value, Timestamp) else value)
        self._present.append(True)

    def pad(self, size: int) -> None:
        """Makes the column longer."""
        self._values.pad(size, 0)
        self._present.pad(size, value=False)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a number."""
        return self._present.rows(count)

    def values(self, count: int) -> NDArray[Any]:
        """Returns the numbers of the first rows; 0 where there is none."""
        return self._values.rows(count)

    @property
    def nbytes(self) -> int:
        """Bytes used."""
        return self._values.nbytes + self._present.nbytes


class TagsColumn:
    """Sets of keywords."""

    kind = FieldType.TAGS

    def __init__(self) -> None:
        self._present = GrowingArray(np.bool_)
        self.postings = Postings()

    def put(self, row: int, value: Value) -> None:
        """Sets the keywords of a row."""
        self.pad(row)
        self._present.append(True)
        if isinstance(value, frozenset):
            for tag in value:
                self.postings.add(tag, row)

    def pad(self, size: int) -> None:
        """Makes the column longer."""
        self._present.pad(size, value=False)

    def present(self, count: int) -> NDArray[np.bool_]:
        """Returns which rows have a set, be it empty."""
        return self._present.rows(count)

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        return self._present.nbytes + self.postings.nbytes


def new_column(kind: FieldType) -> Column:
    """Returns an empty column for values of a type."""
    if kind is FieldType.KEYWORD:
        return KeywordColumn()
    if kind is FieldType.TAGS:
        return TagsColumn()
    return NumberColumn(kind)
