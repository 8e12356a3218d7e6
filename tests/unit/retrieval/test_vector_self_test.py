"""An index that ignores a filter is not trusted with one; GPUs are used only where filters hold."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from services.retrieval.vectors import (
    Allowed,
    BuildSpec,
    IndexKind,
    build,
    faiss_lists,
    gpu,
    open_segment,
    trust,
)
from services.retrieval.vectors import planner as plans
from services.retrieval.vectors.self_test import ROWS, SELF_TEST, Pair, SelfTest


def honest(vectors, queries, allowed, count):
    products = np.where(allowed.mask, queries @ vectors.T, -np.inf)
    order = np.argsort(-products, axis=1)[:, :count]
    return np.where(np.isneginf(np.take_along_axis(products, order, 1)), -1, order)


def ignores_the_filter(vectors, queries, allowed, count):
    return np.argsort(-(queries @ vectors.T), axis=1)[:, :count]


def finds_nothing(vectors, queries, allowed, count):
    return np.full((len(queries), count), -1)


def leaves_the_segment(vectors, queries, allowed, count):
    return np.full((len(queries), count), ROWS)


def throws(vectors, queries, allowed, count):
    raise RuntimeError("no kernel image")


def test_an_honest_index_passes():
    test = SelfTest()
    assert test.honours(Pair("a", "b"), honest)
    assert test.passed == [Pair("a", "b")]
    assert test.disabled == {}


@pytest.mark.parametrize("trial", [ignores_the_filter, finds_nothing, leaves_the_segment, throws])
def test_a_bad_index_is_disabled_once_and_for_all(trial):
    test = SelfTest()
    pair = Pair("ivf", "bitmap")
    assert not test.honours(pair, trial)
    assert pair in test.disabled
    assert not test.honours(pair, honest)  # the trial is not repeated
    assert test.passed == []


@pytest.mark.parametrize("kind", [IndexKind.IVF_PQ, IndexKind.RABITQ])
def test_a_segment_whose_index_ignores_filters_compares_all(tmp_path, monkeypatch, kind):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((400, 16)).astype(np.float32)
    build(vectors, BuildSpec(kind, 16, lists=4, sample=0), tmp_path / "s")
    monkeypatch.setitem(SELF_TEST._outcomes, Pair(kind, "IDSelectorBitmap"), "returned other rows")
    segment = open_segment(tmp_path / "s")
    mask = rng.random(400) < 0.9
    plan = segment.plan(int(mask.sum()), 5, 3)
    assert plan.name == plans.EXACT
    assert "self-test" in plan.why
    found = segment.search(vectors[:3].copy(), Allowed(mask), 5)
    assert mask[found.rows].all()


def test_faiss_kinds_pass_here():
    for kind in (IndexKind.IVF_PQ, IndexKind.RABITQ):
        trial = partial(faiss_lists._trial, kind)
        assert SelfTest().honours(Pair(kind, "x"), trial)


class FakeFlat:
    """What faiss-gpu's flat index does, with or without regard for the selector."""

    is_ignoring = False

    def __init__(self, resources, dimensions, metric, config):
        assert config.use_cuvs
        self._dimensions = dimensions

    def add(self, vectors):
        assert vectors.shape[1] == self._dimensions
        self._vectors = vectors

    def search(self, queries, count, params=None):
        mask = np.ones(len(self._vectors), np.bool_)
        if params is not None and not self.is_ignoring:
            mask = np.unpackbits(params.sel.bits, bitorder="little")[: len(mask)].astype(bool)
        products = np.where(mask, queries @ self._vectors.T, -np.inf).astype(np.float32)
        rows = np.argsort(-products, axis=1)[:, :count]
        scores = np.take_along_axis(products, rows, 1)
        return scores, np.where(np.isneginf(scores), -1, rows)


class IgnoringFlat(FakeFlat):
    is_ignoring = True


class FakeVector:
    """A std::vector as FAISS's bindings show it."""

    def __init__(self, values):
        self.values = np.asarray(values)


class FakeCagra:
    """Links each row to the next two."""

    def __init__(self, resources, dimensions, metric, config):
        self.config = config

    def train(self, vectors):
        self.rows = len(vectors)

    def copyTo(self, copy):  # noqa: N802 - FAISS's name
        assert copy.base_level_only
        degree = self.config.graph_degree
        links = np.full((self.rows, degree), -1, np.int32)
        links[:, 0] = (np.arange(self.rows) + 1) % self.rows
        links[:, 1] = (np.arange(self.rows) + 2) % self.rows
        copy.hnsw = SimpleNamespace(
            neighbors=FakeVector(links.ravel()),
            offsets=FakeVector(np.arange(self.rows + 1) * degree),
            levels=FakeVector(np.ones(self.rows, np.int32)),
            nb_neighbors=lambda level: degree,
            max_level=0,
            entry_point=0,
        )


def fake_faiss(flat=FakeFlat, options="GPU CUVS OPTIMIZE", gpus=1):
    return SimpleNamespace(
        StandardGpuResources=object,
        METRIC_INNER_PRODUCT=0,
        graph_build_algo_NN_DESCENT=2,
        get_compile_options=lambda: options,
        get_num_gpus=lambda: gpus,
        GpuIndexFlatConfig=SimpleNamespace,
        GpuIndexCagraConfig=SimpleNamespace,
        GpuIndexFlat=flat,
        GpuIndexCagra=FakeCagra,
        IndexHNSWCagra=SimpleNamespace,
        IDSelectorBitmap=lambda bits: SimpleNamespace(bits=bits),
        SearchParameters=lambda sel: SimpleNamespace(sel=sel),
        vector_to_array=lambda vector: vector.values,
    )


def failing_driver():
    raise RuntimeError("CUDA error")


def test_only_a_gpu_with_cuvs_counts():
    found, _ = gpu.detect(fake_faiss())
    assert found is not None
    no_driver = fake_faiss()
    no_driver.get_num_gpus = failing_driver
    for faiss, why in (
        (SimpleNamespace(), "for CPUs"),
        (fake_faiss(options="GPU OPTIMIZE"), "without cuVS"),
        (fake_faiss(gpus=0), "no GPU"),
        (no_driver, "driver"),
    ):
        found, said = gpu.detect(faiss)
        assert found is None
        assert why in said


def test_the_installed_library_is_told_apart():
    found, why = gpu.detect(faiss_lists.library())
    assert found is not None or "FAISS" in why or "GPU" in why or "driver" in why


def test_a_gpu_scan_filters_and_checks_again():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, 16)).astype(np.float32)
    mask = rng.random(100) < 0.3
    found, _ = gpu.detect(fake_faiss())
    scan = gpu.GpuScan(found, vectors, SelfTest())
    assert scan.is_filterable
    rows, scores = scan.search(vectors[:2], Allowed(mask), 5)
    assert mask[rows].all()
    np.testing.assert_array_equal(rows, honest(vectors, vectors[:2], Allowed(mask), 5))
    rows, _ = scan.search(vectors[:2], None, 3)
    assert rows[:, 0].tolist() == [0, 1]
    assert rows.shape == (2, 3)
    rows, scores = scan.search(vectors[:1], Allowed(np.arange(100) < 2), 5)
    assert sorted(rows[0].tolist()) == [-1, -1, -1, 0, 1]
    assert np.isneginf(scores[rows == -1]).all()


def test_a_gpu_that_ignores_filters_serves_none():
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((100, 16)).astype(np.float32)
    test = SelfTest()
    found, _ = gpu.detect(fake_faiss(IgnoringFlat))
    scan = gpu.GpuScan(found, vectors, test)
    assert not scan.is_filterable
    assert Pair("gpu_flat", "IDSelectorBitmap") in test.disabled
    assert scan.search(vectors[:1], Allowed(rng.random(100) < 0.5), 5) is None
    assert scan.search(vectors[:1], None, 5) is not None
    # Even if it were trusted, nothing that is not allowed leaves.
    scan.is_filterable = True
    mask = np.arange(100) >= 50
    rows, _ = scan.search(vectors[:1], Allowed(mask), 20)
    assert mask[rows[rows >= 0]].all()


def test_a_graph_of_the_gpu_is_walked_by_cpus():
    found, _ = gpu.detect(fake_faiss())
    vectors = np.zeros((40, 4), np.float32)
    made = gpu.link(found, vectors, links=4)
    assert len(made.upper) == 0
    assert made.most_links == 2
    assert made.links[made.starts[7] : made.starts[8], 0].tolist() == [8, 9]


def test_a_gpu_takes_what_fits():
    assert gpu.Gpu(None, 0, 10_000_000).fits(1_000, 384)
    assert not gpu.Gpu(None, 0, 1_000_000).fits(1_000, 384)
    assert gpu.Gpu(None).fits(10**9, 384)


def test_at_start_every_pair_is_tried_with_the_installed_library():
    test, serving = SelfTest(), gpu.Serving()
    found = trust.find_out(test, serving)
    assert len(found.passed) >= 2
    assert {pair.kind for pair in test.passed} >= {IndexKind.IVF_PQ, IndexKind.RABITQ}
    assert found.disabled == {}
    assert (serving.gpu is None) == (gpu.detect(faiss_lists.library())[0] is None)


def test_at_start_a_gpu_is_taken_into_service_only_if_it_keeps_to_filters():
    test, serving = SelfTest(), gpu.Serving()
    trust.find_out(test, serving, fake_faiss())
    assert serving.gpu is not None
    test, serving = SelfTest(), gpu.Serving()
    found = trust.find_out(test, serving, fake_faiss(IgnoringFlat))
    assert serving.gpu is None
    assert found.disabled == {
        "gpu_flat with IDSelectorBitmap": "returned rows that the filter does not allow"
    }


class BrokenScan(gpu.GpuScan):
    """A GPU that fell off the bus."""

    def search(self, queries, allowed, k):
        raise RuntimeError("CUDA error")


@pytest.mark.parametrize(("scan", "name"), [(gpu.GpuScan, plans.GPU), (BrokenScan, plans.EXACT)])
def test_many_queries_at_once_go_to_the_gpu(tmp_path, monkeypatch, scan, name):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((300, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found, _ = gpu.detect(fake_faiss())
    monkeypatch.setattr(gpu.SERVING, "scan", lambda rows: scan(found, rows, SelfTest()))
    build(vectors, BuildSpec(IndexKind.FLAT, 16), tmp_path / "s")
    segment = open_segment(tmp_path / "s")
    allowed = Allowed(rng.random(300) < 0.4)
    queries = vectors[: gpu.LEAST_QUERIES].copy()
    many = segment.search(queries, allowed, 5)
    assert many.plan == name
    np.testing.assert_array_equal(many.rows, honest(vectors, queries, allowed, 5))
    assert segment.search(queries[:1].copy(), allowed, 5).plan == plans.EXACT


def test_a_gpu_serves_large_segments_that_fit():
    serving = gpu.Serving()
    few, many = np.zeros((10, 16), np.float32), np.zeros((60_000, 2), np.float32)
    assert serving.scan(many) is None
    serving.gpu = gpu.Gpu(fake_faiss())
    assert serving.scan(few) is None
    assert serving.scan(many) is not None
    serving.gpu = gpu.Gpu(fake_faiss(), 0, 1000)
    assert serving.scan(many) is None
