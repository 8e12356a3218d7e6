"""Builds segments: codes, graphs and lists over vectors, measured and written to a folder."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import (
    faiss_lists,
    files,
    gpu,
    graph,
    lists,
    measuring,
    planner,
    quantiser,
)
from services.retrieval.vectors.graph_index import GraphIndex
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.planner import CODED, COMPRESSED, GRAPHS, LISTS, Rung
from services.retrieval.vectors.scan import CodedScan, FloatScan
from services.retrieval.vectors.spec import BuildSpec, RecallClass

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from services.retrieval.vectors.segment import Index

_ROWS_PER_STEP = 8_192
_MAX_LISTS = 65_536
_GPU_ROWS = 50_000
"""Rows from which copying them to a GPU, if there is one, is worth it."""


def build(
    vectors: NDArray[np.float32],
    spec: BuildSpec,
    folder: Path,
    progress: Callable[[float], None] | None = None,
    *,
    threads: int = 1,
) -> None:
    """Builds a segment and publishes its folder; interrupted, it leaves no folder of that name.

    Args:
        vectors: (n, dimensions) float32, may be mapped.
        spec: What to build.
        folder: Where to; a folder that is there is replaced.
        progress: Told now and then the share done, 0 to 1.
        threads: Threads for graphs and lists.

    Raises:
        ValueError: the vectors do not have the dimensions of the specification.
    """
    if vectors.ndim != 2 or vectors.shape[1] != spec.dimensions:
        raise ValueError(f"vectors have shape {vectors.shape}, not (n, {spec.dimensions})")
    made = folder.with_name(f"{folder.name}.tmp")
    if made.exists():
        shutil.rmtree(made)
    made.mkdir(parents=True)
    _Building(vectors, spec, made, progress or _say_nothing, threads).run()
    files.publish(made, folder)


def _say_nothing(_share: float) -> None:
    """Stands in for a progress nobody wants."""


class _Building:
    """One segment under construction in its folder."""

    def __init__(
        self,
        vectors: NDArray[np.float32],
        spec: BuildSpec,
        folder: Path,
        tell: Callable[[float], None],
        threads: int,
    ) -> None:
        self._given = vectors
        self._spec = spec
        self._folder = folder
        self._tell = tell
        self._threads = threads
        self._arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._about: dict[str, Any] = {"spec": spec.to_json()}

    def run(self) -> None:
        """Writes all files, the manifest last."""
        began = time.monotonic()
        kind, rows = self._spec.kind, len(self._given)
        vectors, longest = self._copy()
        self._about["longest"] = longest
        scan: CodedScan | FloatScan = FloatScan(vectors)
        if kind in CODED:
            scan = self._encode(vectors)
        index: Index | None = None
        if kind in GRAPHS:
            index = GraphIndex(self._link(vectors), scan, longest)
        elif kind in LISTS and rows:
            index = self._compress(vectors) if kind in COMPRESSED else self._group(vectors, scan)
        self._tell(0.9)
        self._measure(vectors, scan, index, began)
        files.seal(self._folder, self._arrays, self._about)
        self._tell(1.0)

    def _copy(self) -> tuple[NDArray[np.float32], float]:
        kept = self._new("vectors", self._given.shape, "<f4")
        longest = 0.0
        for start in range(0, len(self._given), _ROWS_PER_STEP):
            block = np.asarray(self._given[start : start + _ROWS_PER_STEP], np.float32)
            kept[start : start + len(block)] = block
            longest = max(longest, float(np.linalg.norm(block, axis=1).max()))
        self._tell(0.02)
        return kept, longest

    def _encode(self, vectors: NDArray[np.float32]) -> CodedScan:
        shape = (len(vectors), quantiser.width(self._spec.dimensions))
        codes = self._new("codes", shape, np.uint8)
        found = quantiser.encode(quantiser.train(vectors), vectors, codes)
        self._write("quantiser", np.stack([found.low, found.step]))
        self._about["quantiser"] = {
            "max_residual": found.max_residual,
            "mean_residual": found.mean_residual,
        }
        self._tell(0.05)
        return CodedScan(codes, found, vectors)

    def _link(self, vectors: NDArray[np.float32]) -> graph.Graph:
        """Links float vectors: it costs no more than linking codes, and links better."""
        faiss, spec, rows = faiss_lists.library(), self._spec, len(vectors)
        device, _ = gpu.detect(faiss)
        if device is not None and rows >= _GPU_ROWS and device.fits(rows, spec.dimensions):
            return self._keep(gpu.link(device, vectors, spec.links))
        faiss.omp_set_num_threads(self._threads)
        index = faiss.IndexHNSWFlat(spec.dimensions, spec.links, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = spec.build_effort
        for start in range(0, rows, _ROWS_PER_STEP):
            index.add(np.ascontiguousarray(vectors[start : start + _ROWS_PER_STEP]))
            self._tell(0.05 + 0.85 * min(1.0, (start + _ROWS_PER_STEP) / rows))
        links = graph.from_faiss(index.hnsw, rows, faiss) if rows else graph.empty(spec.links)
        return self._keep(links)

    def _keep(self, links: graph.Graph) -> graph.Graph:
        for name, array in links.arrays.items():
            self._write(name, array)
        self._about["most_links"] = links.most_links
        return links

    def _group(self, vectors: NDArray[np.float32], scan: CodedScan | FloatScan) -> lists.ListIndex:
        device, _ = gpu.detect(faiss_lists.library())
        if device is not None and len(vectors) >= _GPU_ROWS:
            means, assigned = gpu.centroids(device, vectors, self._list_count())
        else:
            means, assigned = faiss_lists.centroids(vectors, self._list_count(), self._threads)
        made = lists.group(assigned, means)
        self._write("centroids", made.centroids)
        self._write("starts", made.starts)
        self._write("members", made.members)
        return lists.ListIndex(made, scan)

    def _compress(self, vectors: NDArray[np.float32]) -> faiss_lists.FaissLists:
        spec = self._spec
        size = spec.code_bytes or _code_bytes(spec.dimensions)
        made = faiss_lists.make(spec.kind, vectors, self._list_count(), size, self._threads)
        faiss_lists.write(made, self._folder)
        return faiss_lists.FaissLists(spec.kind, made, FloatScan(vectors))

    def _list_count(self) -> int:
        rows = len(self._given)
        wanted = self._spec.lists or int(4 * math.sqrt(rows))
        # Fewer than a few dozen rows in a list do not make a centroid.
        return max(1, min(wanted, rows // 32, _MAX_LISTS))

    def _measure(
        self,
        vectors: NDArray[np.float32],
        scan: CodedScan | FloatScan,
        index: Index | None,
        began: float,
    ) -> None:
        """Adds the ladder of efforts and the figures that statistics show."""
        spec = self._spec
        ladder: tuple[Rung, ...] = ()
        if index is not None and REGISTRY.wait(scan.width) is not None:
            count = self._list_count() if spec.kind in LISTS else 0
            ladder = measuring.climb(vectors, index, spec.sample, count)
        self._about["ladder"] = [(each.effort, each.recall, each.compared) for each in ladder]
        profile = planner.Profile(spec.kind, len(vectors), scan.width, len(vectors), ladder)
        measured = {"seconds": round(time.monotonic() - began, 3)}
        for recall in (RecallClass.HIGH, RecallClass.FAST):
            effort = profile.effort(recall, measuring.COUNT)
            if ladder:
                efforts, recalls = (
                    [each.effort for each in ladder],
                    [each.recall for each in ladder],
                )
                found = round(float(np.interp(effort, efforts, recalls)), 4)
                measured[f"recall_{recall.name.lower()}"] = found
                measured[f"recall_loss_{recall.name.lower()}"] = round(1 - found, 4)
                measured[f"effort_{recall.name.lower()}"] = effort
        held = sum(path.stat().st_size for path in self._folder.iterdir())
        kept_out = vectors.nbytes if spec.kind in CODED | COMPRESSED else 0
        measured["bytes_per_vector"] = round((held - kept_out) / max(1, len(vectors)), 1)
        measured["bytes_on_disk_per_vector"] = round(held / max(1, len(vectors)), 1)
        self._about["measured"] = measured

    def _write(self, name: str, array: NDArray[Any]) -> None:
        files.write_array(self._folder, name, array)
        self._arrays[name] = (array.dtype.str, array.shape)

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        self._arrays[name] = (np.dtype(dtype).str, shape)
        return files.new_array(self._folder, name, shape, dtype)


def _code_bytes(dimensions: int) -> int:
    """Returns the greatest divisor of the dimensions up to a quarter of them."""
    return next(size for size in range(max(1, dimensions // 4), 0, -1) if dimensions % size == 0)
