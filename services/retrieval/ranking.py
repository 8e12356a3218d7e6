"""Ranks the allowed chunks of one snapshot for queries: dense, by words, or both fused."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import nearest, spread
from services.retrieval.diversity import diversify
from services.retrieval.fusion import fuse, values_of
from services.retrieval.queries import Hits, PlanStep, Query, SearchMode, SearchOptions
from services.retrieval.spread import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from services.retrieval.vectors import Allowed
    from services.retrieval.view.rows import Snapshot

_PARALLEL_ROWS = 300_000
"""Rows from which it pays to search vectors and words in two threads. With fewer the other thread
takes as much as it saves: four searches at once over 100,000 rows took 2.4 and 2.7 ms of processor
time each in one thread, 2.5 and 3.8 in two."""
_DIVERSITY_POOL = 200


@dataclass(slots=True)
class Ranking:
    """What one query found, best first."""

    hits: Hits
    steps: list[PlanStep]
    scanned: int
    dropped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Field:
    """What is searched: one state, the rows allowed in it, and the means."""

    snapshot: Snapshot
    allowed: Allowed
    options: SearchOptions
    helpers: Executor


def rank(field: Field, queries: Sequence[Query]) -> list[Ranking]:
    """Returns a ranking for each query; each query has what the mode needs."""
    if field.options.mode is SearchMode.DENSE and not may_crowd(field.snapshot, field.options):
        return _rank_dense(field, queries)
    return [_rank_one(field, query) for query in queries]


def may_crowd(snapshot: Snapshot, options: SearchOptions) -> bool:
    """Whether a document could take more places than its share: not where none has more chunks."""
    if options.group_size:
        return True
    return 0 < options.max_per_document < snapshot.most_chunks


def _rank_dense(field: Field, queries: Sequence[Query]) -> list[Ranking]:
    """Ranks all queries in one pass over the vectors."""
    options = field.options
    depth = max(options.top_k, _DIVERSITY_POOL) if options.diversity else options.top_k
    vectors = [query.vector for query in queries if query.vector is not None]
    stacked = vectors[0][None] if len(vectors) == 1 else np.stack(vectors)
    found = nearest.search(field.snapshot, stacked, field.allowed, depth, options.recall)
    scanned = found.compared // len(queries)
    rankings = []
    wide = found.scores.astype(np.float64)
    counts = (found.rows >= 0).sum(axis=1).tolist()
    is_plain = options.score_threshold is None and not options.diversity
    for place, count in enumerate(counts):
        scores = wide[place, :count]
        hits = Hits(found.rows[place, :count], scores, dense=scores)
        if is_plain:
            rankings.append(Ranking(hits, found.steps, scanned, {}))
            continue
        rankings.append(_finish(field, hits, found.steps, scanned))
    return rankings


def _rank_one(field: Field, query: Query) -> Ranking:
    """Ranks one query by lists of each way.

    The list of one way holds no document more often than its share. Two lists are fused whole: a
    document's best chunk by vector may be another than by words, and either would lose half of its
    score if each list kept one of them only.
    """
    options = field.options
    depth = _depth(options)
    is_hybrid = options.mode is SearchMode.HYBRID
    list_of = _whole_list_of if is_hybrid else _list_of
    ways: list[_Way] = []
    if options.mode is not SearchMode.KEYWORD and query.vector is not None:
        ways.append(_DenseWay(field, query.vector))
    if options.mode is not SearchMode.DENSE:
        ways.append(_WordWay(field, query))
    # Words are looked up in another thread while vectors are compared: numpy lets both run.
    if len(ways) == 2 and field.snapshot.chunk_count >= _PARALLEL_ROWS:
        words = field.helpers.submit(list_of, field, ways[1], depth)
        lists = [list_of(field, ways[0], depth), words.result()]
    else:
        lists = [list_of(field, way, depth) for way in ways]
    near = lists[0] if options.mode is not SearchMode.KEYWORD else None
    by_words = lists[-1] if options.mode is not SearchMode.DENSE else None
    hits = _fused(near, by_words, options)
    if is_hybrid and options.per_document:
        hits = _filled(field, hits, ways, depth)
    if options.group_size:
        hits = _grouped(field, hits, near, by_words, ways)
    steps = [step for way in ways for step in way.steps]
    return _finish(field, hits, steps, sum(way.compared for way in ways))


def _depth(options: SearchOptions) -> int:
    """Returns how many rows of each way are looked at."""
    wanted = options.top_k * max(1, options.group_size)
    if options.mode is SearchMode.HYBRID:
        return max(options.candidates, wanted)
    return max(wanted, _DIVERSITY_POOL) if options.diversity else wanted


class _Way(ABC):
    """A way of finding rows for one query.

    Args:
        field: What is searched.
    """

    def __init__(self, field: Field) -> None:
        self._field = field
        self.steps: list[PlanStep] = []
        self.compared = 0

    @abstractmethod
    def find(self, allowed: Allowed, depth: int) -> Found:
        """Returns the best allowed rows, `depth` at most."""

    @abstractmethod
    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the exact scores of rows."""


class _DenseWay(_Way):
    """By vector."""

    def __init__(self, field: Field, vector: NDArray[np.float32]) -> None:
        super().__init__(field)
        self._vector = vector

    def find(self, allowed: Allowed, depth: int) -> Found:
        """Returns the nearest rows."""
        field = self._field
        found = nearest.search(
            field.snapshot, self._vector[None], allowed, depth, field.options.recall
        )
        self.steps += found.steps
        self.compared += found.compared
        count = int(np.count_nonzero(found.rows[0] >= 0))
        return Found(found.rows[0][:count], found.scores[0][:count].astype(np.float64))

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns products with the rows' vectors."""
        self.compared += len(rows)
        product = self._field.snapshot.vectors_of(rows) @ self._vector
        return nearest.cosines(product).astype(np.float64)


class _WordWay(_Way):
    """By words: all rows are scored once."""

    def __init__(self, field: Field, query: Query) -> None:
        super().__init__(field)
        self._query = query
        self._scores: NDArray[np.float32] | None = None

    def find(self, allowed: Allowed, depth: int) -> Found:
        """Returns the rows with the best words."""
        scores = self._all()
        if allowed.count < len(scores) // 4:
            rows = allowed.ids.astype(np.int64)
            rows = rows[scores[rows] > 0]
        else:
            rows = np.flatnonzero((scores > 0) & allowed.mask)
        found = scores[rows]
        if len(rows) > depth:
            # Rows as good as the last one stay in until the order is decided.
            worst = np.partition(found, -depth)[-depth]
            rows, found = rows[found >= worst], found[found >= worst]
        order = np.lexsort((rows, -found))[:depth]
        return Found(rows[order], found[order].astype(np.float64))

    def score(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the rows' BM25 scores."""
        return self._all()[rows].astype(np.float64)

    def _all(self) -> NDArray[np.float32]:
        if self._scores is None:
            began = time.perf_counter()
            snapshot = self._field.snapshot
            self._scores = snapshot.rows.keywords.scores(
                snapshot, self._query.texts, snapshot.live_chunk_mask, self._field.allowed
            )
            took = (time.perf_counter() - began) * 1000
            why = "words are scored over all rows"
            count = self._field.allowed.count
            step = PlanStep("keyword", "bm25", why, snapshot.chunk_count, count, took)
            self.steps.append(step)
        return self._scores


def _list_of(field: Field, way: _Way, depth: int) -> Found:
    """Returns a way's best rows, no document with more than its share."""
    limit = field.options.per_document
    if not limit:
        return way.find(field.allowed, depth)
    return spread.find(way.find, field.snapshot, field.allowed, depth, limit)


def _whole_list_of(field: Field, way: _Way, depth: int) -> Found:
    """Returns a way's best rows, whatever their documents."""
    return way.find(field.allowed, depth)


def _filled(field: Field, hits: Hits, ways: Sequence[_Way], depth: int) -> Hits:
    """Returns the hits, and below them documents that chunks of few documents left no place for."""
    options, found = field.options, field.snapshot.document_of[hits.rows]
    documents = np.unique(found)
    places = len(documents)
    if not options.group_size:
        places = int(spread.within(found, options.per_document).sum())
    if places >= options.top_k or field.allowed.count <= depth:
        return hits  # full, or every row was looked at
    near, by_words = (_list_of(field, way, depth) for way in ways)
    more = _fused(near, by_words, field.options)
    more = more.take(~np.isin(field.snapshot.document_of[more.rows], documents))
    if not len(more.rows):
        return hits
    if len(hits.rows):
        more.final = more.final - max(0.0, float(more.final[0] - hits.final[-1]))
    return _joined([hits, more])


def _joined(parts: Sequence[Hits]) -> Hits:
    """Returns the hits of all parts, in their order."""
    columns: list[NDArray[np.float64] | None] = []
    for name in ("dense", "keyword", "fused"):
        found = [getattr(each, name) for each in parts]
        columns.append(None if found[0] is None else np.concatenate(found))
    return Hits(
        np.concatenate([each.rows for each in parts]),
        np.concatenate([each.final for each in parts]),
        *columns,
    )


def _fused(near: Found | None, by_words: Found | None, options: SearchOptions) -> Hits:
    if by_words is None and near is not None:
        return Hits(near.rows, near.scores, dense=near.scores)
    if near is None and by_words is not None:
        return Hits(by_words.rows, by_words.scores, keyword=by_words.scores)
    assert near is not None
    assert by_words is not None
    rows, scores = fuse(
        (near.rows, near.scores),
        (by_words.rows, by_words.scores),
        options.fusion,
        options.dense_weight,
        options.rank_constant,
    )
    return Hits(
        rows,
        scores,
        dense=values_of(rows, near.rows, near.scores),
        keyword=values_of(rows, by_words.rows, by_words.scores),
        fused=scores,
    )


def _finish(field: Field, hits: Hits, steps: list[PlanStep], scanned: int) -> Ranking:
    """Applies threshold, share of each document, variety and top_k."""
    options = field.options
    dropped: dict[str, int] = {}
    if options.score_threshold is not None:
        kept = hits.take(hits.final >= options.score_threshold)
        _count(dropped, "below_threshold", len(hits.rows) - len(kept.rows))
        hits = kept
    if options.group_size:
        return Ranking(hits, steps, scanned, dropped)
    if options.max_per_document:
        documents = field.snapshot.document_of[hits.rows]
        kept = hits.take(spread.within(documents, options.max_per_document))
        _count(dropped, "max_per_document", len(hits.rows) - len(kept.rows))
        hits = kept
    if options.diversity and len(hits.rows):
        hits = _diversified(field.snapshot, hits, options)
    if len(hits.rows) > options.top_k:
        hits = hits.take(slice(options.top_k))
    return Ranking(hits, steps, scanned, dropped)


def _grouped(
    field: Field, hits: Hits, near: Found | None, by_words: Found | None, ways: Sequence[_Way]
) -> Hits:
    """Returns the best documents' best passages, group by group.

    The lists hold the best passages of each of the best documents; a document's further ones may
    lie deeper, so all its allowed chunks are scored.
    """
    snapshot, options = field.snapshot, field.options
    documents = snapshot.document_of[hits.rows]
    _, first = np.unique(documents, return_index=True)
    best = documents[np.sort(first)][: options.top_k]
    parts = []
    for document in best.tolist():
        chunks = snapshot.chunks_of(document)
        rows = np.arange(chunks.start, chunks.stop)
        rows = rows[field.allowed.mask[rows]]
        parts.append(_best_of(rows, hits, near, by_words, ways, options))
    if not parts:
        return hits
    return _joined(parts)


def _best_of(
    rows: NDArray[np.int64],
    hits: Hits,
    near: Found | None,
    by_words: Found | None,
    ways: Sequence[_Way],
    options: SearchOptions,
) -> Hits:
    """Returns the best passages among the chunks of one document."""
    if options.mode is not SearchMode.HYBRID:
        scores = ways[0].score(rows)
        if options.mode is SearchMode.KEYWORD:
            rows, scores = rows[scores > 0], scores[scores > 0]
        order = np.lexsort((rows, -scores))[: options.group_size]
        rows, scores = rows[order], scores[order]
        is_dense = options.mode is SearchMode.DENSE
        return Hits(
            rows, scores, dense=scores if is_dense else None, keyword=None if is_dense else scores
        )
    assert near is not None
    assert by_words is not None
    # A chunk in neither list is fused to 0, as any list's absent ones; the nearer comes first.
    fused = np.nan_to_num(values_of(rows, hits.rows, hits.final))
    nearness = ways[0].score(rows)
    order = np.lexsort((rows, -nearness, -fused))[: options.group_size]
    rows = rows[order]
    return Hits(
        rows,
        fused[order],
        dense=values_of(rows, near.rows, near.scores),
        keyword=values_of(rows, by_words.rows, by_words.scores),
        fused=fused[order],
    )


def _diversified(snapshot: Snapshot, hits: Hits, options: SearchOptions) -> Hits:
    pool = hits.take(slice(max(_DIVERSITY_POOL, options.top_k)))
    vectors = snapshot.vectors_of(pool.rows)
    places, marginal = diversify(pool.final, vectors, options.diversity, options.top_k)
    chosen = pool.take(np.array(places, np.int64))
    chosen.final = np.array(marginal)
    return chosen


def _count(dropped: dict[str, int], reason: str, count: int) -> None:
    if count:
        dropped[reason] = count
