"""The data folder that all workers read: vectors, queries, filters, and what is true of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.retrieval import cases, data
from benchmarks.retrieval.workers import say

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT = 10
"""Rows asked for by each query."""
QUERIES = 1000
_FORM = 1
"""Rises when the folder's content changes for equal seeds."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder on disk."""

    path: Path
    rows: int
    queries: int
    truths: dict[str, NDArray[np.int64]]
    """By a filter's label, "" for none: (queries, 10) rows wanted, -1 where there are no more."""


def make(rows: int, queries: int, seed: int, cache: Path) -> Folder:
    """Returns the folder of a size and seed, made when the cache has none."""
    path = cache / f"data{data.FORM}.{_FORM}-{rows}x{queries}-seed{seed}"
    if not (path / "truth.npz").exists():
        say(f"making {rows} vectors and what is true of them")
        _write(path, rows, queries, seed)
    with np.load(path / "truth.npz") as truths:
        return Folder(path, rows, queries, {name.strip("_"): truths[name] for name in truths.files})


def _write(path: Path, rows: int, queries: int, seed: int) -> None:
    path.mkdir(parents=True, exist_ok=True)
    made = data.make(rows, seed, queries=queries)
    np.save(path / "vectors.npy", made.vectors)
    np.save(path / "queries.npy", made.queries)
    masks = cases.masks(made.clusters, seed)
    np.save(path / "masks.npy", np.stack(list(masks.values())))
    (path / "masks.json").write_text(json.dumps(list(masks)), "utf-8")
    truths = {"_": cases.truth(made.vectors, made.queries, None, COUNT)}
    for name, mask in masks.items():
        truths[name] = cases.truth(made.vectors, made.queries, mask, COUNT)
    np.savez(path / "truth.npz", **truths)
