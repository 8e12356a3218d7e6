"""Vectors of the newest rows, which are in no segment yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import BuildSpec, IndexKind, RecallClass, search_memtable
from services.retrieval.view.arrays import GrowingArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors import Allowed, SegmentFound


_GROWTH = 2.0
"""Rows soon leave for a segment, and what is reserved beyond them is no memory until it is written
to: growing seldom costs less than copying often."""


def new_rows(dimensions: int) -> GrowingArray:
    """Returns no vectors yet, of so many numbers."""
    return GrowingArray(np.float32, dimensions, _GROWTH)


class Memtable:
    """Unit vectors of the newest chunk rows, in memory, in no segment yet.

    Args:
        first: Chunk row of the first one.
        vectors: Rows of float32; one thread appends.
    """

    __slots__ = ("first", "rows")

    def __init__(self, first: int, vectors: GrowingArray) -> None:
        self.first = first
        self.rows = vectors

    def vectors(self, last: int) -> NDArray[np.float32]:
        """Returns the vectors of the chunk rows before `last`, without copying."""
        return self.rows.rows(last - self.first)

    def after(self, first: int) -> Memtable:
        """Returns a memtable of its own with the rows from `first` on."""
        kept = new_rows(self.rows.rows(0).shape[1])
        kept.extend(self.rows.rows(self.rows.size)[first - self.first :])
        return Memtable(first, kept)


class NewestRows:
    """Searches the rows of a memtable as they were in one state.

    Args:
        vectors: (n, d) float32.
    """

    __slots__ = ("_vectors",)

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors

    @property
    def rows(self) -> int:
        """Vectors in it."""
        return len(self._vectors)

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self._vectors.shape[1]

    @property
    def spec(self) -> BuildSpec:
        """Nothing is built over them."""
        return BuildSpec(IndexKind.FLAT, self.dimensions)

    @property
    def measured(self) -> dict[str, float]:
        """Nothing is lost."""
        return {"recall": 1.0, "recall_loss": 0.0}

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        return self._vectors.nbytes

    @property
    def bytes_on_disk(self) -> int:
        """Nothing is on disk."""
        return 0

    def trim(self) -> None:
        """Nothing is mapped."""

    def close(self) -> None:
        """Nothing is open."""

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        k: int,
        recall: RecallClass = RecallClass.HIGH,
    ) -> SegmentFound:
        """Returns the allowed rows nearest to each query, exactly; see `VectorSegment`."""
        return search_memtable(self._vectors, queries, allowed, k)

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Returns the vectors of rows."""
        return self._vectors[rows]
