"""Vectors: protobuf to numbers and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.types.v1 import vector_pb2

from services.retrieval.vectors import decode

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOAT32 = frozenset({vector_pb2.ELEMENT_TYPE_UNSPECIFIED, vector_pb2.ELEMENT_TYPE_FLOAT32})
"""Element types whose bytes are taken as they are."""


def from_message(message: vector_pb2.Vector, path: str) -> NDArray[np.float32]:
    """Returns a vector as it was sent.

    Args:
        message: The vector.
        path: Its place in the request, for errors.

    Raises:
        InvalidArgumentError: it is no vector of finite numbers, or all of them are zero.
    """
    return decode(message.data, message.element_type, message.dimensions, message.scale, path)


def to_message(data: bytes) -> vector_pb2.Vector:
    """Returns the message of little-endian float32 numbers."""
    return vector_pb2.Vector(
        data=data, element_type=vector_pb2.ELEMENT_TYPE_FLOAT32, dimensions=len(data) // 4
    )
