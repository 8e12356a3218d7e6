"""Builds peers' indexes into the cache, so that later runs only measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.retrieval import dataset
from benchmarks.retrieval.workers import Places, opened, say

if TYPE_CHECKING:
    from collections.abc import Sequence


def build(names: Sequence[str], places: Places, sizes: Sequence[int], seed: int) -> None:
    """Builds what is missing.

    Args:
        names: Systems.
        places: Where they come from, and the cache.
        sizes: Numbers of rows.
        seed: Seed of the data.
    """
    for rows in sizes:
        folder = dataset.make(rows, dataset.QUERIES, seed, places.cache)
        for name in names:
            with opened([name], places, folder.path, pin=False) as workers:
                for worker in workers.values():
                    cost = f"{worker.build_cpu_seconds:.0f} CPU seconds"
                    say(f"{name} at {rows} rows: {cost} to build")
