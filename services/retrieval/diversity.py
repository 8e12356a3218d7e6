"""Maximal marginal relevance (Carbonell and Goldstein, 1998): relevant, and unlike those above."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def diversify(
    scores: NDArray[np.float64], vectors: NDArray[np.float32], strength: float, count: int
) -> tuple[list[int], list[float]]:
    """Returns the places of the hits to keep and their marginal scores, which fall.

    Args:
        scores: (n,) relevance, best first.
        vectors: (n, d) unit vectors of the hits.
        strength: 0: relevance only; 1: variety only.
        count: Hits to keep.
    """
    if not len(scores):
        return [], []
    width = np.ptp(scores)
    relevance = (scores - scores.min()) / width if width > 0 else np.ones(len(scores))
    likeness = np.zeros(len(scores))
    is_left = np.ones(len(scores), np.bool_)
    places: list[int] = []
    marginal: list[float] = []
    for _ in range(min(count, len(scores))):
        worth = (1 - strength) * relevance - strength * likeness
        worth[~is_left] = -np.inf
        best = int(np.argmax(worth))
        places.append(best)
        marginal.append(float(worth[best]))
        is_left[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return places, marginal
