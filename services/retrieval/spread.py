"""Lists in which no document has more than its share of places, filled up as far as there is more.

Looking at a fixed number of candidates would leave such a list short where one document holds many
of the best chunks. Here full documents are taken out and the rest is searched again, until the list
is full or nothing is left: with an exact search the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors import Allowed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.view.rows import Snapshot

_LEAST_DEPTH = 100
_MAX_ROUNDS = 1000
"""Each round takes out a document or ends; more than top_k is never needed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows with scores, best first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]


def within(documents: NDArray[np.integer], limit: int) -> NDArray[np.bool_]:
    """Returns which places hold one of the first `limit` occurrences of their document.

    Args:
        documents: Document of each place.
        limit: Occurrences that may stay.
    """
    order = np.argsort(documents, kind="stable")
    ordered = documents[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(ordered) else order
    lengths = np.diff(np.r_[starts, len(ordered)])
    nth = np.arange(len(ordered)) - np.repeat(starts, lengths)
    kept = np.empty(len(ordered), np.bool_)
    kept[order] = nth < limit
    return kept


def find(
    search: Callable[[Allowed, int], Found],
    snapshot: Snapshot,
    allowed: Allowed,
    count: int,
    limit: int,
) -> Found:
    """Returns the best rows with at most `limit` of each document.

    Args:
        search: Returns the best of the allowed rows, as many as it is told.
        snapshot: State that is searched.
        allowed: Which rows may be found.
        count: Rows wanted.
        limit: Rows of one document at most.
    """
    depth = max(count, _LEAST_DEPTH)
    rows = np.empty(0, np.int64)
    scores = np.empty(0, np.float64)
    for _ in range(_MAX_ROUNDS):
        found = search(allowed, depth)
        documents = snapshot.document_of[found.rows]
        kept = within(documents, limit)
        all_rows = np.concatenate((rows, found.rows[kept]))
        all_scores = np.concatenate((scores, found.scores[kept]))
        if len(found.rows) < depth or len(all_rows) >= count:
            rows, scores = all_rows, all_scores
            break
        # Documents with their full share are settled; the others' rows are found again.
        unique, counts = np.unique(documents[kept], return_counts=True)
        full = unique[counts >= limit]
        if not len(full):
            depth *= 4
            continue
        is_settled = np.isin(documents, full) & kept
        rows = np.concatenate((rows, found.rows[is_settled]))
        scores = np.concatenate((scores, found.scores[is_settled]))
        mask = allowed.mask.copy()
        for document in full.tolist():
            chunks = snapshot.chunks_of(document)
            mask[chunks.start : chunks.stop] = False
        allowed = Allowed(mask)
    order = np.lexsort((rows, -scores))[:count]
    return Found(rows[order], scores[order])
