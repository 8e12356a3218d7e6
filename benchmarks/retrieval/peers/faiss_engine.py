"""FAISS as it comes: an HNSW graph with a selector, or a flat scan of the allowed rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.retrieval.peers.worker import Dataset, Engine

_LINKS = 32
_BUILD_EFFORT = 100


class FaissEngine:
    """Settings: `ef` of the graph, or `flat` for the scan."""

    name = "faiss"
    version = faiss.__version__
    key = f"hnsw{_LINKS}-efc{_BUILD_EFFORT}"

    def __init__(self) -> None:
        self._graph: Any = None
        self._flat: Any = None
        self._masks: dict[str, NDArray[np.bool_]] = {}
        self._index: Any = None
        self._params: Any = None
        self._kept: Any = None

    def open(self, data: Dataset, folder: Path) -> None:
        """Opens or builds both indexes."""
        path = folder / "hnsw.faiss"
        vectors = np.ascontiguousarray(data.vectors)
        if not path.exists():
            graph = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
            graph.hnsw.efConstruction = _BUILD_EFFORT
            graph.add(vectors)
            faiss.write_index(graph, str(path))
        self._graph = faiss.read_index(str(path))
        self._flat = faiss.IndexFlatIP(vectors.shape[1])
        self._flat.add(vectors)
        self._masks = data.masks
        faiss.omp_set_num_threads(1)

    def prepare(self, case: str, setting: str) -> None:
        """Makes the selector once: it is not timed, as no filter is evaluated here."""
        is_flat = setting == "flat"
        selector = None
        if case:
            mask = self._masks[case]
            if is_flat:
                ids = np.flatnonzero(mask).astype(np.int64)
                selector = faiss.IDSelectorArray(len(ids), faiss.swig_ptr(ids))
                self._kept = ids
            else:
                bits = np.packbits(mask, bitorder="little")
                selector = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
                self._kept = bits
        self._index = self._flat if is_flat else self._graph
        if is_flat:
            self._params = faiss.SearchParameters(sel=selector) if selector else None
        else:
            effort = int(setting or 64)
            self._params = (
                faiss.SearchParametersHNSW(efSearch=effort, sel=selector)
                if selector
                else faiss.SearchParametersHNSW(efSearch=effort)
            )

    def search(self, query: NDArray[np.float32], count: int) -> Sequence[int]:
        """Returns the rows."""
        return self.search_batch(query[None], count)[0]

    def search_batch(self, queries: NDArray[np.float32], count: int) -> list[list[int]]:
        """Returns the rows of several queries."""
        _, rows = self._index.search(queries, count, params=self._params)
        return rows.tolist()


def make() -> Engine:
    """Returns the engine."""
    return FaissEngine()
