"""Vectors as callers want them: shortened, normalised, in the element type they asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.embedding.encoder import VectorArray
from services.embedding.options import ElementType


@dataclass(frozen=True, slots=True)
class PackedVectors:
    """Rows of numbers as little-endian bytes."""

    data: bytes
    element_type: ElementType
    dimensions: int
    count: int
    scales: list[float]
    """One factor per row of INT8, else empty."""


_INT8_MAX = 127


def shorten(vectors: VectorArray, dimensions: int) -> VectorArray:
    """Keeps the leading dimensions; 0 keeps all. They are no unit vectors any more."""
    return vectors[:, :dimensions] if dimensions else vectors


def normalize(vectors: VectorArray) -> VectorArray:
    """Scales rows (count, dimensions) to length 1; zero rows stay."""
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))  # a third of np.linalg.norm's time
    lengths[lengths == 0] = 1
    return vectors / lengths[:, None]


def bytes_per_row(dimensions: int, element_type: ElementType) -> int:
    """Returns the size of one packed row."""
    if element_type is ElementType.BINARY:
        return (dimensions + 7) // 8
    return (
        dimensions
        * {
            ElementType.FLOAT32: 4,
            ElementType.FLOAT16: 2,
            ElementType.INT8: 1,
        }[element_type]
    )


def pack(vectors: VectorArray, element_type: ElementType) -> PackedVectors:
    """Lays rows (count, dimensions) out as bytes.

    INT8 takes a factor per row from its largest number, so that value = element * factor.
    FLOAT16 ends at the largest number it can hold, which only vectors not normalised reach.
    """
    count, dimensions = vectors.shape
    scales: list[float] = []
    packed: npt.NDArray[np.generic]
    if element_type is ElementType.FLOAT16:
        limit = float(np.finfo(np.float16).max)
        packed = np.clip(vectors, -limit, limit).astype("<f2")
    elif element_type is ElementType.INT8:
        largest = np.abs(vectors).max(axis=1, initial=0)
        factors = np.where(largest > 0, largest / _INT8_MAX, 1).astype(np.float32)
        packed = np.rint(vectors / factors[:, None]).astype(np.int8)
        scales = factors.tolist()
    elif element_type is ElementType.BINARY:
        packed = np.packbits(vectors > 0, axis=1)
    else:
        packed = vectors.astype("<f4", copy=False)
    return PackedVectors(packed.tobytes(), element_type, dimensions, count, scales)
