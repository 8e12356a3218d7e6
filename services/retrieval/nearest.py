"""Finds the rows of a snapshot that are nearest to queries, over all its parts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.collections import Tier
from services.retrieval.queries import PlanStep, RecallClass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors import Allowed
    from services.retrieval.view.rows import Snapshot


@dataclass(slots=True)
class Nearest:
    """What was found for each query, and how."""

    rows: NDArray[np.int64]
    """(queries, k) chunk rows, best first; -1 where there are no more."""
    scores: NDArray[np.float32]
    """(queries, k) products, -1..1; meaningless where there is no row."""
    steps: list[PlanStep]
    compared: int
    """Vectors compared, over all queries."""


def cosines(products: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns products of unit vectors, which rounding can lead a little beyond 1, within -1..1.

    For a few numbers numpy's own `clip` takes ten times as long.
    """
    return np.minimum(np.maximum(products, -1.0), 1.0)


def search(
    snapshot: Snapshot,
    queries: NDArray[np.float32],
    allowed: Allowed,
    count: int,
    recall: RecallClass,
) -> Nearest:
    """Returns for each query the allowed rows nearest to it.

    Args:
        snapshot: State to search.
        queries: (q, d) float32; scores are products with unit vectors.
        allowed: Which chunk rows may be returned.
        count: Rows wanted for each query.
        recall: How much of the truth to find.
    """
    steps: list[PlanStep] = []
    all_rows: list[NDArray[np.int64]] = []
    all_scores: list[NDArray[np.float32]] = []
    compared = 0
    for part in snapshot.parts:
        began = time.perf_counter()
        if part.first == part.last:
            continue
        inside = allowed.part(part.first, part.last)
        found = part.segment.search(queries, inside, count, recall)
        if part.first:
            found.rows[found.rows >= 0] += part.first
        all_rows.append(found.rows)
        all_scores.append(found.scores)
        compared += found.compared
        took = (time.perf_counter() - began) * 1000
        steps.append(
            PlanStep(
                part.name,
                found.plan,
                found.why,
                part.last - part.first,
                inside.count,
                took,
                tier=Tier[part.tier.name],
                compared=found.compared,
                recall=recall,
            )
        )
    if len(all_rows) == 1:
        return Nearest(all_rows[0], cosines(all_scores[0]), steps, compared)
    if not all_rows:
        none = np.full((len(queries), count), -1, np.int64)
        return Nearest(none, np.zeros(none.shape, np.float32), steps, compared)
    rows, scores = np.concatenate(all_rows, axis=1), np.concatenate(all_scores, axis=1)
    # Equal scores in row order, so that the same search twice gives the same list.
    # Where there is no row the score is lowest of all.
    if len(queries) == 1:
        order = np.lexsort((rows[0], -scores[0]))[:count]
        rows, scores = rows[:, order], scores[:, order]
    else:
        order = np.lexsort((rows, -scores), axis=1)[:, :count]
        rows = np.take_along_axis(rows, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
    return Nearest(rows, cosines(scores), steps, compared)
