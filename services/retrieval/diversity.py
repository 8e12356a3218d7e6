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
    # Scores of every kind come to the scale of cosines; the best is 1.
    best = float(scores.max())
    relevance = scores / best if best > 0 else scores - best + 1
    likeness = np.zeros(len(scores))
    is_left = np.ones(len(scores), np.bool_)
    places: list[int] = []
    marginal: list[float] = []
    for _ in range(min(count, len(scores))):
        worth = (1 - strength) * relevance - strength * likeness
        worth[~is_left] = -np.inf
        chosen = int(np.argmax(worth))
        places.append(chosen)
        marginal.append(float(worth[chosen]))
        is_left[chosen] = False
        likeness = np.maximum(likeness, vectors @ vectors[chosen])
    return places, marginal
