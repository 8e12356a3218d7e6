"""Token codes: what goes in comes out, what is not this model's does not, long passages fit."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedding.late_interaction import late_interaction_score
from services.embedding.token_codes import (
    MAX_CODE_BYTES,
    TokenCode,
    code_of,
    coded_scores,
    coded_span_scores,
    decode,
    encode,
    model_mark,
    most_rows,
)

MARK = model_mark("revision one")


def rows(count, dimensions=384, seed=0):
    """Unit vectors that wander slowly, as those of neighbouring tokens do."""
    made = np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)
    made = np.cumsum(made, axis=0) * 0.3 + made
    return made / np.linalg.norm(made, axis=1, keepdims=True)


@settings(deadline=None, max_examples=150)
@given(count=st.integers(1, 120), dimensions=st.integers(1, 1100), seed=st.integers(0, 2**32 - 1))
def test_signs_come_out_as_they_went_in(count, dimensions, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, dimensions), np.float32)
    code = encode(vectors, MARK)
    held = decode(code, MARK, dimensions)
    assert held is not None
    assert len(code) <= MAX_CODE_BYTES
    assert held.token_count == count
    assert held.firsts[0] == 0
    assert (np.diff(held.firsts) > 0).all()
    if count <= most_rows(dimensions):
        assert held.firsts.tolist() == list(range(count))
        signs = np.unpackbits(held.bits, axis=1, count=dimensions).astype(bool)
        np.testing.assert_array_equal(signs, vectors > 0)
    else:
        assert len(held.bits) == len(held.firsts) == most_rows(dimensions, count)


@pytest.mark.parametrize(
    ("count", "kept"), [(170, 170), (171, 169), (256, 169), (512, 169), (8192, 149)]
)
def test_a_passage_of_any_length_fits_into_8_kb_and_keeps_as_many_rows_as_that_holds(count, kept):
    code = encode(rows(count), MARK)
    assert len(code) <= 8192
    assert len(decode(code, MARK, 384).bits) == kept


def test_neighbours_that_are_alike_are_merged_first():
    different = rows(169, seed=3)
    doubled = np.repeat(different, [2] * 40 + [1] * 129, axis=0)
    merged = code_of(doubled)
    np.testing.assert_array_equal(merged.bits, code_of(different).bits)
    assert merged.firsts.tolist() == [*range(0, 80, 2), *range(80, 209)]
    assert merged.rows_of(0, 1) == merged.rows_of(1, 2) == slice(0, 1)
    assert merged.rows_of(3, 82) == slice(1, 42)


def test_a_passage_without_tokens_has_no_code():
    assert encode(np.zeros((0, 384), np.float32), MARK) == b""
    assert decode(b"", MARK, 384) is None


def test_codes_of_another_model_or_damaged_ones_are_none():
    code = encode(rows(5, 380), MARK)
    assert decode(code, MARK, 380) is not None
    assert decode(code, model_mark("revision two"), 380) is None
    assert decode(code, MARK, 384) is None
    assert decode(code[:-1], MARK, 380) is None
    assert decode(code + b"\0", MARK, 380) is None
    assert decode(code[:13], MARK, 380) is None
    assert decode(b"\2" + code[1:], MARK, 380) is None
    assert decode(b"\3" + code[1:], MARK, 380) is None
    assert decode(code[:-1] + b"\xff", MARK, 380) is None  # bits beyond the 380th
    assert decode(code + code[13:] * 40, MARK, 380) is None  # more than any code holds


def test_a_damaged_map_of_rows_is_noticed():
    code = encode(rows(256), MARK)
    assert decode(code, MARK, 384) is not None
    for damaged in (0b0100_0000, 0b1000_0000):  # begins later; fewer rows
        assert decode(code[:13] + bytes([damaged]) + code[14:], MARK, 384) is None


@settings(deadline=None, max_examples=200)
@given(code=st.binary(max_size=9000), form=st.integers(1, 2), count=st.integers(0, 300))
def test_no_bytes_at_all_make_the_reader_fail(code, form, count):
    for each in (code, struct.pack("<B8sHH", form, MARK, 384, count) + code):
        found = decode(each, MARK, 384)
        assert found is None or len(found.firsts) == len(found.bits) <= found.token_count


def test_scores_by_code_estimate_those_of_the_vectors_and_keep_their_order():
    query, weights = rows(9, seed=1), np.full(9, 1 / 9, np.float32)
    passages = [rows(40 + place, seed=100 + place) for place in range(60)]
    for place in range(0, 60, 2):  # every other one answers the query, more and more closely
        near = query + rows(9, seed=500 + place) * (0.2 + place / 30)
        passages[place][:9] = near / np.linalg.norm(near, axis=1, keepdims=True)
    exact = [late_interaction_score(query, weights, each) for each in passages]
    held = [decode(encode(each, MARK), MARK, 384) for each in passages]
    coded = coded_scores(query, weights, held)
    np.testing.assert_allclose(coded, exact, atol=0.12)
    assert np.argsort(exact)[::-1][:5].tolist() == np.argsort(coded)[::-1][:5].tolist()


def test_scores_do_not_depend_on_the_company():
    query, weights = rows(3, seed=1), np.full(3, 1 / 3, np.float32)
    passages = [code_of(rows(170, seed=place)) for place in range(60)]  # more than one round
    passages[7] = TokenCode(np.zeros((0, 48), np.uint8), np.arange(0), 0)
    together = coded_scores(query, weights, passages)
    assert together[7] == 0
    alone = [coded_scores(query, weights, [each])[0] for each in passages]
    np.testing.assert_allclose(together, alone, rtol=1e-5)


@pytest.mark.parametrize("count", [40, 256])
def test_stretches_score_as_their_tokens_do(count):
    query, weights = rows(5, seed=1), np.full(5, 1 / 5, np.float32)
    vectors = rows(count, seed=9)
    code = code_of(vectors)
    spans = [(0, count), (3, 17), (count - 1, count), (6, 6)]
    whole, some, last, none = coded_span_scores(query, weights, code, spans)
    assert whole == pytest.approx(coded_scores(query, weights, [code])[0], rel=1e-5)
    assert none == 0
    if count == 40:
        parts = [coded_scores(query, weights, [code_of(vectors[a:b])])[0] for a, b in spans[1:3]]
        assert [some, last] == pytest.approx(parts, rel=1e-5)
