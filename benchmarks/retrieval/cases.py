"""What is searched for: the filters, and the bars that each must pass.

Only numpy and the standard library: the peers' environment imports it too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCAN_MATCHES = 50_000
"""Matches up to which a filtered search must be exact."""


@dataclass(frozen=True, slots=True)
class Case:
    """A filter and what must be shown for it against Qdrant's engine."""

    name: str
    fraction: float
    """Share of the rows that match."""
    is_correlated: bool = False
    """Whether the matches are whole neighbouring clusters, far from most queries."""
    recall: float = 0.99
    """Least recall@10 asked for."""
    ratio: float = 1.0
    """Least ratio of queries per CPU second asked for."""

    @property
    def is_filtered(self) -> bool:
        """Whether there is a filter at all."""
        return self.fraction < 1

    def bar(self, rows: int) -> float:
        """Returns the least recall@10 asked for at a number of rows."""
        is_small = self.is_filtered and self.fraction * rows <= _SCAN_MATCHES
        return 1.0 if is_small and self.fraction <= 0.1 else self.recall


NONE = Case("none", 1.0, recall=0.97, ratio=1.5)
NONE_HIGH = Case("none high", 1.0, recall=0.99, ratio=1.2)
HALF = Case("50 %", 0.5, recall=0.99, ratio=1.2)
FILTERED = (
    HALF,
    Case("10 %", 0.1, recall=0.98, ratio=2.0),
    Case("10 % correlated", 0.1, is_correlated=True, recall=0.98, ratio=2.0),
    Case("1 %", 0.01, recall=0.98, ratio=2.0),
    Case("1 % correlated", 0.01, is_correlated=True, recall=0.98, ratio=2.0),
    Case("0.1 %", 0.001, recall=1.0, ratio=1.0),
    Case("0.01 %", 0.0001, recall=1.0, ratio=1.0),
)
ALL = (NONE, NONE_HIGH, *FILTERED)


def label(case: Case) -> str:
    """Returns the tag that the rows of a case carry in every system: letters and digits."""
    kind = "c" if case.is_correlated else "u"
    return f"{kind}{round(case.fraction * 10_000)}"


def masks(clusters: NDArray[np.int64], seed: int) -> dict[str, NDArray[np.bool_]]:
    """Returns for each filter which rows match.

    Args:
        clusters: Cluster of each row; neighbouring numbers are neighbouring clusters of one topic.
        seed: Seed of the random subsets.
    """
    rows = len(clusters)
    order = np.random.default_rng(seed).permutation(rows)
    by_cluster = np.argsort(clusters, kind="stable")
    found: dict[str, NDArray[np.bool_]] = {}
    for case in FILTERED:
        wanted = max(1, round(case.fraction * rows))
        mask = np.zeros(rows, np.bool_)
        start = (rows - wanted) // 2
        mask[by_cluster[start : start + wanted] if case.is_correlated else order[:wanted]] = True
        found[label(case)] = mask
    return found


def truth(
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    mask: NDArray[np.bool_] | None,
    count: int,
) -> NDArray[np.int64]:
    """Returns the rows nearest to each query by brute force, -1 where there are no more.

    Args:
        vectors: (n, d) float32 unit vectors.
        queries: (q, d) float32.
        mask: Which rows may be found; None: all.
        count: Rows wanted for each query.
    """
    rows = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask)
    best = np.full((len(queries), count), -1, np.int64)
    scores = np.full((len(queries), count), -np.inf, np.float32)
    for start in range(0, len(rows), 32_768):
        block = rows[start : start + 32_768]
        part = queries @ vectors[block].T
        joined_rows = np.hstack([best, np.broadcast_to(block, part.shape)])
        joined = np.hstack([scores, part])
        top = np.argpartition(joined, -count, axis=1)[:, -count:]
        best = np.take_along_axis(joined_rows, top, axis=1)
        scores = np.take_along_axis(joined, top, axis=1)
    order = np.argsort(-scores, axis=1)
    return np.take_along_axis(best, order, axis=1)


def recall(found: list[list[int]], wanted: NDArray[np.int64]) -> float:
    """Returns the mean share of the wanted rows that were found.

    Args:
        found: Rows found for the first queries.
        wanted: (q, k) rows wanted, -1 where there are no more.
    """
    shares = []
    for mine, theirs in zip(found, wanted.tolist(), strict=False):
        real = {row for row in theirs if row >= 0}
        shares.append(len(real.intersection(mine)) / len(real) if real else 1.0)
    return float(np.mean(shares)) if shares else 0.0
