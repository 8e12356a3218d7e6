"""Which rows a search may return, in the forms that kernels want."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Allowed:
    """A set of rows. Make it once for a filter and keep it: its forms are made when asked for.

    Args:
        mask: (rows,) bool, True for a row that may be returned. Not to be changed afterwards.
    """

    __slots__ = ("_bits", "_count", "_ids", "_parts", "_whole", "known", "mask")

    def __init__(self, mask: NDArray[np.bool_]) -> None:
        self.mask = mask
        self._whole: tuple[Allowed, NDArray[np.int64]] | None = None
        """A set that is kept, and what this one lacks of it; None: it is one of its own."""
        self.known: dict[Any, Any] = {}
        """What segments found out about this set, by a key of theirs; dies with it."""
        self._count = -1
        self._ids: NDArray[np.int32] | None = None
        self._bits: NDArray[np.uint8] | None = None
        self._parts: dict[tuple[int, int], Allowed] = {}

    @property
    def rows(self) -> int:
        """Rows there are, allowed or not."""
        return len(self.mask)

    @property
    def count(self) -> int:
        """Rows that are allowed."""
        if self._count < 0:
            if self._whole is None:
                self._count = int(np.count_nonzero(self.mask))
            else:
                whole, gone = self._whole
                self._count = whole.count - len(gone)
        return self._count

    @property
    def ids(self) -> NDArray[np.int32]:
        """The allowed rows, ascending."""
        if self._ids is None:
            if self._whole is None:
                self._ids = np.flatnonzero(self.mask).astype(np.int32)
            else:
                whole, gone = self._whole
                places = whole.ids.searchsorted(gone.astype(np.int32))
                self._ids = np.delete(whole.ids, places)
        return self._ids

    @property
    def bits(self) -> NDArray[np.uint8]:
        """One bit for each row, the lowest first, padded with zeros."""
        if self._bits is None:
            if self._whole is None:
                self._bits = np.packbits(self.mask, bitorder="little")
            else:
                whole, gone = self._whole
                self._bits = whole.bits.copy()
                for row in gone.tolist():
                    self._bits[row >> 3] &= ~(1 << (row & 7)) & 0xFF
        return self._bits

    @property
    def nbytes(self) -> int:
        """Bytes held, with all forms made so far."""
        forms = sum(each.nbytes for each in (self._ids, self._bits) if each is not None)
        return self.mask.nbytes + forms + sum(each.nbytes for each in self._parts.values())

    def part(self, first: int, last: int) -> Allowed:
        """Returns the set for the rows first..last, renumbered from 0. The same one every time."""
        if first == 0 and last == len(self.mask):
            return self
        found = self._parts.get((first, last))
        if found is None:
            # Two threads may both make one: they are equal, and the later stays.
            if self._whole is None:
                found = Allowed(self.mask[first:last])
            else:
                whole, gone = self._whole
                inside = gone[(gone >= first) & (gone < last)] - first
                found = whole.part(first, last).without(inside)
            self._parts[first, last] = found
        return found

    def without(self, rows: NDArray[np.int64]) -> Allowed:
        """Returns the set but for some rows; its forms are made of this one's, which is kept.

        Args:
            rows: Few, each once, ascending; those that are not in the set change nothing.
        """
        gone = rows[self.mask[rows]]
        if not len(gone):
            return self
        mask = self.mask.copy()
        mask[gone] = False
        found = Allowed(mask)
        found._whole = self, gone
        return found
