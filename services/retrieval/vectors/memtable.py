"""Searches rows that are not in a segment yet: float vectors in memory, compared one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors.graph import NO_BITS
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.quantiser import width
from services.retrieval.vectors.scan import scan_floats
from services.retrieval.vectors.spec import SegmentFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed

_FEW_ROWS = 4_096
"""Rows up to which small collections do without compiled code and its memory."""


def search_memtable(
    vectors: NDArray[np.float32], queries: NDArray[np.float32], allowed: Allowed | None, k: int
) -> SegmentFound:
    """Returns for each query the k allowed rows nearest to it, exactly.

    Args:
        vectors: (n, d) float32 in memory; may be the filled part of a larger array.
        queries: (q, d) float32.
        allowed: Which rows may be returned, over these n rows; None: all.
        k: Rows wanted.
    """
    rows = np.full((len(queries), k), -1, np.int64)
    scores = np.full((len(queries), k), -np.inf, np.float32)
    if allowed is not None and allowed.count == len(vectors):
        allowed = None
    count = len(vectors) if allowed is None else allowed.count
    if count == 0:
        return SegmentFound(rows, scores, "skip", "nothing is allowed here", 0)
    kernels = REGISTRY.get(width(vectors.shape[1]))
    if kernels is None and len(vectors) > _FEW_ROWS:
        REGISTRY.prepare(width(vectors.shape[1]))
    if kernels is not None and len(queries) == 1 and vectors.flags.writeable:
        ids = np.arange(count, dtype=np.int32) if allowed is None else allowed.ids
        bits = NO_BITS if allowed is None else allowed.bits
        compared = int(kernels.search_floats(vectors, ids, bits, queries, rows, scores))
    else:
        compared = scan_floats(vectors, queries, allowed and allowed.ids, rows, scores)
    return SegmentFound(rows, scores, "exact", "newest rows are compared one by one", compared)
