"""Shapes are rounded to few, and never below what they hold."""

from __future__ import annotations

import pytest

from services.embedding.engines.shapes import padded_length, padded_rows, padded_texts


@pytest.mark.parametrize("padded", [padded_rows, padded_length, padded_texts])
def test_nothing_is_cut_and_what_is_rounded_stays_as_it_is(padded):
    rounded = [padded(count) for count in range(1, 5000)]
    assert all(after >= before for before, after in enumerate(rounded, start=1))
    assert rounded == sorted(rounded)
    assert all(padded(count) == count for count in set(rounded))


def test_a_usual_batch_has_one_of_few_shapes():
    assert len({padded_rows(rows) for rows in range(1, 1025)}) == 40
    assert len({padded_length(tokens) for tokens in range(1, 257)}) == 16


def test_little_is_added():
    assert all(padded_rows(rows) <= 1.07 * rows + 15 for rows in range(1, 5000))
