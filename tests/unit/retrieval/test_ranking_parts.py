"""Fusion, diversity, growing arrays, page tokens, vectors: the small parts of a search."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.retrieval.browse import Place, decode_token, encode_token, page_key
from services.retrieval.diversity import diversify
from services.retrieval.fusion import fuse
from services.retrieval.queries import FusionMethod
from services.retrieval.vectors import decode
from services.retrieval.view.arrays import GrowingArray
from services.retrieval.view.postings import Postings
from services.retrieval.view.rows import unit_rows
from services.rpc.errors import InvalidArgumentError, Reason


def pairs(*scored):
    return (
        np.array([row for row, _ in scored], np.int64),
        np.array([score for _, score in scored], np.float32),
    )


def test_z_scores_shift_the_worst_to_zero_and_absent_counts_zero():
    rows, scores = fuse(
        pairs((1, 0.9), (2, 0.5), (3, 0.1)), pairs((2, 9.0), (4, 3.0)), FusionMethod.Z_SCORE, 0.5
    )
    by_row = dict(zip(rows.tolist(), scores.tolist(), strict=True))
    spread = np.std([0.9, 0.5, 0.1])
    assert by_row[1] == pytest.approx(0.5 * 0.8 / spread, rel=1e-5)
    assert by_row[2] == pytest.approx(0.5 * 0.4 / spread + 0.5 * 6 / 3, rel=1e-5)
    assert by_row[3] == by_row[4] == 0
    assert rows[0] == 2


def test_min_max_and_reciprocal_ranks():
    near, words = pairs((1, 0.9), (2, 0.1)), pairs((2, 5.0))
    rows, scores = fuse(near, words, FusionMethod.MIN_MAX, 0.25)
    assert dict(zip(rows.tolist(), scores.tolist(), strict=True)) == {1: 0.25, 2: 0.75}
    rows, scores = fuse(near, words, FusionMethod.RRF, 0.5)
    assert rows.tolist() == [2, 1]
    assert scores[1] == pytest.approx(0.5 / 61)


@pytest.mark.parametrize("method", list(FusionMethod))
def test_empty_and_single_lists_fuse(method):
    none = pairs()
    assert len(fuse(none, none, method, 0.5)[0]) == 0
    rows, scores = fuse(pairs((7, 0.3)), none, method, 0.5)
    assert rows.tolist() == [7]
    assert scores[0] > 0


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=20), st.floats(0, 1))
def test_marginal_relevance_falls_and_no_hit_comes_twice(scores, strength):
    ordered = np.sort(np.array(scores))[::-1]
    vectors = unit_rows(np.random.default_rng(1).normal(size=(len(scores), 4)).astype(np.float32))
    places, marginal = diversify(ordered, vectors, strength, 10)
    assert len(set(places)) == len(places) == min(10, len(scores))
    assert all(a >= b - 1e-6 for a, b in itertools.pairwise(marginal))
    if strength == 0:
        assert [ordered[place] for place in places] == ordered[: len(places)].tolist()


def test_readers_of_a_growing_array_keep_their_rows():
    array = GrowingArray(np.int32, 2)
    array.extend(np.arange(20, dtype=np.int32).reshape(10, 2))
    first = array.rows(10)
    before = first.copy()
    for number in range(1000):
        array.append([number, -number])
    assert (first == before).all()
    assert array.rows(1010)[1009].tolist() == [999, -999]


def test_postings_can_be_read_while_they_grow_and_are_sealed():
    postings = Postings()
    failures = []

    def read():
        for count in range(0, 20_000, 7):
            rows = postings.get(7, count)
            if len(rows) and (rows[-1] >= count or not (np.diff(rows.astype(int)) > 0).all()):
                failures.append(count)

    thread = threading.Thread(target=read)
    thread.start()
    for row in range(20_000):
        postings.add(7, row)
        if row % 5_000 == 0:
            postings.seal()
    thread.join()
    assert failures == []
    assert len(postings.get(7, 20_000)) == 20_000
    assert len(postings.get(8, 5)) == 0


def test_large_and_zero_vectors_get_unit_length_or_stay_zero():
    rows = unit_rows(np.array([[3e38, 3e38], [0, 0], [1e-38, 0]], np.float32))
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 0, 1])


def test_a_page_token_belongs_to_its_list():
    key = page_key("documents", 1, None)
    token = encode_token(Place("größe", 3), key)
    assert decode_token(token, key) == Place("größe", 3)
    assert decode_token("", key) is None
    with pytest.raises(InvalidArgumentError):
        decode_token(token, page_key("documents", 2, None))


@given(st.text(max_size=40))
def test_no_token_makes_it_fail(token):
    key = page_key("x")
    if token:
        with pytest.raises(InvalidArgumentError) as caught:
            decode_token(token, key)
        assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


@given(
    st.binary(max_size=40),
    st.integers(-1, 9),
    st.integers(0, 20),
    st.floats(width=32),
)
def test_no_bytes_make_a_vector_that_is_not_finite(data, element_type, dimensions, scale):
    try:
        found = decode(data, element_type, dimensions, scale, "v")
    except InvalidArgumentError:
        return
    assert found.dtype == np.float32
    assert found.shape == (dimensions,)
    assert np.isfinite(found).all()
    assert found.any()
