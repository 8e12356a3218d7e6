"""What a process finds out at its start: which indexes keep to filters, and whether a GPU serves.

Searches of our own (scans, walks, lists) read the filter themselves. Those of FAISS are tried one
by one; a pair of index and selector that fails is not searched under a filter by this process: the
allowed rows are compared one by one then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.retrieval.vectors import faiss_lists, gpu
from services.retrieval.vectors.planner import COMPRESSED
from services.retrieval.vectors.self_test import SELF_TEST, SelfTest


@dataclass(frozen=True, slots=True)
class Trust:
    """What was found out."""

    passed: tuple[str, ...]
    """Indexes that are searched under filters, each with its selector."""
    disabled: dict[str, str]
    """Those that are not, and why."""
    device: str
    """What searches run on, or why not on a GPU."""


def find_out(
    self_test: SelfTest = SELF_TEST, serving: gpu.Serving = gpu.SERVING, faiss: Any = None
) -> Trust:
    """Tries every pair of index and selector, and takes a GPU into service if it keeps to filters.

    Args:
        self_test: Remembers the outcomes.
        serving: Gets the GPU.
        faiss: The library; None: as it is installed. A tenth of a second and 8 MB.
    """
    faiss = faiss_lists.library() if faiss is None else faiss
    for kind in sorted(COMPRESSED):
        faiss_lists.honours_filters(kind, self_test)
    found, device = gpu.detect(faiss)
    if found is not None and gpu.honours_filters(found, self_test):
        serving.gpu = found
    return Trust(
        tuple(f"{pair.kind} with {pair.selector}" for pair in self_test.passed),
        {f"{pair.kind} with {pair.selector}": why for pair, why in self_test.disabled.items()},
        device,
    )
