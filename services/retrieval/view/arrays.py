"""Arrays that only grow, so that readers of the first n rows need no lock."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

_FIRST_CAPACITY = 64
_GROWTH = 1.25
"""Copying a column now and then is cheap; slack costs memory for ever."""


def resident(array: NDArray[Any]) -> int:
    """Returns the bytes of an array in memory; what is mapped from a file takes none."""
    base: Any = array
    while base is not None:
        if isinstance(base, mmap.mmap):
            return 0
        base = getattr(base, "base", None)
    return array.nbytes


class GrowingArray:
    """Rows of numbers; one thread appends, any thread reads rows that were there when it began.

    Growing copies into a new buffer; who holds the former one keeps reading valid rows.

    Args:
        dtype: Type of the numbers.
        width: Numbers in a row; None for plain numbers.
        growth: How many times as large it gets when it is full.
    """

    __slots__ = ("_buffer", "_growth", "size")

    def __init__(self, dtype: DTypeLike, width: int | None = None, growth: float = _GROWTH) -> None:
        self._growth = growth
        shape = _FIRST_CAPACITY if width is None else (_FIRST_CAPACITY, width)
        self._buffer: NDArray[Any] = np.empty(shape, dtype)
        self.size = 0

    @classmethod
    def over(cls, rows: NDArray[Any]) -> GrowingArray:
        """Returns an array that begins with the given rows, which may be mapped from a file.

        They are not copied until the array grows, and must not be written to if they are read-only.
        """
        made = cls.__new__(cls)
        made._buffer, made._growth = rows, _GROWTH  # noqa: SLF001 - its own class
        made.size = len(rows)
        return made

    def append(self, value: Any) -> None:
        """Adds one row."""
        self._reserve(1)
        self._buffer[self.size] = value
        self.size += 1

    def extend(self, values: Any) -> None:
        """Adds rows: an array, or a list of numbers."""
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

    def trim(self) -> None:
        """Gives back what is reserved and not used."""
        if len(self._buffer) > max(_FIRST_CAPACITY, self.size):
            self._buffer = self._buffer[: self.size].copy()

    @property
    def nbytes(self) -> int:
        """Bytes reserved in memory; what is mapped from a file takes none."""
        return resident(self._buffer)

    def _reserve(self, more: int) -> None:
        needed = self.size + more
        if needed <= len(self._buffer):
            return
        capacity = max(needed, int(len(self._buffer) * self._growth), _FIRST_CAPACITY)
        grown = np.empty((capacity, *self._buffer.shape[1:]), self._buffer.dtype)
        grown[: self.size] = self._buffer[: self.size]
        self._buffer = grown
