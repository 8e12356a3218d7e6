"""Walks over a graph, with or without a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors import planner
from services.retrieval.vectors.graph import NO_BITS, NO_ROWS, Graph, Visits
from services.retrieval.vectors.kernels.registry import REGISTRY, SEEDS
from services.retrieval.vectors.scan import CodedScan, FloatScan, scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed
    from services.retrieval.vectors.planner import Plan
    from services.retrieval.vectors.spec import RecallClass

_CONNECTED = 8
"""Neighbours that must pass a filter before second neighbours are left alone: with fewer, recall
at 50 % falls from .99 to .93; with more, walks get longer and find no more."""


class GraphIndex:
    """A graph with the vectors it links.

    Args:
        graph: The links.
        scan: The vectors, as codes or floats.
        longest: Length of the longest vector.
    """

    is_filterable = True

    def __init__(self, graph: Graph, scan: CodedScan | FloatScan, longest: float) -> None:
        self.graph = graph
        self._scan = scan
        self._longest = longest
        self._visits = Visits(len(scan.vectors))

    @property
    def nbytes(self) -> int:
        """Bytes that searches made."""
        return self._visits.nbytes

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        plan: Plan,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
        *,
        without: int = -1,
    ) -> int:
        """Walks to the rows near each query; returns how many were compared.

        Args:
            queries: (q, d) float32.
            allowed: Which rows may be returned; None: all.
            plan: `graph` walks over everything and keeps what is allowed, `filtered_graph` walks
                over allowed rows; its effort is the number of rows kept in sight.
            recall: How sure the refinement is to be.
            rows: (q, k), written.
            scores: (q, k), written.
            without: A row that is treated as if it were not there.
        """
        graph, scan = self.graph, self._scan
        kernels = REGISTRY.get(scan.width)
        if kernels is None:
            raise RuntimeError("a graph was planned before its compiled code was ready")
        bits = NO_BITS if allowed is None else allowed.bits
        gate, seeds = NO_BITS, NO_ROWS
        if plan.name == planner.FILTERED_GRAPH and allowed is not None:
            gate, seeds = bits, _seeds(allowed)
        elif not len(graph.upper):
            # No levels lead to the query: walks begin all over the segment.
            step = max(1, len(scan.vectors) // SEEDS)
            seeds = np.arange(0, len(scan.vectors), step, dtype=np.int32)[:SEEDS]
        own = scratch()
        own.fit(0, scan.width, plan.effort, graph.most_links)
        entries = np.zeros(len(queries), np.int64)
        visited, epoch = lent = self._visits.take()
        if without >= 0:
            visited[without] = epoch[0] % 255 + 1
        try:
            if isinstance(scan, CodedScan):
                if len(graph.upper):
                    kernels.descend(
                        scan.codes, graph.upper, graph.upper_links, scan.steps, queries,
                        own.quantised, entries,
                    )  # fmt: skip
                return kernels.search_graph(
                    scan.codes, scan.vectors, graph.starts, graph.links, entries, seeds, gate,
                    bits, scan.steps, queries, scan.slacks[recall], plan.effort, _CONNECTED,
                    visited, epoch, own.quantised, own.pool, own.fresh, rows, scores,
                )  # fmt: skip
            if len(graph.upper):
                kernels.descend_floats(
                    scan.vectors, graph.upper, graph.upper_links, queries, entries
                )
            return kernels.search_float_graph(
                scan.vectors, graph.starts, graph.links, entries, seeds, gate, bits, queries,
                self._longest, plan.effort, _CONNECTED, visited, epoch, own.pool, own.fresh,
                rows, scores,
            )  # fmt: skip
        finally:
            self._visits.give_back(lent)


def _seeds(allowed: Allowed) -> NDArray[np.int32]:
    """Returns some allowed rows, spread evenly, to start a filtered walk from."""
    found = allowed.known.get("seeds")
    if found is None:
        ids = allowed.ids
        found = allowed.known["seeds"] = ids[:: max(1, len(ids) // SEEDS)][:SEEDS].copy()
    return found
