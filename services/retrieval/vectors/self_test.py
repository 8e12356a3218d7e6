"""Tries whether an index honours a filter before it is trusted with one.

Released versions of FAISS silently ignore a selector on some paths (`bounded_queue=False`,
IndexShardsIVF, plain faiss-gpu). Every pair of index kind and way of filtering is tried once in a
process, on a tiny set; a pair that fails is not used with filters again: such searches compare the
allowed rows one by one. What an index returns is held against the filter besides.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors.allowed import Allowed

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Trial = Callable[[NDArray[np.float32], NDArray[np.float32], Allowed, int], NDArray[np.int64]]

ROWS, DIMENSIONS, COUNT = 512, 16, 10
"""Size of the tiny set, and rows asked for."""
_LEAST_FOUND = 0.5
"""Share of the allowed rows asked for that must come back: none would be safe, but useless."""


@dataclass(frozen=True, slots=True)
class Pair:
    """An index kind and a way of filtering it."""

    kind: str
    selector: str


class SelfTest:
    """Runs the trial of a pair when it is first asked for, and remembers the outcome."""

    def __init__(self) -> None:
        self._outcomes: dict[Pair, str] = {}
        self._lock = threading.Lock()

    def honours(
        self,
        pair: Pair,
        trial: Trial,
    ) -> bool:
        """Returns whether a pair keeps to its filter.

        Args:
            pair: What is tried.
            trial: Builds the index over the vectors (first argument) and searches the queries
                (second) among the allowed rows (third); returns (q, count) rows, -1 for none.
        """
        with self._lock:
            if pair not in self._outcomes:
                self._outcomes[pair] = _try(trial)
            return not self._outcomes[pair]

    @property
    def disabled(self) -> dict[Pair, str]:
        """The pairs that failed, and how."""
        return {pair: why for pair, why in self._outcomes.items() if why}

    @property
    def passed(self) -> list[Pair]:
        """The pairs that are used."""
        return [pair for pair, why in self._outcomes.items() if not why]


def _try(trial: Trial) -> str:
    """Returns what is wrong with a pair; empty if nothing."""
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((ROWS, DIMENSIONS)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # Random filters, and one that allows nothing near the query: those are the ones ignored.
    masks = [rng.random(ROWS) < share for share in (0.5, 0.1, 0.03)]
    masks.append(vectors[:, 0] < -0.2)
    queries = np.ascontiguousarray(vectors[:4] * np.float32(0.5))
    queries[:, 0] = 1.0
    for mask in masks:
        try:
            rows = trial(vectors, queries, Allowed(mask), COUNT)
        except Exception as error:  # noqa: BLE001 - whatever a library throws, it is not used
            return f"failed: {type(error).__name__}"
        some = rows[rows >= 0]
        if len(some) and (some.max() >= ROWS or not mask[some].all()):
            return "returned rows that the filter does not allow"
        if len(some) < _LEAST_FOUND * len(queries) * min(COUNT, int(mask.sum())):
            return "found too few of the rows that the filter allows"
    return ""


SELF_TEST = SelfTest()
"""The process's own."""
