"""Vectors in every layout give back what went in."""

from __future__ import annotations

import numpy as np
import pytest

from services.embedding.options import ElementType
from services.embedding.vectors import bytes_per_row, normalize, pack, shorten

VECTORS = np.random.default_rng(1).standard_normal((5, 19)).astype(np.float32)


def test_float32_is_exact_and_little_endian():
    packed = pack(VECTORS, ElementType.FLOAT32)
    np.testing.assert_array_equal(np.frombuffer(packed.data, "<f4").reshape(5, 19), VECTORS)


def test_float16_is_close_and_ends_at_its_largest_number():
    wide = np.array([[1e9, -1e9, 0.5]], dtype=np.float32)
    got = np.frombuffer(pack(wide, ElementType.FLOAT16).data, "<f2")
    assert got.tolist() == [65504.0, -65504.0, 0.5]


def test_int8_has_a_factor_per_row():
    vectors = np.vstack([VECTORS, np.zeros((1, 19), dtype=np.float32)])
    packed = pack(vectors, ElementType.INT8)
    numbers = np.frombuffer(packed.data, np.int8).reshape(6, 19)
    restored = numbers * np.array(packed.scales)[:, None]
    assert np.abs(restored - vectors).max() <= np.abs(vectors).max() / 127
    assert np.abs(numbers[:5]).max(axis=1).tolist() == [127] * 5
    assert not restored[5].any()


def test_binary_has_one_bit_each_most_significant_first():
    packed = pack(np.array([[1, -1, 0, 2, -3, 1, 1, 1, 5]], dtype=np.float32), ElementType.BINARY)
    assert packed.data == bytes([0b10010111, 0b10000000])
    assert packed.dimensions == 9


@pytest.mark.parametrize("element_type", ElementType)
def test_sizes_are_as_announced(element_type):
    packed = pack(VECTORS, element_type)
    assert len(packed.data) == 5 * bytes_per_row(19, element_type)
    assert pack(VECTORS[:0], element_type).data == b""


def test_normalising_leaves_zero_rows():
    rows = np.vstack([VECTORS, np.zeros((1, 19), dtype=np.float32)])
    lengths = np.linalg.norm(normalize(rows), axis=1)
    np.testing.assert_allclose(lengths, [1, 1, 1, 1, 1, 0], rtol=1e-6)


def test_shortening_keeps_leading_numbers():
    assert shorten(VECTORS, 4).shape == (5, 4)
    assert shorten(VECTORS, 0) is VECTORS
