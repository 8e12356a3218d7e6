"""Reads vectors from their bytes."""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.limits import MAX_DIMENSIONS
from services.rpc.errors import InvalidArgumentError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ElementType(enum.IntEnum):
    """Layout of a vector's bytes, numbered as in the contract; 0 means FLOAT32."""

    UNSPECIFIED = 0
    FLOAT32 = 1
    FLOAT16 = 2
    INT8 = 3
    BINARY = 4


def decode(
    data: bytes, element_type: int, dimensions: int, scale: float, path: str
) -> NDArray[np.float32]:
    """Returns the vector as float32.

    Args:
        data: The numbers, little-endian and packed.
        element_type: Their layout.
        dimensions: How many there are.
        scale: Factor of INT8 numbers.
        path: Place of the vector in the request, for errors.

    Raises:
        InvalidArgumentError: wrong length, NaN or an infinity, only zeros, unknown layout.
    """
    if not data:
        raise InvalidArgumentError.for_field(path, "has no data", Reason.INVALID_FIELD)
    if not 1 <= dimensions <= MAX_DIMENSIONS:
        raise InvalidArgumentError.for_field(
            f"{path}.dimensions", f"must be 1 to {MAX_DIMENSIONS}, not {dimensions}"
        )
    try:
        layout = ElementType(element_type)
    except ValueError:
        raise InvalidArgumentError.for_field(
            f"{path}.element_type", f"{element_type} is not known"
        ) from None
    expected = _byte_length(layout, dimensions)
    if len(data) != expected:
        raise InvalidArgumentError.for_field(
            f"{path}.data",
            f"holds {len(data)} bytes, {dimensions} dimensions need {expected}",
            Reason.DIMENSION_MISMATCH,
        )
    vector = _numbers(data, layout, dimensions, scale, path)
    if not np.isfinite(vector).all():
        raise InvalidArgumentError.for_field(
            path, "holds NaN or an infinity", Reason.VECTOR_NOT_FINITE
        )
    if not vector.any():
        raise InvalidArgumentError.for_field(path, "is all zeros: it has no direction")
    return vector


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the vector at length 1."""
    wide = vector.astype(np.float64)
    return (wide / np.linalg.norm(wide)).astype(np.float32)


def _byte_length(layout: ElementType, dimensions: int) -> int:
    if layout is ElementType.BINARY:
        return -(-dimensions // 8)
    return dimensions * {ElementType.FLOAT16: 2, ElementType.INT8: 1}.get(layout, 4)


def _numbers(
    data: bytes, layout: ElementType, dimensions: int, scale: float, path: str
) -> NDArray[np.float32]:
    if layout is ElementType.FLOAT16:
        return np.frombuffer(data, "<f2").astype(np.float32)
    if layout is ElementType.INT8:
        if not math.isfinite(scale) or scale <= 0:
            raise InvalidArgumentError.for_field(f"{path}.scale", "must be a positive number")
        return (np.frombuffer(data, np.int8) * np.float64(scale)).astype(np.float32)
    if layout is ElementType.BINARY:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=dimensions)
        return np.where(bits == 1, 1, -1).astype(np.float32)
    return np.frombuffer(data, "<f4").astype(np.float32, copy=False)
