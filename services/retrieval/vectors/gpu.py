"""Builds and searches on a GPU, where one and the right library are there (faiss-gpu-cuvs).

Plain faiss-gpu ignores filters, so only builds with cuVS count, and each way of searching passes
`self_test` before it serves a filter. A graph built on the GPU (CAGRA) is copied to the links that
CPUs walk; FAISS itself is passed in, so that the logic is tested without a GPU.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import graph
from services.retrieval.vectors.self_test import SELF_TEST, Pair, SelfTest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed

LEAST_QUERIES = 16
"""Queries of one search from which the GPU is asked: fewer are answered by the CPU before they are
there and back."""
_LEAST_ROWS = 50_000
"""The same for the rows of a segment."""
_SELECTOR = "IDSelectorBitmap"
_SPARE = 1.25
"""Memory needed beyond the vectors, for queries, distances and the graph."""


class Gpu:
    """A GPU that FAISS can use.

    Args:
        faiss: The library, built with cuVS.
        device: Its number.
        bytes_free: Of its memory; 0: not known.
    """

    def __init__(self, faiss: Any, device: int = 0, bytes_free: int = 0) -> None:
        self.faiss = faiss
        self.device = device
        self.bytes_free = bytes_free
        self.turn = threading.Lock()
        """Held by whoever uses `resources`, which bear one thread at a time."""
        self._resources: Any = None

    @property
    def resources(self) -> Any:
        """Scratch memory of all scans, up to 1.5 GB of the GPU's, made at first use."""
        if self._resources is None:
            self._resources = self.faiss.StandardGpuResources()
        return self._resources

    def fits(self, rows: int, dimensions: int) -> bool:
        """Returns whether so many float vectors can be worked on."""
        return not self.bytes_free or rows * dimensions * 4 * _SPARE < self.bytes_free


def detect(faiss: Any) -> tuple[Gpu | None, str]:
    """Returns the GPU to use, or None and why not.

    Args:
        faiss: The library as it is installed.
    """
    if not hasattr(faiss, "StandardGpuResources"):
        return None, "FAISS is built for CPUs"
    if "CUVS" not in faiss.get_compile_options():
        return None, "FAISS is built without cuVS and would ignore filters: install faiss-gpu-cuvs"
    try:
        count = int(faiss.get_num_gpus())
    except RuntimeError as error:
        return None, f"the driver does not answer: {type(error).__name__}"
    if count < 1:
        return None, "no GPU is visible"
    memory = getattr(faiss, "getFreeMemory", None)
    return Gpu(faiss, 0, int(memory(0)) if memory is not None else 0), f"{count} GPUs"


def link(gpu: Gpu, vectors: NDArray[np.float32], links: int) -> graph.Graph:
    """Returns a graph built on the GPU by CAGRA, in the form that CPUs walk.

    It has no upper levels: walks start from rows spread over the segment.

    Args:
        gpu: Where.
        vectors: (n, d) float32.
        links: Half of the links of a row, as in `BuildSpec.links`.
    """
    faiss = gpu.faiss
    config = faiss.GpuIndexCagraConfig()
    config.device = gpu.device
    config.graph_degree = links * 2
    config.intermediate_graph_degree = links * 4
    config.build_algo = faiss.graph_build_algo_NN_DESCENT
    dimensions = vectors.shape[1]
    index = faiss.GpuIndexCagra(
        faiss.StandardGpuResources(), dimensions, faiss.METRIC_INNER_PRODUCT, config
    )
    index.train(np.ascontiguousarray(vectors))
    copy = faiss.IndexHNSWCagra()
    copy.base_level_only = True
    index.copyTo(copy)
    return graph.from_faiss(copy.hnsw, len(vectors), faiss, is_flat=True)


def centroids(
    gpu: Gpu, vectors: NDArray[np.float32], lists: int, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the centroids of k-means on the GPU, and each row's nearest by product."""
    means = gpu.faiss.Kmeans(
        vectors.shape[1], lists, niter=8, seed=seed, spherical=True, gpu=True,
        min_points_per_centroid=1,
    )  # fmt: skip
    means.train(np.ascontiguousarray(vectors))
    assigned = means.index.search(np.ascontiguousarray(vectors), 1)[1][:, 0]
    return means.centroids.reshape(lists, -1), np.asarray(assigned, np.int64)


class Serving:
    """The GPU that the segments of this process are searched on."""

    def __init__(self) -> None:
        self.gpu: Gpu | None = None
        """None until one was found and honoured filters."""

    def scan(self, vectors: NDArray[np.float32]) -> GpuScan | None:
        """Returns a scan of a segment's vectors; None where it would not pay or not fit."""
        gpu = self.gpu
        if gpu is None or len(vectors) < _LEAST_ROWS or not gpu.fits(*vectors.shape):
            return None
        try:
            return GpuScan(gpu, vectors)
        except RuntimeError:
            return None  # its memory is taken: the CPU serves


SERVING = Serving()
"""The process's own."""


def honours_filters(gpu: Gpu, self_test: SelfTest) -> bool:
    """Returns whether scans on the GPU keep to their filters; tried once."""
    return self_test.honours(
        Pair("gpu_flat", _SELECTOR),
        lambda few, queries, allowed, count: _search(gpu, _flat(gpu, few), queries, allowed, count)[
            0
        ],
    )


class GpuScan:
    """Compares queries with all vectors of a segment on the GPU; for many queries at once.

    Args:
        gpu: Where.
        vectors: (n, d) float32; they are copied to the GPU.
        self_test: Who decides whether filters are honoured.
    """

    def __init__(
        self, gpu: Gpu, vectors: NDArray[np.float32], self_test: SelfTest = SELF_TEST
    ) -> None:
        self._gpu = gpu
        self._index = _flat(gpu, vectors)
        self.is_filterable = honours_filters(gpu, self_test)

    def search(
        self, queries: NDArray[np.float32], allowed: Allowed | None, k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]] | None:
        """Returns (rows, scores), each (q, k); None if it must not serve this filter.

        Every row is held against the filter: one that is not allowed becomes -1.
        """
        if allowed is not None and not self.is_filterable:
            return None
        rows, scores = _search(self._gpu, self._index, queries, allowed, k)
        if allowed is not None:
            is_wrong = (rows >= 0) & ~allowed.mask[np.maximum(rows, 0)]
            rows = np.where(is_wrong, -1, rows)
        return rows, np.where(rows < 0, -np.inf, scores).astype(np.float32)


def _flat(gpu: Gpu, vectors: NDArray[np.float32]) -> Any:
    faiss = gpu.faiss
    config = faiss.GpuIndexFlatConfig()
    config.device = gpu.device
    config.use_cuvs = True
    with gpu.turn:
        index = faiss.GpuIndexFlat(
            gpu.resources, vectors.shape[1], faiss.METRIC_INNER_PRODUCT, config
        )
        index.add(np.ascontiguousarray(vectors))
    return index


def _search(
    gpu: Gpu,
    index: Any,
    queries: NDArray[np.float32],
    allowed: Allowed | None,
    k: int,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    faiss = gpu.faiss
    queries = np.ascontiguousarray(queries)
    with gpu.turn:
        if allowed is None:
            scores, rows = index.search(queries, k)
            return rows, scores
        selector = faiss.IDSelectorBitmap(allowed.bits)
        scores, rows = index.search(queries, k, params=faiss.SearchParameters(sel=selector))
        del selector  # lives through the search
    return rows, scores
