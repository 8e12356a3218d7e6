"""Searches by vector over all parts of a snapshot."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import vectors
from services.retrieval.queries import PlanStep, RecallClass
from services.retrieval.vectors import Allowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.retrieval.view.rows import Snapshot

_RECALL = {each: vectors.RecallClass(int(each)) for each in RecallClass}


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
    planner: Planner,  # noqa: ARG001 - segments plan for themselves
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
    known = Allowed(allowed)
    queries = np.ascontiguousarray(queries, np.float32)
    for part in snapshot.parts:
        began = time.perf_counter()
        inside = known.part(part.first, part.last)
        found = part.segment.search(queries, inside, count, _RECALL[recall])
        for place in range(len(queries)):
            is_row = found.rows[place] >= 0
            parts[place].append(
                (found.rows[place][is_row] + part.first, found.scores[place][is_row])
            )
        duration = (time.perf_counter() - began) * 1000
        steps.append(
            PlanStep(part.name, found.plan, found.why, part.row_count, inside.count, duration)
        )
        scanned += found.compared
    return DenseResult([_merge(each, allowed, count) for each in parts], steps, scanned)


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
