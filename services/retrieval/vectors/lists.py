"""Lists of rows around centroids (IVF): a search looks into the lists nearest to its query.

The lists hold row numbers only; the vectors are scanned where they lie, as in an exact scan. Under
a filter the lists shrink to the allowed rows, once for each filter, and lists without any are
never looked into.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from services.retrieval.vectors.graph import NO_BITS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.allowed import Allowed
    from services.retrieval.vectors.planner import Plan
    from services.retrieval.vectors.scan import CodedScan, FloatScan
    from services.retrieval.vectors.spec import RecallClass


@dataclass(frozen=True, slots=True)
class Lists:
    """Rows by their nearest centroid."""

    centroids: NDArray[np.float32]
    """(l, d)"""
    starts: NDArray[np.int64]
    """(l + 1,) where each list begins in `members`."""
    members: NDArray[np.int32]
    """(n,) rows, list by list."""

    def within(self, allowed: Allowed) -> Lists:
        """Returns the lists cut down to allowed rows."""
        key = ("lists", id(self))
        found = allowed.known.get(key)
        if found is None:
            is_allowed = allowed.mask[self.members]
            counts = np.concatenate([[0], np.cumsum(is_allowed)])
            cut = Lists(self.centroids, counts[self.starts], self.members[is_allowed])
            # With the lists themselves, so that another object cannot come to have their id.
            found = allowed.known[key] = (cut, self)
        return found[0]


def group(assigned: NDArray[np.integer[Any]], centroids: NDArray[np.float32]) -> Lists:
    """Returns the lists of rows assigned to centroids."""
    members = np.argsort(assigned, kind="stable").astype(np.int32)
    counts = np.bincount(assigned, minlength=len(centroids))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Lists(np.ascontiguousarray(centroids, np.float32), starts, members)


class ListIndex:
    """Lists with the vectors they name.

    Args:
        lists: All rows, by list.
        scan: Compares given rows.
    """

    is_filterable = True

    def __init__(self, lists: Lists, scan: CodedScan | FloatScan) -> None:
        self.lists = lists
        self._scan = scan

    @property
    def nbytes(self) -> int:
        """Bytes that searches made."""
        return 0

    def search(
        self,
        queries: NDArray[np.float32],
        allowed: Allowed | None,
        plan: Plan,
        recall: RecallClass,
        rows: NDArray[np.int64],
        scores: NDArray[np.float32],
    ) -> int:
        """Compares the rows of the lists nearest to each query; returns how many.

        `plan.effort` is the number of lists with allowed rows that are looked into.
        """
        lists = self.lists if allowed is None else self.lists.within(allowed)
        bits = NO_BITS if allowed is None else allowed.bits
        sizes = np.diff(lists.starts)
        near = queries @ lists.centroids.T
        near[:, sizes == 0] = -np.inf
        wanted = min(plan.effort, int(np.count_nonzero(sizes)))
        compared = 0
        for at in range(len(queries)):
            chosen = np.argpartition(near[at], -wanted)[-wanted:]
            ids = np.concatenate(
                [lists.members[lists.starts[each] : lists.starts[each + 1]] for each in chosen]
            )
            one = slice(at, at + 1)
            compared += self._scan.search(queries[one], ids, bits, recall, rows[one], scores[one])
        return compared + len(queries) * len(sizes)
