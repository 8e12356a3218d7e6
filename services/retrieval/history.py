"""Puts documents found by their likeness in the order that a person's history suggests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.diversity import diversify

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEFAULT_CANDIDATES = 50
"""Documents that are put in a new order where nothing else is asked for."""
VECTORS_COMPARED = 32
"""Vectors of a document of a history: of a longer one some are taken, spread evenly."""
NEIGHBOURS = 3
"""Documents of the history that a candidate is compared with: its nearest ones. A person likes
several kinds of things, and their mean is none of them."""


@dataclass(frozen=True, slots=True)
class History:
    """Documents that a person liked or disliked before. They are not found themselves."""

    liked_ids: tuple[str, ...]
    disliked_ids: tuple[str, ...]
    weight: float
    """Share of the history in the order, 0..1; the rest is the likeness."""
    candidates: int
    """Documents, the most alike, that are put in a new order."""


def ordered(
    scores: NDArray[np.float64],
    vectors: NDArray[np.float32],
    liked: Sequence[NDArray[np.float32]],
    disliked: Sequence[NDArray[np.float32]],
    *,
    weight: float,
    diversity: float,
    count: int,
) -> tuple[list[int], list[float]]:
    """Returns the places of the candidates to keep and their new scores, which fall.

    Both orders are taken in standard deviations, so that neither outweighs the other by its scale.

    Args:
        scores: (n,) likeness of the candidates, best first.
        vectors: (n, d) unit vectors of the candidates.
        liked: (m, d) unit vectors of each document that was liked and may be read.
        disliked: The same of what was disliked.
        weight: Share of the history, 0..1; without any of it the likeness decides.
        diversity: 0: relevance only; 1: variety only.
        count: Candidates to keep.
    """
    if not len(scores):
        return [], []
    share = weight if liked or disliked else 0.0
    taste = _nearness(vectors, liked) - _nearness(vectors, disliked)
    mixed = (1 - share) * _standard(scores) + share * _standard(taste)
    order = np.argsort(-mixed, kind="stable")
    mixed = mixed[order]
    if not diversity:
        return order[:count].tolist(), mixed[:count].tolist()
    spread = float(mixed[0] - mixed[-1])
    relevance = (mixed - mixed[-1]) / spread if spread > 0 else np.ones(len(mixed))
    places, marginal = diversify(relevance, vectors[order], diversity, count)
    return order[places].tolist(), marginal


def _nearness(
    vectors: NDArray[np.float32], documents: Sequence[NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Returns for each candidate the mean likeness to its nearest documents; 0 without any."""
    if not documents:
        return np.zeros(len(vectors))
    starts = np.cumsum([0, *(len(each) for each in documents[:-1])])
    # A document is as near as the nearest of its vectors.
    nearest = np.maximum.reduceat(vectors @ np.concatenate(documents).T, starts, axis=1)
    best = np.sort(nearest, axis=1)[:, -NEIGHBOURS:]
    return best.mean(axis=1, dtype=np.float64)


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns how many standard deviations each value lies from the mean; zeros if all equal."""
    deviation = float(values.std())
    return (values - values.mean()) / deviation if deviation > 1e-12 else np.zeros(len(values))
