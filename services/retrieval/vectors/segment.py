"""An open segment: its arrays, and searches by whichever plan is cheapest."""

from __future__ import annotations

import mmap
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors import planner
from services.retrieval.vectors.graph import NO_BITS, NO_ROWS, SEEDS, Graph, Visits
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.planner import Costs, Plan
from services.retrieval.vectors.quantiser import Quantiser
from services.retrieval.vectors.scan import CodedScan, FloatScan, scratch
from services.retrieval.vectors.spec import RecallClass, SegmentFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed
    from services.retrieval.vectors.spec import BuildSpec

_ALL_CONNECTED = 8
"""Neighbours that must pass a filter before second neighbours are left alone."""
_PLANS = 64


class Segment:
    """The one implementation of `VectorSegment`.

    Args:
        spec: How it was built.
        vectors: (n, d) float32.
        scan: Compares given rows.
        graph: Links, of a graph kind.
        measured: Figures taken at build time.
        bytes_on_disk: Of its files.
        resident: Arrays that are in memory.
        costs: What things cost on this machine.
    """

    def __init__(
        self,
        spec: BuildSpec,
        vectors: NDArray[np.float32],
        scan: CodedScan | FloatScan,
        graph: Graph | None,
        measured: dict[str, float],
        bytes_on_disk: int,
        resident: int,
        costs: Costs,
    ) -> None:
        self.spec = spec
        self.measured = measured
        self.bytes_on_disk = bytes_on_disk
        self._vectors = vectors
        self._scan = scan
        self._graph = graph
        self._resident = resident
        self._costs = costs
        self._visits = Visits(len(vectors))
        self._all: NDArray[np.int32] | None = None
        self._plans: OrderedDict[Any, Plan] = OrderedDict()

    @property
    def rows(self) -> int:
        """Vectors in it."""
        return len(self._vectors)

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""
        return self.spec.dimensions

    @property
    def nbytes(self) -> int:
        """Bytes held in memory, without pages of mapped files."""
        everything = 0 if self._all is None else self._all.nbytes
        return self._resident + everything + self._visits.made * self.rows

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        k: int,
        recall: RecallClass = RecallClass.HIGH,
    ) -> SegmentFound:
        """Returns for each query the k allowed rows nearest to it; see `VectorSegment`."""
        number = len(queries)
        rows = np.empty((number, k), np.int64)
        scores = np.empty((number, k), np.float32)
        total = len(self._vectors)
        if allowed is not None and allowed.count == total:
            allowed = None
        plan = self.plan(total if allowed is None else allowed.count, k, recall)
        if plan.name == planner.EXACT:
            ids = self._everything() if allowed is None else allowed.ids
            bits = NO_BITS if allowed is None else allowed.bits
            compared = self._scan.search(queries, ids, bits, recall, rows, scores)
        elif plan.name == planner.SKIP:
            rows.fill(-1)
            scores.fill(-np.inf)
            compared = 0
        else:
            compared = self._walk(queries, allowed, plan, recall, rows, scores)
        return SegmentFound(rows, scores, plan.name, plan.why, compared)

    def plan(self, allowed: int, k: int, recall: RecallClass) -> Plan:
        """Returns how so many allowed rows are searched; remembered for equal questions."""
        key = (allowed, k, recall)
        found = self._plans.get(key)
        if found is None:
            found = planner.choose(
                self.spec.kind, self.rows, allowed, k, recall, self._scan.width, self._costs
            )
            if found.name != planner.EXACT and REGISTRY.get(self._scan.width) is None:
                return Plan(planner.EXACT, "no compiled code is ready for the graph")
            if len(self._plans) >= _PLANS:
                self._plans.popitem(last=False)
            self._plans[key] = found
        return found

    def vectors(self, rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Returns the vectors of rows, (m, dimensions) float32."""
        return self._vectors[rows]

    def trim(self) -> None:
        """Gives pages of mapped files back to the system's cache."""
        base: Any = self._vectors
        while base is not None and not isinstance(base, mmap.mmap):
            base = getattr(base, "base", None)
        if base is not None:
            base.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Lets go of memory and files; searches that run hold what they need until they end."""
        self._plans.clear()

    def _everything(self) -> NDArray[np.int32]:
        if self._all is None:
            self._all = np.arange(self.rows, dtype=np.int32)
        return self._all

    def _walk(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        plan: Plan,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        graph, scan = self._graph, self._scan
        kernels = REGISTRY.get(scan.width)
        if graph is None or kernels is None:
            raise RuntimeError("a graph was planned where there is none")
        bits = NO_BITS if allowed is None else allowed.bits
        gate, seeds = NO_BITS, NO_ROWS
        if plan.name == planner.FILTERED_GRAPH and allowed is not None:
            gate, seeds = bits, _seeds(allowed)
        own = scratch()
        own.fit(0, scan.width, plan.effort, graph.most_links)
        entries = np.zeros(len(queries), np.int64)
        visited, epoch = lent = self._visits.take()
        try:
            if isinstance(scan, CodedScan):
                if len(graph.upper):
                    kernels.descend(
                        scan.codes, graph.upper, graph.upper_links, scan.steps, queries,
                        own.quantised, entries,
                    )  # fmt: skip
                return kernels.search_graph(
                    scan.codes, self._vectors, graph.starts, graph.links, entries, seeds, gate,
                    bits, scan.steps, queries, scan.slacks[recall], plan.effort, _ALL_CONNECTED,
                    visited, epoch, own.quantised, own.pool, own.fresh, rows, scores,
                )  # fmt: skip
            if len(graph.upper):
                kernels.descend_floats(
                    self._vectors, graph.upper, graph.upper_links, queries, entries
                )
            return kernels.search_float_graph(
                self._vectors, graph.starts, graph.links, entries, seeds, gate, bits, queries,
                1.0, plan.effort, _ALL_CONNECTED, visited, epoch, own.pool, own.fresh, rows,
                scores,
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


def quantiser_of(manifest: dict[str, Any], bounds: NDArray[np.float32]) -> Quantiser:
    """Returns the quantiser of a segment from its files."""
    about = manifest["quantiser"]
    return Quantiser(
        np.ascontiguousarray(bounds[0]),
        np.ascontiguousarray(bounds[1]),
        float(about["max_residual"]),
        float(about["mean_residual"]),
    )
