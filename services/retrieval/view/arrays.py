"""Arrays and posting lists that only grow, so that readers of the first n rows need no lock."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_FIRST_CAPACITY = 64
_GROWTH = 1.5


class GrowingArray:
    """Rows of numbers; one thread appends, any thread reads rows that were there when it began.

    Growing copies into a new buffer; who holds the former one keeps reading valid rows.

    Args:
        dtype: Type of the numbers.
        width: Numbers in a row; None for plain numbers.
    """

    __slots__ = ("_buffer", "size")

    def __init__(self, dtype: DTypeLike, width: int | None = None) -> None:
        shape = _FIRST_CAPACITY if width is None else (_FIRST_CAPACITY, width)
        self._buffer: NDArray[Any] = np.empty(shape, dtype)
        self.size = 0

    def append(self, value: Any) -> None:
        """Adds one row."""
        self._reserve(1)
        self._buffer[self.size] = value
        self.size += 1

    def extend(self, values: NDArray[Any]) -> None:
        """Adds rows."""
        self._reserve(len(values))
        self._buffer[self.size : self.size + len(values)] = values
        self.size += len(values)

    def pad(self, size: int, value: Any) -> None:
        """Adds rows of one value until there are `size`."""
        missing = size - self.size
        if missing > 0:
            self._reserve(missing)
            self._buffer[self.size : size] = value
            self.size = size

    def rows(self, count: int) -> NDArray[Any]:
        """Returns the first `count` rows, without copying; they never change."""
        return self._buffer[:count]

    @property
    def nbytes(self) -> int:
        """Bytes reserved."""
        return self._buffer.nbytes

    def _reserve(self, more: int) -> None:
        needed = self.size + more
        if needed <= len(self._buffer):
            return
        capacity = max(needed, int(len(self._buffer) * _GROWTH))
        grown = np.empty((capacity, *self._buffer.shape[1:]), self._buffer.dtype)
        grown[: self.size] = self._buffer[: self.size]
        self._buffer = grown


class Postings:
    """For each key the rows that have it, ascending; one thread appends, any thread reads."""

    __slots__ = ("_rows",)

    def __init__(self) -> None:
        self._rows: dict[str, array[int]] = {}

    def add(self, key: str, row: int) -> None:
        """Notes that `row`, larger than all before, has the key."""
        rows = self._rows.get(key)
        if rows is None:
            rows = self._rows[key] = array("I")
        rows.append(row)

    def get(self, key: str, count: int) -> NDArray[np.uint32]:
        """Returns the rows below `count` that have the key, as a copy."""
        rows = self._rows.get(key)
        if rows is None:
            return np.empty(0, np.uint32)
        # tobytes copies in one step of the interpreter: a view of the array would forbid it to
        # grow.
        found = np.frombuffer(rows.tobytes(), np.uint32)
        return found[: np.searchsorted(found, count)] if len(found) else found

    def keys(self) -> list[str]:
        """Returns all keys, as a copy."""
        return list(self._rows)

    @property
    def nbytes(self) -> int:
        """About the bytes used."""
        return sum(len(rows) * 4 + 150 for rows in list(self._rows.values()))
