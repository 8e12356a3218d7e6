"""Measures a segment on a sample of its own rows: recall for efforts, and what is lost.

A row of the segment is an easy query: it finds itself at once, and its links lead to its
neighbours. So a graph is walked as if the row were not in it (leave one out), and lists are asked
for one row more, of which the query itself is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.vectors import planner
from services.retrieval.vectors.graph_index import GraphIndex
from services.retrieval.vectors.planner import Plan, Rung
from services.retrieval.vectors.scan import scan_floats
from services.retrieval.vectors.spec import RecallClass

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.vectors.segment import Index

COUNT = 10
_GRAPH_EFFORTS = (32, 48, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024)
_LIST_EFFORTS = (2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
_ENOUGH = 0.999


def climb(
    vectors: NDArray[np.float32], index: Index, sample: int, lists: int, seed: int = 0
) -> tuple[Rung, ...]:
    """Returns recall@10 and rows compared for rising efforts, until nearly all is found.

    Args:
        vectors: (n, d) float32 of the segment.
        index: Its graph or lists.
        sample: Rows to use as queries.
        lists: Lists of an IVF kind.
        seed: Of the choice of rows.
    """
    if len(vectors) <= COUNT * 2 or sample < 1:
        return ()
    chosen = np.random.default_rng(seed).permutation(len(vectors))[:sample]
    chosen.sort()
    queries = np.ascontiguousarray(vectors[chosen])
    truth = np.empty((len(chosen), COUNT + 1), np.int64)
    scan_floats(vectors, queries, None, truth, np.empty(truth.shape, np.float32))
    wanted = [_without(row, own)[:COUNT] for row, own in zip(truth, chosen, strict=True)]
    if isinstance(index, GraphIndex):
        return _climb_graph(index, queries, chosen, wanted)
    ladder: list[Rung] = []
    for effort in (each for each in _LIST_EFFORTS if each <= max(lists, _LIST_EFFORTS[0])):
        plan = Plan(planner.IVF, "", effort)
        rows = np.empty((len(chosen), COUNT + 1), np.int64)
        scores = np.empty(rows.shape, np.float32)
        compared = index.search(queries, None, plan, RecallClass.HIGH, rows, scores)
        found = [_without(row, own)[:COUNT] for row, own in zip(rows, chosen, strict=True)]
        ladder.append(_rung(effort, found, wanted, compared))
        if ladder[-1].recall >= _ENOUGH:
            break
    return tuple(ladder)


def _climb_graph(
    index: GraphIndex,
    queries: NDArray[np.float32],
    chosen: NDArray[np.int64],
    wanted: list[NDArray[np.int64]],
) -> tuple[Rung, ...]:
    """Walks with rising efforts, each query without its own row.

    Some rows can be reached through the row that is left out only; they are nothing that a query
    from elsewhere would miss, and do not count.
    """
    top = _GRAPH_EFFORTS[-1]
    alone, _ = _walk(index, queries, chosen, top, is_left_out=True)
    whole, _ = _walk(index, queries, chosen, top, is_left_out=False)
    fair = [
        np.setdiff1d(truth, np.setdiff1d(with_own, without_own))
        for truth, with_own, without_own in zip(wanted, whole, alone, strict=True)
    ]
    ladder: list[Rung] = []
    for effort in _GRAPH_EFFORTS:
        found, compared = _walk(index, queries, chosen, effort, is_left_out=True)
        ladder.append(_rung(effort, found, fair, compared))
        if ladder[-1].recall >= _ENOUGH:
            break
    return tuple(ladder)


def _walk(
    index: GraphIndex,
    queries: NDArray[np.float32],
    chosen: NDArray[np.int64],
    effort: int,
    *,
    is_left_out: bool,
) -> tuple[list[NDArray[np.int64]], int]:
    """Returns the rows found for each query, its own not among them, and the rows compared."""
    rows, scores = np.empty((1, COUNT + 1), np.int64), np.empty((1, COUNT + 1), np.float32)
    plan = Plan(planner.GRAPH, "", effort)
    found: list[NDArray[np.int64]] = []
    compared = 0
    for at, own in enumerate(chosen):
        without = int(own) if is_left_out else -1
        one = queries[at : at + 1]
        compared += index.search(one, None, plan, RecallClass.HIGH, rows, scores, without=without)
        found.append(_without(rows[0], own)[:COUNT])
    return found, compared


def _rung(
    effort: int,
    found: list[NDArray[np.int64]],
    wanted: list[NDArray[np.int64]],
    compared: int,
) -> Rung:
    pairs = zip(found, wanted, strict=True)
    hits = sum(len(np.intersect1d(each, truth)) for each, truth in pairs)
    total = sum(len(truth) for truth in wanted)
    return Rung(effort, round(hits / max(1, total), 4), round(compared / len(found), 1))


def _without(rows: NDArray[np.int64], own: int) -> NDArray[np.int64]:
    return rows[(rows != own) & (rows >= 0)]
