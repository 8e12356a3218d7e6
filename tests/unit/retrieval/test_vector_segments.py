"""Segments of every kind: only allowed rows are found, exact is exact, and whoever asks for k gets k."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retrieval.vectors import (
    Allowed,
    BuildSpec,
    IndexKind,
    RecallClass,
    Tier,
    build,
    kind_for,
    open_segment,
    search_memtable,
)
from services.retrieval.vectors import planner as plans
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.planner import Plan

ROWS, DIMENSIONS = 2_000, 24
ALL_PLANS = {
    IndexKind.FLAT: [plans.EXACT],
    IndexKind.HNSW: [plans.EXACT, plans.GRAPH, plans.FILTERED_GRAPH],
    IndexKind.HNSW_SQ8: [plans.EXACT, plans.GRAPH, plans.FILTERED_GRAPH],
    IndexKind.IVF_FLAT: [plans.EXACT, plans.IVF],
    IndexKind.IVF_SQ8: [plans.EXACT, plans.IVF],
    IndexKind.IVF_PQ: [plans.EXACT, plans.IVF],
    IndexKind.RABITQ: [plans.EXACT, plans.IVF],
}


def unit_vectors(rows, dimensions, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(42).standard_normal((20, dimensions))
    made = centres[rng.integers(20, size=rows)] + 0.7 * rng.standard_normal((rows, dimensions))
    return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)


VECTORS = unit_vectors(ROWS, DIMENSIONS)
VECTORS[100:140] = VECTORS[100]  # duplicates
VECTORS[140:150, 5] = 0.0


def brute_force(vectors, query, mask, k):
    """The true scores of the k best, padded with -inf."""
    products = (vectors.astype(np.float64) @ query.astype(np.float64))[mask]
    best = np.sort(products)[::-1][:k]
    return np.concatenate([best, np.full(k - len(best), -np.inf)])


def check(found, vectors, queries, mask, k):
    """What is true of every answer, whatever the plan."""
    assert found.rows.shape == found.scores.shape == (len(queries), k)
    for rows, scores, query in zip(found.rows, found.scores, queries, strict=True):
        some = rows[rows >= 0]
        assert len(some) == min(k, int(mask.sum()))
        assert len(set(some.tolist())) == len(some)
        assert mask[some].all()
        assert np.all(np.diff(scores[: len(some)]) <= 0)
        assert np.all(np.isneginf(scores[len(some) :]))
        assert np.all(rows[len(some) :] == -1)
        np.testing.assert_allclose(scores[: len(some)], vectors[some] @ query, atol=2e-6)


@pytest.fixture(scope="module")
def segments(tmp_path_factory):
    assert REGISTRY.wait(64) is not None, REGISTRY.failure
    folder = tmp_path_factory.mktemp("segments")
    made = {}
    for kind in IndexKind:
        spec = BuildSpec(kind, DIMENSIONS, links=8, build_effort=40, lists=16, sample=20)
        build(VECTORS, spec, folder / kind)
        for tier in Tier:
            made[kind, tier] = open_segment(folder / kind, tier=tier)
    return made


masks = st.tuples(st.sampled_from([0.0, 0.0005, 0.003, 0.03, 0.3, 0.9, 1.0]), st.integers(0, 99))


def mask_of(share, seed, *, is_block=False):
    if is_block:
        first = seed * 20
        return np.arange(ROWS) // max(1, int(share * ROWS)) == first // max(1, int(share * ROWS))
    return np.random.default_rng(seed).random(ROWS) < share


@pytest.mark.parametrize("kind", list(IndexKind))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_only_allowed_rows_by_every_plan(segments, kind, data):
    share, seed = data.draw(masks)
    mask = mask_of(share, seed, is_block=data.draw(st.booleans()))
    k = data.draw(st.sampled_from([1, 3, 10, 100, ROWS + 5]))
    count = data.draw(st.sampled_from([1, 2, 5]))
    recall = data.draw(st.sampled_from(list(RecallClass)))
    name = data.draw(st.sampled_from(ALL_PLANS[kind]))
    queries = unit_vectors(count, DIMENSIONS, seed + 1)
    segment = segments[kind, data.draw(st.sampled_from(list(Tier)))]
    allowed = Allowed(mask)
    check(segment.search(queries, allowed, k, recall), VECTORS, queries, mask, k)
    effort = max(k, data.draw(st.sampled_from([4, 16, 64])))
    plan = Plan(
        name if mask.any() else plans.SKIP, "", min(effort, 16) if name == plans.IVF else effort
    )
    check(segment.search_by(plan, queries, allowed, k, recall), VECTORS, queries, mask, k)


@pytest.mark.parametrize("kind", list(IndexKind))
@settings(max_examples=15, deadline=None)
@given(spec=masks, k=st.sampled_from([1, 10, 64]), seed=st.integers(0, 999))
def test_exact_equals_brute_force(segments, kind, spec, k, seed):
    mask = mask_of(*spec)
    queries = unit_vectors(5, DIMENSIONS, seed) * np.float32(0.3 + seed / 500)
    found = segments[kind, Tier.HOT].search(queries, Allowed(mask), k, RecallClass.EXACT)
    for scores, query in zip(found.scores, queries, strict=True):
        np.testing.assert_allclose(scores, brute_force(VECTORS, query, mask, k), atol=2e-6)


@pytest.mark.parametrize("kind", list(IndexKind))
def test_no_filter_and_a_filter_of_all_are_the_same(segments, kind):
    queries = unit_vectors(3, DIMENSIONS, 5)
    segment = segments[kind, Tier.HOT]
    everything = np.ones(ROWS, np.bool_)
    for recall in RecallClass:
        found = segment.search(queries, None, 10, recall)
        check(found, VECTORS, queries, everything, 10)
        again = segment.search(queries, Allowed(everything), 10, recall)
        np.testing.assert_array_equal(found.rows, again.rows)


@pytest.mark.parametrize("kind", list(IndexKind))
def test_recall_classes_find_most(segments, kind):
    queries = unit_vectors(50, DIMENSIONS, 9)
    segment = segments[kind, Tier.HOT]
    truth = np.argsort(-(queries @ VECTORS.T), axis=1)[:, :10]
    least = {RecallClass.EXACT: 1.0, RecallClass.HIGH: 0.95, RecallClass.FAST: 0.9}
    for recall in RecallClass:
        found = segment.search(queries, None, 10, recall).rows
        hits = [
            len(set(a) & set(b)) / 10 for a, b in zip(found.tolist(), truth.tolist(), strict=True)
        ]
        assert np.mean(hits) >= least[recall], (recall, segment.measured)


def test_ties_come_in_row_order(segments):
    for kind in (IndexKind.FLAT, IndexKind.HNSW_SQ8, IndexKind.IVF_FLAT):
        found = segments[kind, Tier.HOT].search(
            VECTORS[100:101].copy(), None, 10, RecallClass.EXACT
        )
        assert found.rows[0].tolist() == list(range(100, 110))


def test_two_searches_give_the_same_list(segments):
    queries = unit_vectors(8, DIMENSIONS, 3)
    mask = mask_of(0.4, 2)
    for kind in IndexKind:
        first = segments[kind, Tier.HOT].search(queries, Allowed(mask), 20)
        second = segments[kind, Tier.HOT].search(queries, Allowed(mask), 20)
        np.testing.assert_array_equal(first.rows, second.rows)


def test_a_batch_finds_what_single_queries_find(segments):
    queries = unit_vectors(11, DIMENSIONS, 4)
    mask = mask_of(0.5, 7)
    allowed = Allowed(mask)
    for kind in IndexKind:
        segment = segments[kind, Tier.HOT]
        batch = segment.search(queries, allowed, 7, RecallClass.EXACT)
        for at in range(len(queries)):
            single = segment.search(queries[at : at + 1], allowed, 7, RecallClass.EXACT)
            np.testing.assert_array_equal(batch.rows[at], single.rows[0])


def test_many_threads_find_what_one_finds(segments):
    queries = unit_vectors(40, DIMENSIONS, 6)
    filters = [None, Allowed(mask_of(0.6, 1)), Allowed(mask_of(0.05, 2))]
    for kind in (IndexKind.HNSW, IndexKind.HNSW_SQ8, IndexKind.IVF_SQ8, IndexKind.RABITQ):
        segment = segments[kind, Tier.HOT]
        cases = [
            (queries[at : at + 1].copy(), allowed)
            for allowed in filters
            for at in range(len(queries))
        ]

        def find(case, segment=segment):
            return segment.search(case[0], case[1], 10).rows[0].tolist()

        alone = [find(case) for case in cases]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(find, cases)) == alone


def test_read_only_queries_compile_nothing_new(segments):
    kernels = REGISTRY.get(64)
    before = len(kernels.search_ids.signatures)
    queries = np.frombuffer(VECTORS[:2].tobytes(), np.float32).reshape(2, DIMENSIONS)
    segments[IndexKind.FLAT, Tier.HOT].search(queries, None, 5)
    segments[IndexKind.FLAT, Tier.WARM].search(queries[:, ::-1][:, ::-1], None, 5)
    assert len(kernels.search_ids.signatures) == before == 1


@pytest.mark.parametrize("kind", list(IndexKind))
@pytest.mark.parametrize("rows", [0, 1, 2, 11])
def test_tiny_segments(tmp_path, kind, rows):
    vectors = unit_vectors(rows, 3)
    build(vectors, BuildSpec(kind, 3, links=4, sample=5), tmp_path / "s")
    segment = open_segment(tmp_path / "s")
    queries = unit_vectors(2, 3, 1)
    check(segment.search(queries, None, 4), vectors, queries, np.ones(rows, np.bool_), 4)
    mask = np.arange(rows) % 2 == 0
    check(segment.search(queries, Allowed(mask), 4), vectors, queries, mask, 4)
    assert segment.rows == rows
    assert segment.dimensions == 3


@pytest.mark.parametrize("dimensions", [1, 2, 63, 64, 65, 300, 1024, 2048])
def test_dimensions(tmp_path, monkeypatch, dimensions):
    # Wider codes are not compiled for here: numpy serves them meanwhile.
    monkeypatch.setattr(REGISTRY, "prepare", lambda width: None)
    vectors = unit_vectors(60, dimensions)
    build(vectors, BuildSpec(IndexKind.FLAT, dimensions), tmp_path / "s")
    segment = open_segment(tmp_path / "s")
    queries = unit_vectors(3, dimensions, 2)
    found = segment.search(queries, None, 10, RecallClass.EXACT)
    for scores, query in zip(found.scores, queries, strict=True):
        truth = brute_force(vectors, query, np.ones(60, np.bool_), 10)
        np.testing.assert_allclose(scores, truth, atol=2e-6)


def test_vectors_that_all_agree(tmp_path):
    vectors = np.tile(unit_vectors(1, DIMENSIONS), (200, 1))
    for kind in (IndexKind.FLAT, IndexKind.HNSW_SQ8):
        build(vectors, BuildSpec(kind, DIMENSIONS, links=4, sample=5), tmp_path / kind)
        found = open_segment(tmp_path / kind).search(vectors[:1].copy(), None, 5, RecallClass.EXACT)
        np.testing.assert_allclose(found.scores[0], 1.0, atol=1e-6)
        assert found.rows[0].tolist() == [0, 1, 2, 3, 4]


def test_a_query_of_zeros_finds_rows_of_score_zero(segments):
    for kind in IndexKind:
        query = np.zeros((1, DIMENSIONS), np.float32)
        found = segments[kind, Tier.HOT].search(query, None, 5)
        assert (found.rows >= 0).all()
        np.testing.assert_allclose(found.scores, 0.0, atol=1e-6)


def test_stored_vectors_come_back(segments):
    rows = np.array([5, 0, 1_999])
    for kind in IndexKind:
        np.testing.assert_array_equal(segments[kind, Tier.WARM].vectors(rows), VECTORS[rows])


def test_memory_is_less_in_the_warm_tier(segments):
    for kind in IndexKind:
        hot, warm = segments[kind, Tier.HOT], segments[kind, Tier.WARM]
        assert warm.nbytes < hot.nbytes
        assert hot.bytes_on_disk == warm.bytes_on_disk > VECTORS.nbytes
        hot.trim()
        assert hot.search(VECTORS[:1].copy(), None, 1).rows[0, 0] == 0


def test_measured_figures(segments):
    for kind in IndexKind:
        measured = segments[kind, Tier.HOT].measured
        assert measured["bytes_per_vector"] > 0
        if kind is not IndexKind.FLAT:
            assert 0.9 <= measured["recall_fast"] <= measured["recall_high"] <= 1.0
            assert measured["recall_loss_high"] == pytest.approx(
                1 - measured["recall_high"], abs=1e-4
            )


def test_quantised_graph_with_384_dimensions_stays_below_800_bytes(tmp_path):
    vectors = unit_vectors(2_000, 384)
    build(vectors, BuildSpec(IndexKind.HNSW_SQ8, 384, build_effort=40, sample=0), tmp_path / "s")
    segment = open_segment(tmp_path / "s")
    segment.search(vectors[:1].copy(), None, 10)
    assert segment.nbytes / segment.rows < 800


def test_a_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not \\(n, 7\\)"):
        build(VECTORS, BuildSpec(IndexKind.FLAT, 7), tmp_path / "s")
    assert not list(tmp_path.iterdir())


@settings(max_examples=40, deadline=None)
@given(
    spec=masks,
    k=st.sampled_from([1, 10, 200]),
    count=st.sampled_from([1, 4]),
    rows=st.sampled_from([0, 1, 50, ROWS]),
)
def test_memtable_equals_brute_force(spec, k, count, rows):
    vectors = VECTORS[:rows]
    queries = unit_vectors(count, DIMENSIONS, spec[1])
    mask = mask_of(*spec)[:rows]
    found = search_memtable(vectors, queries, Allowed(mask), k)
    check(found, vectors, queries, mask, k)
    for scores, query in zip(found.scores, queries, strict=True):
        np.testing.assert_allclose(scores, brute_force(vectors, query, mask, k), atol=2e-6)
    check(search_memtable(vectors, queries, None, k), vectors, queries, np.ones(rows, np.bool_), k)


def test_without_compiled_code_numpy_serves(segments, monkeypatch):
    monkeypatch.setattr(REGISTRY, "_ready", {})
    queries = unit_vectors(3, DIMENSIONS, 8)
    mask = mask_of(0.5, 3)
    for kind in IndexKind:
        found = segments[kind, Tier.WARM].search(queries, Allowed(mask), 10)
        check(found, VECTORS, queries, mask, 10)
    check(search_memtable(VECTORS, queries[:1], Allowed(mask), 10), VECTORS, queries[:1], mask, 10)


def test_small_collections_need_no_index():
    assert kind_for(0) is kind_for(20_000) is IndexKind.FLAT
    assert kind_for(20_001) is IndexKind.HNSW_SQ8


def test_allowed_forms_are_made_once():
    allowed = Allowed(mask_of(0.3, 1))
    assert allowed.ids is allowed.ids
    assert allowed.bits is allowed.bits
    assert allowed.count == len(allowed.ids) == int(np.unpackbits(allowed.bits).sum())
    part = allowed.part(100, 300)
    assert part is allowed.part(100, 300)
    np.testing.assert_array_equal(part.ids + 100, [i for i in allowed.ids if 100 <= i < 300])
    assert allowed.part(0, ROWS) is allowed
    assert allowed.nbytes >= ROWS + part.nbytes


def test_specifications_survive_json():
    spec = BuildSpec(IndexKind.IVF_PQ, 10, lists=7)
    assert BuildSpec.from_json(spec.to_json()) == spec
    for text in ('{"kind": "tree", "dimensions": 3}', "[]", '{"dimensions": 3}', "{"):
        with pytest.raises(ValueError):
            BuildSpec.from_json(text)
