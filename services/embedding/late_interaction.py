"""Late interaction: a passage is as relevant as the query's words find their like in it.

MaxSim (ColBERT, Khattab and Zaharia 2020) over the contextual token vectors of the embedding
model itself: the mean over the query's tokens of the best cosine to any token of the passage.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from services.embedding.encoder import LocatedTokens, VectorArray
from services.rpc.errors import InvalidArgumentError


def token_weights(
    query: str, located: LocatedTokens, word_weights: Sequence[float]
) -> npt.NDArray[np.float32]:
    """Returns the weight of each token of the query, summing to 1.

    Args:
        query: The query.
        located: Its tokens.
        word_weights: Weight of each whitespace-separated word; empty for equal ones. The tokens
            of a word share its weight.

    Raises:
        InvalidArgumentError: Not one weight per word, or a weight that is no finite number ≥ 0,
            or none above 0.
    """
    count = len(located.rows)
    if not word_weights:
        return np.full(count, 1 / max(count, 1), dtype=np.float32)
    _check_weights(len(query.split()), word_weights)
    words = _words_of(query, located.starts)
    per_word = np.bincount(words, minlength=len(word_weights))
    weights = np.asarray(word_weights, dtype=np.float64)[words] / per_word[words]
    total = weights.sum()
    if total <= 0:  # the words that count have no tokens, or were cut off
        return np.full(count, 1 / max(count, 1), dtype=np.float32)
    return (weights / total).astype(np.float32)


def late_interaction_score(
    query: VectorArray, weights: npt.NDArray[np.float32], passage: VectorArray
) -> float:
    """Returns the weighted mean, over the query's tokens, of the best cosine in the passage.

    Args:
        query: (query tokens, dimensions), rows of length 1.
        weights: (query tokens,), summing to 1.
        passage: (passage tokens, dimensions), rows of length 1; without rows it scores 0.
    """
    if not len(passage) or not len(query):
        return 0.0
    return float(weights @ (query @ passage.T).max(axis=1))


def _check_weights(words: int, weights: Sequence[float]) -> None:
    if len(weights) != words:
        raise InvalidArgumentError.for_field(
            "query_word_weights",
            f"has {len(weights)} weights for {words} words; give one per word, or none",
        )
    for index, weight in enumerate(weights):
        if not math.isfinite(weight) or weight < 0:
            raise InvalidArgumentError.for_field(
                f"query_word_weights[{index}]", "must be a finite number, 0 or more"
            )
    if not any(weights):
        raise InvalidArgumentError.for_field("query_word_weights", "must not all be 0")


def _words_of(query: str, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Returns the index of the word in which each token begins."""
    word_starts: list[int] = []
    place = 0
    for word in query.split():
        place = query.index(word, place)
        word_starts.append(place)
        place += len(word)
    return np.maximum(np.searchsorted(word_starts, starts, side="right") - 1, 0)
