"""Exact scans: every given row is compared.

By codes first and then, for those that may be among the best, by float vectors; or by float vectors
alone. How far a code's product may be off is known, so a scan by codes misses nothing (class
`exact`), or nothing but by a freak of five standard deviations (class `high`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors.kernels.registry import REGISTRY, Scratch
from services.retrieval.vectors.quantiser import width
from services.retrieval.vectors.spec import RecallClass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.quantiser import Quantiser

_SCRATCH = Scratch()
_ROWS_PER_BLOCK = 16_384
_FEW_ROWS = 256
"""Rows up to which each query of a batch is searched on its own: they stay in the cache."""
_DEVIATIONS = {RecallClass.HIGH: 5.0, RecallClass.FAST: 2.5}


def scratch() -> Scratch:
    """Returns the calling thread's buffers."""
    return _SCRATCH


def slack(quantiser: Quantiser, recall: RecallClass) -> NDArray[np.float64]:
    """Returns how far a product of codes may be off, in the form of the compiled searches.

    A residual of length r changes the product with a unit query by r at most, and by r / root(d)
    typically; rounding the query adds half a unit for each of d codes of up to 128 from the middle.
    """
    dimensions = len(quantiser.step)
    if recall == RecallClass.EXACT:
        return np.array([quantiser.max_residual * 1.0001 + 1e-6, 64.0 * dimensions])
    times = _DEVIATIONS[recall]
    return np.array(
        [times * quantiser.mean_residual / dimensions**0.5, times * 40.0 * dimensions**0.5]
    )


class CodedScan:
    """Scans by codes, refined by float vectors.

    Args:
        codes: (n, width) uint8.
        quantiser: How they were made.
        vectors: (n, d) float32, may be mapped.
    """

    def __init__(
        self, codes: NDArray[np.uint8], quantiser: Quantiser, vectors: NDArray[np.float32]
    ) -> None:
        self.codes = codes
        self.vectors = vectors
        self.steps = quantiser.step
        self.width = width(vectors.shape[1])
        self.slacks = {recall: slack(quantiser, recall) for recall in RecallClass}
        REGISTRY.prepare(self.width)

    def search(
        self,
        queries: NDArray[np.float32],
        ids: NDArray[np.int32],
        bits: NDArray[np.uint8],
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        """Compares queries with rows.

        Args:
            queries: (q, d) float32, contiguous.
            ids: Rows to compare.
            bits: Which rows may be returned; empty: all.
            recall: How sure to be.
            rows: (q, k), written.
            scores: (q, k), written.

        Returns:
            Vectors compared.
        """
        kernels = REGISTRY.get(self.width)
        size = len(ids)
        if kernels is None:
            return scan_floats(self.vectors, queries, ids, rows, scores)
        own = _SCRATCH
        own.fit(size + rows.shape[1], self.width)
        four = len(queries) // 4 * 4 if size > max(_FEW_ROWS, rows.shape[1]) else 0
        if four:
            own.fit_four(size + rows.shape[1], self.width)
        for at in range(0, four, 4):
            kernels.search_ids_four(
                self.codes, self.vectors, ids, bits, self.steps, queries[at : at + 4],
                self.slacks[recall], own.four_quantised, own.four_scores, own.near,
                rows[at : at + 4], scores[at : at + 4],
            )  # fmt: skip
        if four < len(queries):
            kernels.search_ids(
                self.codes, self.vectors, ids, bits, self.steps, queries[four:],
                self.slacks[recall], own.quantised, own.scores, own.near, rows[four:],
                scores[four:],
            )  # fmt: skip
        return size * len(queries)


class FloatScan:
    """Scans by float vectors.

    Args:
        vectors: (n, d) float32, may be mapped.
    """

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors
        self.width = width(vectors.shape[1])
        REGISTRY.prepare(self.width)

    def search(
        self,
        queries: NDArray[np.float32],
        ids: NDArray[np.int32],
        bits: NDArray[np.uint8],
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        """Compares queries with rows, as `CodedScan.search` does; always exact."""
        kernels = REGISTRY.get(self.width)
        if kernels is None or len(queries) > 1:
            return scan_floats(self.vectors, queries, ids, rows, scores)
        return int(kernels.search_floats(self.vectors, ids, bits, queries, rows, scores))


def scan_floats(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    ids: NDArray[np.int32] | None,
    rows: NDArray[np.int64],
    scores: NDArray[np.float32],
) -> int:
    """Compares queries with rows by matrix products, block by block, without compiled code.

    Args:
        vectors: (n, d) float32.
        queries: (q, d) float32.
        ids: Rows to compare; None: all.
        rows: (q, k), written.
        scores: (q, k), written.

    Returns:
        Vectors compared.
    """
    count = rows.shape[1]
    total = len(vectors) if ids is None else len(ids)
    best_rows = np.full((len(queries), count), -1, np.int64)
    best_scores = np.full((len(queries), count), -np.inf, np.float32)
    for start in range(0, total, _ROWS_PER_BLOCK):
        end = min(total, start + _ROWS_PER_BLOCK)
        if ids is None:
            block = np.arange(start, end)
            products = queries @ vectors[start:end].T
        else:
            block = ids[start:end].astype(np.int64)
            products = queries @ vectors[block].T
        if len(block) > count:
            near = np.argpartition(products, -count, axis=1)[:, -count:]
            products = np.take_along_axis(products, near, axis=1)
            found = block[near]
        else:
            found = np.broadcast_to(block, products.shape)
        all_rows = np.concatenate([best_rows, found], axis=1)
        all_scores = np.concatenate([best_scores, products], axis=1)
        # Equal scores in row order, places without a row last.
        order = np.lexsort((all_rows, -all_scores), axis=1)[:, :count]
        best_rows = np.take_along_axis(all_rows, order, axis=1)
        best_scores = np.take_along_axis(all_scores, order, axis=1)
    rows[:] = best_rows
    scores[:] = best_scores
    return total * len(queries)
