"""Token vectors are merged with their neighbours, the most alike first."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.embedding.token_pooling import pool_rows, pooled_groups


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_likes_are_merged_before_others():
    rows = unit([[1, 0], [1, 0.01], [0, 1], [0.01, 1], [-1, 0]])
    firsts = pooled_groups(rows, 5 / 3)
    assert firsts.tolist() == [0, 2, 4]
    np.testing.assert_allclose(np.linalg.norm(pool_rows(rows, firsts), axis=1), 1, rtol=1e-6)


@given(count=st.integers(0, 60), factor=st.floats(1, 32), seed=st.integers(0, 2**32 - 1))
def test_groups_are_as_many_as_wanted_and_cover_all(count, factor, seed):
    rows = np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)
    firsts = pooled_groups(rows, factor)
    assert len(firsts) == (max(1, math.ceil(count / factor)) if count else 0)
    assert sorted(set(firsts.tolist())) == firsts.tolist()
    assert not count or firsts[0] == 0
    assert pool_rows(rows, firsts).shape == (len(firsts), 4)
