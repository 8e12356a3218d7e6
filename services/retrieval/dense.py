"""Plans and runs searches by vector: exact scans where they are cheap enough, graphs above.

An exact scan costs about 60 ns a row of 384 floats. A graph search with a filter loses recall as
fast as the filter gets narrower (at 1 % .82, at 0.1 % .32), so graphs serve wide filters over many
rows only.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import hnsw
from services.retrieval.queries import PlanStep, RecallClass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.retrieval.hnsw import Segment
    from services.retrieval.view.rows import Snapshot

GRAPH_FRACTION = 0.3
"""Share of a segment's rows that must be allowed before its graph is walked."""
_EFFORT = {RecallClass.HIGH: 128, RecallClass.FAST: 48}
_REFINE = 4
"""Graph results fetched per result wanted: 8-bit scores are then replaced by exact ones."""
_ROWS_PER_BLOCK = 32_768
_WIDE_FRACTION = 0.4
"""Share of allowed rows from which all rows are compared, in place."""


@dataclass(frozen=True, slots=True)
class Planner:
    """Where scans end and graphs begin."""

    scan_rows: int = 20_000
    """Allowed rows up to which a segment is scanned, whatever else."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows near one query, best first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DenseResult:
    """What a dense search found, and how."""

    found: list[Found]
    """One for each query."""
    steps: list[PlanStep]
    scanned: int
    """Vectors compared, over all queries."""


def search(
    snapshot: Snapshot,
    queries: NDArray[np.float32],
    allowed: NDArray[np.bool_],
    count: int,
    recall: RecallClass,
    planner: Planner,
) -> DenseResult:
    """Returns for each query the allowed rows nearest to it.

    Args:
        snapshot: State to search.
        queries: (q, d) float32; scores are products with unit vectors.
        allowed: Which chunk rows may be returned.
        count: Rows wanted for each query.
        recall: How much of the truth to find.
        planner: Where scans end.
    """
    steps: list[PlanStep] = []
    parts: list[list[tuple[NDArray[np.int64], NDArray[np.float32]]]] = [[] for _ in queries]
    scanned = 0
    for name, first, last, segment in _ranges(snapshot):
        began = time.perf_counter()
        mask = allowed[first:last]
        allowed_count = int(np.count_nonzero(mask))
        plan, why = _choose(segment, allowed_count, last - first, recall, planner)
        if plan == "hnsw" and segment is not None:
            walk = _Walk(segment, mask, allowed_count, count, recall)
            scanned += _walk(snapshot, walk, queries, parts)
        elif plan == "exact":
            _scan(snapshot, queries, first, mask, allowed_count, count, parts)
            scanned += allowed_count * len(queries)
        duration = (time.perf_counter() - began) * 1000
        steps.append(PlanStep(name, plan, why, last - first, allowed_count, duration))
    return DenseResult([_merge(each, allowed, count) for each in parts], steps, scanned)


def _ranges(snapshot: Snapshot) -> list[tuple[str, int, int, Segment | None]]:
    """Returns (name, first row, last row, graph) of all segments; rows without one come last."""
    found: list[tuple[str, int, int, Segment | None]] = [
        (each.name, each.first, each.last, each) for each in snapshot.segments
    ]
    end = snapshot.segments[-1].last if snapshot.segments else 0
    if end < snapshot.chunk_count or not found:
        found.append(("memtable", end, snapshot.chunk_count, None))
    return found


def _choose(
    segment: Segment | None, allowed: int, rows: int, recall: RecallClass, planner: Planner
) -> tuple[str, str]:
    if allowed == 0:
        return "skip", "nothing is allowed here"
    if segment is None:
        return "exact", "no graph is built over these rows"
    if recall is RecallClass.EXACT:
        return "exact", "the recall class is exact"
    if allowed <= planner.scan_rows:
        return "exact", f"at most {planner.scan_rows} rows are allowed"
    if allowed < GRAPH_FRACTION * rows:
        return "exact", "the filter is too narrow for the graph"
    return "hnsw", "many rows are allowed"


@dataclass(frozen=True, slots=True)
class _Walk:
    """A graph search to be done for every query."""

    segment: Segment
    mask: NDArray[np.bool_]
    allowed: int
    count: int
    recall: RecallClass


def _walk(
    snapshot: Snapshot,
    walk: _Walk,
    queries: NDArray[np.float32],
    parts: Sequence[list[tuple[NDArray[np.int64], NDArray[np.float32]]]],
) -> int:
    """Searches a graph and scores what it finds exactly; returns the vectors compared."""
    segment, mask, allowed, count = walk.segment, walk.mask, walk.allowed, walk.count
    is_filtered = allowed < len(mask)
    effort = int(_EFFORT.get(walk.recall, 128) * len(mask) / allowed)
    wanted = min(count * _REFINE if count < 100 else count * 2, allowed)
    compared = 0
    for place, query in enumerate(queries):
        rows = hnsw.search(segment, query, mask if is_filtered else None, wanted, effort)
        # Three released FAISS paths ignore a selector: nothing leaves that was not allowed.
        rows = rows[mask[rows - segment.first]]
        if len(rows) < min(count, allowed):
            _scan(snapshot, query[None], segment.first, mask, allowed, count, [parts[place]])
            compared += allowed
            continue
        parts[place].append(_top(rows, snapshot.vectors[rows] @ query, count))
        compared += max(effort, wanted)
    return compared


def _scan(
    snapshot: Snapshot,
    queries: NDArray[np.float32],
    first: int,
    mask: NDArray[np.bool_],
    allowed: int,
    count: int,
    parts: Sequence[list[tuple[NDArray[np.int64], NDArray[np.float32]]]],
) -> None:
    """Compares all allowed rows with all queries, block by block."""
    vectors = snapshot.vectors[first : first + len(mask)]
    rows = np.flatnonzero(mask)
    # Copying the allowed rows costs more than comparing some that are not.
    is_wide = allowed > _WIDE_FRACTION * len(mask)
    for start in range(0, len(mask) if is_wide else len(rows), _ROWS_PER_BLOCK):
        if is_wide:
            inside = mask[start : start + _ROWS_PER_BLOCK]
            block = np.flatnonzero(inside) + start
            scores = (vectors[start : start + len(inside)] @ queries.T)[inside]
        else:
            block = rows[start : start + _ROWS_PER_BLOCK]
            scores = vectors[block] @ queries.T
        for place in range(len(queries)):
            parts[place].append(_top(block + first, scores[:, place], count))


def _top(
    rows: NDArray[np.int64], scores: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns the best `count` rows, in no particular order."""
    if len(rows) <= count:
        return rows, np.ascontiguousarray(scores)
    best = np.argpartition(scores, -count)[-count:]
    return rows[best], scores[best]


def _merge(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]],
    allowed: NDArray[np.bool_],
    count: int,
) -> Found:
    if not parts:
        return Found(np.empty(0, np.int64), np.empty(0, np.float32))
    rows = np.concatenate([rows for rows, _ in parts])
    scores = np.concatenate([scores for _, scores in parts])
    is_allowed = allowed[rows]
    rows, scores = rows[is_allowed], scores[is_allowed]
    # Equal scores in row order, so that the same search twice gives the same list.
    order = np.lexsort((rows, -scores))[:count]
    # Rounding can lead a little beyond 1.
    return Found(rows[order], np.clip(scores[order], -1.0, 1.0))
