"""Graphs over the leading rows of a view: FAISS HNSW, with 8-bit or float vectors inside.

The only module that imports FAISS; small collections never load it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINKS = 32
BUILD_EFFORT = 100
"""M=32, efConstruction=100: recall@10 .975 at ef 64 on 100k rows."""

_build_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Segment:
    """A graph over chunk rows first..last of a view."""

    index: Any
    first: int
    last: int
    name: str

    @property
    def row_count(self) -> int:
        """Rows in the graph, dead ones included."""
        return self.last - self.first


def build(vectors: NDArray[np.float32], first: int, name: str, *, is_quantised: bool) -> Segment:
    """Builds a graph; takes about 0.3 ms of CPU a row.

    Args:
        vectors: (n, d) unit vectors.
        first: Chunk row of the first one.
        name: Name of the segment in explanations.
        is_quantised: Whether the graph holds 8-bit vectors instead of floats.
    """
    faiss = _faiss()

    dimensions = vectors.shape[1]
    vectors = np.ascontiguousarray(vectors)
    with _build_lock:
        faiss.omp_set_num_threads(1)
        if is_quantised:
            index = faiss.IndexHNSWSQ(
                dimensions, faiss.ScalarQuantizer.QT_8bit, LINKS, faiss.METRIC_INNER_PRODUCT
            )
        else:
            index = faiss.IndexHNSWFlat(dimensions, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
        if not index.is_trained:
            index.train(vectors)
        index.add(vectors)
    return Segment(index, first, first + len(vectors), name)


def search(
    segment: Segment,
    query: NDArray[np.float32],
    allowed: NDArray[np.bool_] | None,
    count: int,
    effort: int,
) -> NDArray[np.int64]:
    """Returns chunk rows near the query, in no particular order, at most `count`.

    Args:
        segment: Where to look.
        query: (d,) float32.
        allowed: Which of the segment's rows may be returned; None: all.
        count: Rows wanted.
        effort: Nodes kept in sight (ef); more finds more.
    """
    faiss = _faiss()

    faiss.omp_set_num_threads(1)
    parameters = faiss.SearchParametersHNSW(efSearch=max(effort, count))
    selector = None
    if allowed is not None:
        bits = np.packbits(allowed, bitorder="little")
        selector = faiss.IDSelectorBitmap(bits)
        parameters.sel = selector
    _, found = segment.index.search(query.reshape(1, -1), count, params=parameters)
    del selector  # lives through the search
    rows = found[0]
    return rows[rows >= 0] + segment.first


def _faiss() -> Any:
    """Returns FAISS, whose bindings have no types; small collections never load it."""
    import faiss  # noqa: PLC0415 - takes memory that they do not need

    return faiss
