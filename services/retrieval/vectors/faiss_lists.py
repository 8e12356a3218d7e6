"""Compressed lists by FAISS (product quantisation, RaBitQ), refined by float vectors.

FAISS takes the filter as a selector. Released versions ignored selectors on some paths, so what
comes back is held against the filter again, and `trust` tries every kind at start-up.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors.graph import NO_BITS
from services.retrieval.vectors.self_test import SELF_TEST, Pair, SelfTest
from services.retrieval.vectors.spec import IndexKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed
    from services.retrieval.vectors.planner import Plan
    from services.retrieval.vectors.scan import FloatScan
    from services.retrieval.vectors.spec import RecallClass

FILE = "lists.faiss"
_REFINE = {IndexKind.IVF_PQ: 30, IndexKind.RABITQ: 50}
"""Compressed results refined for each result wanted."""


class FaissLists:
    """A compressed FAISS index over the rows of a segment.

    Args:
        kind: IVF_PQ or RABITQ.
        index: The FAISS index.
        scan: The float vectors.
    """

    def __init__(self, kind: IndexKind, index: Any, scan: FloatScan) -> None:
        self._index = index
        self._scan = scan
        self._refine = _REFINE[kind]
        self.is_filterable = honours_filters(kind, SELF_TEST)

    @property
    def nbytes(self) -> int:
        """Bytes that searches made."""
        return 0

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        plan: Plan,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        """Finds candidates by compressed codes and ranks them by float vectors.

        `plan.effort` is the number of lists looked into.
        """
        count = rows.shape[1]
        total = len(self._scan.vectors) if allowed is None else allowed.count
        wanted = min(count * self._refine, total)
        found = search_selected(self._index, queries, allowed, wanted, plan.effort)
        bits = NO_BITS if allowed is None else allowed.bits
        for at in range(len(queries)):
            ids = found[at]
            ids = ids[ids >= 0].astype(np.int32)
            if allowed is not None:
                ids = ids[allowed.mask[ids]]
            one = slice(at, at + 1)
            self._scan.search(queries[one], ids, bits, recall, rows[one], scores[one])
        lists = max(1, int(self._index.nlist))
        return int(len(queries) * (total * min(1.0, plan.effort / lists) + wanted))


def honours_filters(kind: IndexKind, self_test: SelfTest) -> bool:
    """Returns whether searches of a kind keep to their filters; tried once."""
    pair = Pair(kind, "IDSelectorBitmap")
    return self_test.honours(pair, lambda *given: _trial(kind, *given))


def _trial(
    kind: IndexKind,
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    allowed: Allowed,
    count: int,
) -> NDArray[np.int64]:
    """Searches a tiny index of a kind under a filter, all of its lists."""
    lists = 4
    # Cheap to train: 2 bytes of 4 bits, though a segment has more.
    index = make(kind, vectors, lists, 2, bits=4)
    return search_selected(index, queries, allowed, count, lists)


def search_selected(
    index: Any, queries: NDArray[np.float32], allowed: Allowed | None, count: int, lists: int
) -> NDArray[np.int64]:
    """Returns what FAISS finds among the rows that a selector lets through; -1 for none."""
    faiss = library()
    faiss.omp_set_num_threads(1)
    parameters = faiss.SearchParametersIVF(nprobe=lists)
    selector = None
    if allowed is not None:
        selector = faiss.IDSelectorBitmap(allowed.bits)
        parameters.sel = selector
    _, found = index.search(queries, count, params=parameters)
    del selector  # lives through the search
    return found


def make(
    kind: IndexKind,
    vectors: NDArray[np.float32],
    lists: int,
    code_bytes: int,
    threads: int = 1,
    seed: int = 0,
    bits: int = 8,
) -> Any:
    """Returns a FAISS index of a compressed kind over vectors.

    Its product quantiser is not polysemous (`np`): that serves searches of another kind, and its
    training takes minutes.
    """
    faiss = library()
    # The hundred small k-means of a product quantiser are slower with more threads.
    faiss.omp_set_num_threads(1 if kind is IndexKind.IVF_PQ else threads)
    dimensions = vectors.shape[1]
    form = f"PQ{code_bytes}x{bits}np" if kind is IndexKind.IVF_PQ else "RaBitQ"
    index = faiss.index_factory(dimensions, f"IVF{lists},{form}", faiss.METRIC_INNER_PRODUCT)
    index.cp.seed = seed
    index.cp.min_points_per_centroid = 1
    if kind is IndexKind.IVF_PQ:
        # A quarter of the usual rounds and rows: a hundred small k-means take minutes otherwise.
        index.pq.cp.niter = 6
        index.pq.cp.max_points_per_centroid = 32
        index.pq.cp.min_points_per_centroid = 1
    chosen = np.random.default_rng(seed).permutation(len(vectors))[: max(lists * 64, 20_000)]
    sample = vectors[np.sort(chosen)]
    if len(sample) < 1 << bits:
        # FAISS wants a row for each centroid of a code.
        sample = np.resize(sample, (1 << bits, dimensions))
    index.train(np.ascontiguousarray(sample))
    faiss.omp_set_num_threads(threads)
    for start in range(0, len(vectors), 65_536):
        index.add(np.ascontiguousarray(vectors[start : start + 65_536]))
    return index


def centroids(
    vectors: NDArray[np.float32], lists: int, threads: int = 1, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the centroids of k-means over vectors, and each row's nearest by product."""
    faiss = library()
    faiss.omp_set_num_threads(threads)
    means = faiss.Kmeans(
        vectors.shape[1], lists, niter=8, seed=seed, spherical=True,
        max_points_per_centroid=64, min_points_per_centroid=1,
    )  # fmt: skip
    means.train(np.ascontiguousarray(vectors))
    assigned = np.empty(len(vectors), np.int64)
    for start in range(0, len(vectors), 65_536):
        block = np.ascontiguousarray(vectors[start : start + 65_536])
        assigned[start : start + len(block)] = means.index.search(block, 1)[1][:, 0]
    return means.centroids.reshape(lists, -1), assigned


def write(index: Any, folder: Path) -> None:
    """Writes an index into a segment's folder."""
    library().write_index(index, str(folder / FILE))


def read(folder: Path, *, is_mapped: bool) -> Any:
    """Reads an index from a segment's folder, or maps it."""
    faiss = library()
    flags = faiss.IO_FLAG_MMAP_IFC if is_mapped else 0
    return faiss.read_index(str(folder / FILE), flags)


def library() -> Any:
    """Returns FAISS, whose bindings have no types; small collections never load it."""
    import faiss  # noqa: PLC0415 - takes memory that they do not need

    return faiss
