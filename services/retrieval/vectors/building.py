"""Builds segments: codes, graphs and lists over vectors, written to a folder."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import files, graph, quantiser
from services.retrieval.vectors.opening import CODED, GRAPHS
from services.retrieval.vectors.spec import BuildSpec, IndexKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_ROWS_PER_STEP = 8_192


class _Writer:
    """Writes arrays and remembers their shapes for the manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, tuple[str, tuple[int, ...]]] = {}

    def write(self, name: str, array: NDArray[Any]) -> None:
        files.write_array(self.folder, name, array)
        self.arrays[name] = (array.dtype.str, array.shape)

    def new(self, name: str, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        self.arrays[name] = (np.dtype(dtype).str, shape)
        return files.new_array(self.folder, name, shape, dtype)


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
        folder: Where to; an empty folder there is replaced.
        progress: Told now and then the share done, 0 to 1.
        threads: Threads for building graphs.

    Raises:
        ValueError: the vectors do not have the dimensions of the specification.
    """
    if vectors.ndim != 2 or vectors.shape[1] != spec.dimensions:
        raise ValueError(f"vectors have shape {vectors.shape}, not (n, {spec.dimensions})")
    tell = progress or (lambda _share: None)
    began = time.monotonic()
    made = folder.with_name(f"{folder.name}.tmp")
    if made.exists():
        shutil.rmtree(made)
    made.mkdir(parents=True)
    writer = _Writer(made)
    about: dict[str, Any] = {"spec": spec.to_json(), "measured": {}}
    kept = writer.new("vectors", vectors.shape, "<f4")
    for start in range(0, len(vectors), _ROWS_PER_STEP):
        kept[start : start + _ROWS_PER_STEP] = vectors[start : start + _ROWS_PER_STEP]
    tell(0.02)
    if spec.kind in CODED:
        codes = writer.new("codes", (len(vectors), quantiser.width(spec.dimensions)), np.uint8)
        found = quantiser.encode(quantiser.train(kept), kept, codes)
        writer.write("quantiser", np.stack([found.low, found.step]))
        about["quantiser"] = {
            "max_residual": found.max_residual,
            "mean_residual": found.mean_residual,
        }
    tell(0.05)
    if spec.kind in GRAPHS:
        links = _graph(kept, spec, threads, tell)
        for name, array in links.arrays.items():
            writer.write(name, array)
        about["most_links"] = links.most_links
    about["measured"]["seconds"] = round(time.monotonic() - began, 3)
    files.seal(made, writer.arrays, about)
    files.publish(made, folder)
    tell(1.0)


def _graph(
    vectors: NDArray[np.float32], spec: BuildSpec, threads: int, tell: Callable[[float], None]
) -> graph.Graph:
    """Returns a graph over float vectors: it costs no more than over codes, and links better."""
    import faiss  # noqa: PLC0415 - only builders need it

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(spec.dimensions, spec.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = spec.build_effort
    for start in range(0, len(vectors), _ROWS_PER_STEP):
        index.add(np.ascontiguousarray(vectors[start : start + _ROWS_PER_STEP]))
        tell(0.05 + 0.85 * (start + _ROWS_PER_STEP) / len(vectors))
    if not len(vectors):
        return graph.Graph(
            np.zeros(1, np.int64),
            np.zeros((32, 1), np.int32),
            np.empty((0, 2), np.int32),
            np.empty((0, spec.links), np.int32),
            0,
        )
    return graph.from_faiss(index.hnsw, len(vectors), faiss)


__all__ = ["IndexKind", "build"]
