"""An open segment: its vectors, its index, and searches by whichever plan is cheapest."""

from __future__ import annotations

import mmap
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from services.retrieval.vectors import calibration, planner
from services.retrieval.vectors.allowed import Allowed
from services.retrieval.vectors.gpu import LEAST_QUERIES
from services.retrieval.vectors.graph import NO_BITS
from services.retrieval.vectors.kernels.registry import REGISTRY
from services.retrieval.vectors.planner import Plan, Profile
from services.retrieval.vectors.scan import CodedScan, FloatScan
from services.retrieval.vectors.spec import RecallClass, SegmentFound

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.gpu import GpuScan
    from services.retrieval.vectors.spec import BuildSpec

_PLANS = 64
"""Plans remembered; a new filter is planned anew in 5 µs."""


class Index(Protocol):
    """What narrows down the rows to compare: a graph, or lists."""

    is_filterable: bool
    """Whether it may be searched under a filter; see `self_test`."""

    @property
    def nbytes(self) -> int:
        """Bytes that searches made."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        plan: Plan,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        """Writes what it finds near each query to rows and scores; returns the rows compared."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a segment is made of."""

    vectors: NDArray[np.float32]
    """(n, d), may be mapped."""
    scan: CodedScan | FloatScan
    index: Index | None = None
    measured: dict[str, float] = field(default_factory=dict)
    bytes_on_disk: int = 0
    resident: int = 0
    """Bytes of arrays that are in memory."""
    gpu: GpuScan | None = None
    """Serves many queries at once, where there is a GPU."""


class Segment:
    """The one implementation of `VectorSegment`.

    Args:
        spec: How it was built.
        profile: What its planner knows.
        parts: What it is made of.
    """

    def __init__(self, spec: BuildSpec, profile: Profile, parts: Parts) -> None:
        self.spec = spec
        self.profile = profile
        self.measured = parts.measured
        self.bytes_on_disk = parts.bytes_on_disk
        self._parts = parts
        self._vectors = parts.vectors
        self._scan = parts.scan
        self._all: NDArray[np.int32] | None = None
        self._plans: dict[Any, Plan] = {}
        self._gpu = parts.gpu

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
        index = self._parts.index
        made = 0 if index is None else index.nbytes
        return self._parts.resident + made + (0 if self._all is None else self._all.nbytes)

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        k: int,
        recall: RecallClass = RecallClass.HIGH,
    ) -> SegmentFound:
        """Returns for each query the k allowed rows nearest to it; see `VectorSegment`."""
        if not (queries.flags.c_contiguous and queries.flags.writeable):
            # Code is compiled for one form of arrays; others would be compiled on the spot.
            queries = queries.copy()
        total = len(self._vectors)
        count = total if allowed is None else allowed.count
        if count == total:
            allowed = None
        found = self._on_gpu(queries, allowed, k) if count else None
        if found is not None:
            return found
        return self.search_by(self.plan(count, k, recall), queries, allowed, k, recall)

    def search_by(
        self,
        plan: Plan,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        k: int,
        recall: RecallClass,
    ) -> SegmentFound:
        """Searches by a given plan: for builders that measure, and for tests."""
        rows = np.empty((len(queries), k), np.int64)
        scores = np.empty((len(queries), k), np.float32)
        index = self._parts.index
        if plan.name == planner.SKIP:
            rows.fill(-1)
            scores.fill(-np.inf)
            return SegmentFound(rows, scores, plan.name, plan.why, 0)
        if plan.name == planner.EXACT or index is None:
            compared = self._compare_all(queries, allowed, recall, rows, scores)
            return SegmentFound(rows, scores, planner.EXACT, plan.why, compared)
        compared = index.search(queries, allowed, plan, recall, rows, scores)
        wanted = min(k, self.rows if allowed is None else allowed.count)
        for at in np.flatnonzero(rows[:, wanted - 1] < 0):
            # A filter can cut a graph to pieces: whoever asked for k rows gets them.
            one = slice(at, at + 1)
            compared += self._compare_all(queries[one], allowed, recall, rows[one], scores[one])
        return SegmentFound(rows, scores, plan.name, plan.why, compared)

    def plan(self, allowed: int, k: int, recall: RecallClass) -> Plan:
        """Returns how so many allowed rows are searched; remembered for equal questions."""
        key = (allowed, k, recall)
        found = self._plans.get(key)
        if found is None:
            found = planner.choose(self.profile, allowed, k, recall, calibration.current())
            index = self._parts.index
            if allowed < self.rows and index is not None and not index.is_filterable:
                found = Plan(planner.EXACT, "the index failed the self-test of filters")
            if found.name in {planner.GRAPH, planner.FILTERED_GRAPH} and not REGISTRY.get(
                self._scan.width
            ):
                return Plan(planner.EXACT, "no compiled code is ready for the graph")
            if len(self._plans) >= _PLANS:
                self._plans = {}
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
        self._plans = {}

    def _on_gpu(
        self, queries: NDArray[np.float32], allowed: Allowed | None, k: int
    ) -> SegmentFound | None:
        """Searches on the GPU; None where it is not there, not worth it, or not to be trusted."""
        gpu = self._gpu
        if gpu is None or len(queries) < LEAST_QUERIES:
            return None
        try:
            found = gpu.search(queries, allowed, k)
        except RuntimeError:
            self._gpu = None  # out of memory, or gone: the CPU serves from now on
            return None
        if found is None:
            return None
        said = f"{len(queries)} queries at once are compared with all rows on the GPU"
        return SegmentFound(*found, planner.GPU, said, self.rows * len(queries))

    def _compare_all(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        if allowed is not None:
            return self._scan.search(queries, allowed.ids, allowed.bits, recall, rows, scores)
        if self._all is None:
            self._all = np.arange(self.rows, dtype=np.int32)
        return self._scan.search(queries, self._all, NO_BITS, recall, rows, scores)
