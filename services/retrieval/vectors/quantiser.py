"""Codes of 8 bits a number: each dimension has its own lowest value and step.

A vector x is kept as c with x ~ low + step * c. The product of a query with it is then
q.low + (q * step).c: the steps go into the query, so a step for each dimension costs a search
nothing, and the query keeps 16 bits. What remains between x and low + step * c is the residual; its
greatest length bounds how far a product may be off, which is what makes "exact" exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LINE = 64
"""Rows of codes are padded with zeros to whole cache lines."""
_BLOCK = 16_384


@dataclass(frozen=True, slots=True)
class Quantiser:
    """How numbers become codes."""

    low: NDArray[np.float32]
    """(d,) value of code 0."""
    step: NDArray[np.float32]
    """(d,) distance between codes; 0 where all vectors agree."""
    max_residual: float
    """Greatest distance of a vector from what its code stands for."""
    mean_residual: float
    """Root of the mean square of these distances."""


def width(dimensions: int) -> int:
    """Returns the bytes of a row of codes."""
    return -(-dimensions // LINE) * LINE


def train(vectors: NDArray[np.float32]) -> Quantiser:
    """Returns the quantiser that covers all given vectors, without residuals yet."""
    low = np.full(vectors.shape[1], np.inf, np.float32)
    high = np.full(vectors.shape[1], -np.inf, np.float32)
    for start in range(0, len(vectors), _BLOCK):
        block = vectors[start : start + _BLOCK]
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    if not len(vectors):
        low[:] = high[:] = 0
    return Quantiser(low, ((high - low) / np.float32(255)).astype(np.float32), 0.0, 0.0)


def encode(
    quantiser: Quantiser, vectors: NDArray[np.float32], codes: NDArray[np.uint8]
) -> Quantiser:
    """Writes the codes of all vectors, and returns the quantiser with its residuals.

    Args:
        quantiser: What `train` returned.
        vectors: (n, d) float32.
        codes: (n, width(d)) uint8, written.
    """
    dimensions = vectors.shape[1]
    inverse = np.divide(
        1, quantiser.step, out=np.zeros_like(quantiser.step), where=quantiser.step > 0
    )
    greatest, total = 0.0, 0.0
    for start in range(0, len(vectors), _BLOCK):
        block = np.asarray(vectors[start : start + _BLOCK], np.float32)
        made = np.clip(np.rint((block - quantiser.low) * inverse), 0, 255).astype(np.uint8)
        codes[start : start + len(block), :dimensions] = made
        codes[start : start + len(block), dimensions:] = 0
        rest = block - (quantiser.low + quantiser.step * made)
        squares = np.einsum("ij,ij->i", rest, rest, dtype=np.float64)
        greatest = max(greatest, float(squares.max(initial=0.0)))
        total += float(squares.sum())
    mean = (total / max(1, len(vectors))) ** 0.5
    return Quantiser(quantiser.low, quantiser.step, greatest**0.5, mean)
