"""Graphs of neighbours (HNSW): their arrays, and walks over them.

FAISS builds the graph; what is kept are plain arrays that are mapped or read as they are. On the
lowest level half of FAISS's places for links are empty, so neighbours stand one after the other,
with an index of where each row's begin: 120 bytes a row instead of 256.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_BITS = np.empty(0, np.uint8)
NO_ROWS = np.empty(0, np.int32)


@dataclass(frozen=True, slots=True)
class Graph:
    """The links of a graph; the forms are those that the compiled walks take."""

    starts: NDArray[np.int64]
    links: NDArray[np.int32]
    upper: NDArray[np.int32]
    upper_links: NDArray[np.int32]
    most_links: int
    """Neighbours of the row that has most."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names of their files."""
        return {
            "starts": self.starts,
            "links": self.links,
            "upper": self.upper,
            "upper_links": self.upper_links,
        }

    @property
    def nbytes(self) -> int:
        """Bytes of all links."""
        return sum(each.nbytes for each in self.arrays.values())


class Visits:
    """Arrays in which walks mark what they saw, lent to one walk at a time.

    Args:
        rows: Rows of the segment.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._free: list[tuple[NDArray[np.uint8], NDArray[np.int64]]] = []
        self._lock = threading.Lock()
        self._made = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all marks."""
        return self._made * self._rows

    def take(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Returns (marks, the last mark used); give them back afterwards."""
        with self._lock:
            if self._free:
                return self._free.pop()
            self._made += 1
        return np.zeros(self._rows, np.uint8), np.zeros(1, np.int64)

    def give_back(self, lent: tuple[NDArray[np.uint8], NDArray[np.int64]]) -> None:
        """Takes back what `take` lent."""
        with self._lock:
            self._free.append(lent)


def empty(links: int) -> Graph:
    """Returns the graph of no rows."""
    return Graph(
        np.zeros(1, np.int64),
        np.zeros((32, 1), np.int32),
        np.empty((0, 2), np.int32),
        np.empty((0, links), np.int32),
        0,
    )


def from_faiss(hnsw: Any, rows: int, faiss: Any, *, is_flat: bool = False) -> Graph:
    """Returns the links of a FAISS graph in the form of this module.

    Args:
        hnsw: The `hnsw` of a FAISS index that is built.
        rows: Vectors in it.
        faiss: The library.
        is_flat: Whether it has a lowest level only.
    """
    neighbours = faiss.vector_to_array(hnsw.neighbors)
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    levels = faiss.vector_to_array(hnsw.levels)
    lowest = hnsw.nb_neighbors(0)
    each = 1 if is_flat else hnsw.nb_neighbors(1)
    table = neighbours[offsets[:-1, None] + np.arange(lowest)]
    is_link = table >= 0
    starts = np.zeros(rows + 1, np.int64)
    np.cumsum(is_link.sum(axis=1), out=starts[1:])
    # A few more zeros at the end: a walk asks for the line after a row's first links in advance.
    links = np.concatenate([table[is_link], np.zeros(32, np.int32)]).astype(np.int32)
    highest = 0 if is_flat else int(hnsw.max_level)
    tops = [np.flatnonzero(levels > level) for level in range(highest, 0, -1)]
    if tops:
        entry = int(hnsw.entry_point)
        tops[0] = np.concatenate([[entry], tops[0][tops[0] != entry]])
    upper, upper_links = _upper(tops, neighbours, offsets, lowest, each)
    most = int((starts[1:] - starts[:-1]).max(initial=0))
    return Graph(starts, links[:, None], upper, upper_links, most)


def _upper(
    tops: list[NDArray[np.int64]],
    neighbours: NDArray[np.int32],
    offsets: NDArray[np.int64],
    lowest: int,
    each: int,
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns the upper levels, the highest first, as (rows and places below, links)."""
    total = sum(len(rows) for rows in tops)
    upper = np.full((total, 2), -1, np.int32)
    upper_links = np.full((total, each), -1, np.int32)
    firsts = np.cumsum([0, *(len(rows) for rows in tops)])
    place = np.full(len(offsets), -1, np.int32)
    for at in range(len(tops) - 1, -1, -1):
        rows, first = tops[at], int(firsts[at])
        here = slice(first, first + len(rows))
        upper[here, 0] = rows
        # `place` still holds the level below, or -1 below the last.
        upper[here, 1] = place[rows]
        place[:] = -1
        place[rows] = np.arange(first, first + len(rows))
        level = len(tops) - at
        found = neighbours[offsets[rows][:, None] + lowest + (level - 1) * each + np.arange(each)]
        upper_links[here] = np.where(found >= 0, place[np.maximum(found, 0)], -1)
    return upper, upper_links
