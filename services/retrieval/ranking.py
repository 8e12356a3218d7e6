"""Ranks the allowed chunks of one snapshot for queries: dense, by words, or both fused."""

from __future__ import annotations

import time
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import dense
from services.retrieval.diversity import diversify
from services.retrieval.fusion import fuse
from services.retrieval.queries import (
    Hit,
    PlanStep,
    Query,
    Scores,
    SearchMode,
    SearchOptions,
)
from services.retrieval.view import masks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.retrieval.dense import DenseResult, Planner
    from services.retrieval.view.rows import Snapshot

_PARALLEL_ROWS = 5_000
"""Rows from which it pays to search vectors and words in two threads."""
_DIVERSITY_POOL = 200


@dataclass(frozen=True, slots=True)
class Ranking:
    """What one query found, best first."""

    hits: list[Hit]
    steps: list[PlanStep]
    scanned: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class _List:
    """Rows with scores, best first; `is_full` when more may follow."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]
    is_full: bool


_NOTHING = _List(np.empty(0, np.int64), np.empty(0, np.float32), is_full=False)


def rank(
    snapshot: Snapshot,
    queries: Sequence[Query],
    allowed: NDArray[np.bool_],
    options: SearchOptions,
    planner: Planner,
    helpers: Executor,
) -> list[Ranking]:
    """Returns a ranking for each query.

    Args:
        snapshot: State to search.
        queries: What to look for; each has what the mode needs.
        allowed: Which chunk rows may be found.
        options: How.
        planner: Where scans end and graphs begin.
        helpers: Threads that may take a part of the work.
    """
    depth = _first_depth(options)
    # Words are looked up in another thread while vectors are compared: numpy lets both run.
    is_parallel = options.mode is SearchMode.HYBRID and snapshot.chunk_count >= _PARALLEL_ROWS
    words = (
        helpers.submit(_keyword_lists, snapshot, queries, allowed, options, depth)
        if is_parallel
        else None
    )
    result = _dense_lists(snapshot, queries, allowed, options, depth, planner)
    by_words, word_step = (
        words.result()
        if words is not None
        else _keyword_lists(snapshot, queries, allowed, options, depth)
    )
    steps = [*(result.steps if result else []), *word_step]
    rankings = []
    for place, query in enumerate(queries):
        near = _NOTHING
        if result is not None:
            found = result.found[place]
            near = _List(found.rows, found.scores, len(found.rows) >= depth)
        scanned = result.scanned // len(queries) if result else 0
        hits, dropped, wants_more = _choose(snapshot, near, by_words[place], options)
        if wants_more and depth < snapshot.chunk_count:
            deeper = _deepen(snapshot, query, allowed, options, depth, planner)
            hits, dropped, more_steps, more_scanned = deeper
            steps, scanned = steps + more_steps, scanned + more_scanned
        rankings.append(Ranking(hits, steps, scanned, dropped))
    return rankings


def _first_depth(options: SearchOptions) -> int:
    if options.mode is SearchMode.HYBRID:
        return max(options.candidates, options.top_k)
    if options.max_per_document or options.diversity:
        return max(4 * options.top_k, 100)
    return options.top_k


def _deepen(
    snapshot: Snapshot,
    query: Query,
    allowed: NDArray[np.bool_],
    options: SearchOptions,
    depth: int,
    planner: Planner,
) -> tuple[list[Hit], dict[str, int], list[PlanStep], int]:
    """Looks deeper and deeper until enough documents are found, or there is no more."""
    steps: list[PlanStep] = []
    scanned = 0
    while True:
        depth *= 8
        result = _dense_lists(snapshot, [query], allowed, options, depth, planner)
        by_words, word_step = _keyword_lists(snapshot, [query], allowed, options, depth)
        near = _NOTHING
        if result is not None:
            found = result.found[0]
            near = _List(found.rows, found.scores, len(found.rows) >= depth)
            steps += result.steps
            scanned += result.scanned
        steps += word_step
        hits, dropped, wants_more = _choose(snapshot, near, by_words[0], options)
        if not wants_more or depth >= snapshot.chunk_count:
            return hits, dropped, steps, scanned


def _dense_lists(
    snapshot: Snapshot,
    queries: Sequence[Query],
    allowed: NDArray[np.bool_],
    options: SearchOptions,
    depth: int,
    planner: Planner,
) -> DenseResult | None:
    if options.mode is SearchMode.KEYWORD:
        return None
    vectors = np.stack([query.vector for query in queries if query.vector is not None])
    return dense.search(snapshot, vectors, allowed, depth, options.recall, planner)


def _keyword_lists(
    snapshot: Snapshot,
    queries: Sequence[Query],
    allowed: NDArray[np.bool_],
    options: SearchOptions,
    depth: int,
) -> tuple[list[_List], list[PlanStep]]:
    if options.mode is SearchMode.DENSE:
        return [_NOTHING] * len(queries), []
    began = time.perf_counter()
    live = snapshot.masks.get("live chunks", lambda: masks.chunk_mask(snapshot, snapshot.live))
    lists = []
    for query in queries:
        scores = snapshot.rows.keywords.scores(snapshot, query.texts, live)
        rows = np.flatnonzero((scores > 0) & allowed)
        found = scores[rows]
        is_full = len(rows) > depth
        if is_full:
            # Rows as good as the last one stay in until the order is decided.
            worst = np.partition(found, -depth)[-depth]
            rows, found = rows[found >= worst], found[found >= worst]
        order = np.lexsort((rows, -found))[:depth]
        lists.append(_List(rows[order], found[order], is_full))
    duration = (time.perf_counter() - began) * 1000
    allowed_count = int(np.count_nonzero(allowed))
    step = PlanStep(
        "keyword", "bm25", "words are scored over all rows", snapshot.chunk_count, allowed_count,
        duration,
    )  # fmt: skip
    return lists, [step]


def _choose(
    snapshot: Snapshot, near: _List, by_words: _List, options: SearchOptions
) -> tuple[list[Hit], dict[str, int], bool]:
    """Returns the hits, what was left out, and whether looking deeper could bring more."""
    hits = _hits(near, by_words, options)
    dropped: dict[str, int] = {}
    if options.score_threshold is not None:
        kept = [hit for hit in hits if hit.scores.final >= options.score_threshold]
        _count(dropped, "below_threshold", len(hits) - len(kept))
        has_ended = len(kept) < len(hits)
        hits = kept
    else:
        has_ended = False
    if options.max_per_document:
        kept = _limit_per_document(snapshot, hits, options.max_per_document)
        _count(dropped, "max_per_document", len(hits) - len(kept))
        hits = kept
    is_full = near.is_full or by_words.is_full
    wants_more = (
        options.max_per_document > 0
        and options.mode is not SearchMode.HYBRID
        and len(hits) < options.top_k
        and is_full
        and not has_ended
    )
    if options.diversity:
        hits = _diversify(snapshot, hits, options)
    return hits[: options.top_k], dropped, wants_more


def _hits(near: _List, by_words: _List, options: SearchOptions) -> list[Hit]:
    if options.mode is SearchMode.DENSE:
        return [
            Hit(int(row), Scores(final=float(score), dense=float(score)))
            for row, score in zip(near.rows, near.scores, strict=True)
        ]
    if options.mode is SearchMode.KEYWORD:
        return [
            Hit(int(row), Scores(final=float(score), keyword=float(score)))
            for row, score in zip(by_words.rows, by_words.scores, strict=True)
        ]
    rows, scores = fuse(
        (near.rows, near.scores),
        (by_words.rows, by_words.scores),
        options.fusion,
        options.dense_weight,
    )
    dense_of = dict(zip(near.rows.tolist(), near.scores.tolist(), strict=True))
    word_of = dict(zip(by_words.rows.tolist(), by_words.scores.tolist(), strict=True))
    return [
        Hit(
            row,
            Scores(final=score, dense=dense_of.get(row), keyword=word_of.get(row), fused=score),
        )
        for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
    ]


def _limit_per_document(snapshot: Snapshot, hits: Sequence[Hit], limit: int) -> list[Hit]:
    taken: dict[int, int] = {}
    kept = []
    for hit in hits:
        document = int(snapshot.document_of[hit.row])
        taken[document] = taken.get(document, 0) + 1
        if taken[document] <= limit:
            kept.append(hit)
    return kept


def _diversify(snapshot: Snapshot, hits: Sequence[Hit], options: SearchOptions) -> list[Hit]:
    pool = list(hits[: max(_DIVERSITY_POOL, options.top_k)])
    if not pool:
        return []
    scores = np.array([hit.scores.final for hit in pool])
    vectors = snapshot.vectors[[hit.row for hit in pool]]
    places, marginal = diversify(scores, vectors, options.diversity, options.top_k)
    chosen = []
    for place, score in zip(places, marginal, strict=True):
        hit = pool[place]
        former = hit.scores
        fused = former.fused
        chosen.append(Hit(hit.row, Scores(score, former.dense, former.keyword, fused)))
    return chosen


def _count(dropped: dict[str, int], reason: str, count: int) -> None:
    if count:
        dropped[reason] = count
