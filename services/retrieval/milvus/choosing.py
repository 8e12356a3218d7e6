"""From Milvus' lists to hits: mixed, fused, limited, varied, as in the local backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval.diversity import diversify
from services.retrieval.fusion import fuse
from services.retrieval.history import ordered as ordered_by_history
from services.retrieval.queries import Group, Hits, Scores, SearchMode, SearchOptions
from services.retrieval.store.passages import Wanted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.milvus.server import Found

_POOL = 200
"""Hits among which a search for variety chooses."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row found, with its scores."""

    found: Found
    scores: Scores


def wanted(found: Found) -> Wanted:
    """Returns the chunk that a row stands for."""
    return Wanted(found.document_id, found.version, found.ordinal)


def mixed(lists: Sequence[tuple[list[Found], float]]) -> list[Found]:
    """Returns the rows of several lists with the sums of their weighted scores, best first."""
    rows: dict[Wanted, Found] = {}
    sums: dict[Wanted, float] = {}
    for answer, weight in lists:
        for each in answer:
            key = wanted(each)
            rows.setdefault(key, each)
            sums[key] = sums.get(key, 0.0) + weight * each.score
    return ordered([replace(each, score=sums[key]) for key, each in rows.items()])


def ordered(found: Sequence[Found]) -> list[Found]:
    """Returns rows best first, equal ones in the order of their names: the same list each time."""
    return sorted(found, key=lambda each: (-each.score, each.document_id, each.ordinal))


def choose(
    near: Sequence[Found], by_words: Sequence[Found], options: SearchOptions
) -> tuple[list[Hit], dict[str, int]]:
    """Returns the hits, and how many were left out for which reason.

    Args:
        near: Rows by vector, best first.
        by_words: Rows by words, best first.
        options: How to choose.
    """
    hits = _fused(near, by_words, options)
    dropped: dict[str, int] = {}
    if options.score_threshold is not None:
        kept = [hit for hit in hits if hit.scores.final >= options.score_threshold]
        count(dropped, "below_threshold", len(hits) - len(kept))
        hits = kept
    if options.group_size:
        return _grouped(hits, options), dropped
    if options.max_per_document:
        kept = [hit for group in _by_document(hits) for hit in group[: options.max_per_document]]
        count(dropped, "max_per_document", len(hits) - len(kept))
        chosen = {id(hit) for hit in kept}
        hits = [hit for hit in hits if id(hit) in chosen]
    if options.diversity:
        hits = _varied(hits, options)
    return hits[: options.top_k], dropped


def by_history(
    hits: Sequence[Hit],
    liked: Sequence[NDArray[np.float32]],
    disliked: Sequence[NDArray[np.float32]],
    weight: float,
    options: SearchOptions,
) -> list[Hit]:
    """Returns the best hits in the order of a history.

    Args:
        hits: Candidates with their vectors, best first.
        liked: Unit vectors of each document that was liked and may be read.
        disliked: The same of what was disliked.
        weight: Share of the history, 0..1.
        options: How many are wanted, and how varied.
    """
    if not hits:
        return []
    places, scores = ordered_by_history(
        np.array([hit.scores.final for hit in hits]),
        np.array([hit.found.vector for hit in hits], np.float32),
        liked,
        disliked,
        weight=weight,
        diversity=options.diversity,
        count=options.top_k,
    )
    return [
        replace(hits[place], scores=replace(hits[place].scores, final=score))
        for place, score in zip(places, scores, strict=True)
    ]


def columns(hits: Sequence[Hit]) -> Hits:
    """Returns the scores of hits as columns; rows are their places here."""

    def column(values: list[float | None]) -> NDArray[np.float64] | None:
        if all(value is None for value in values):
            return None
        return np.array([np.nan if value is None else value for value in values])

    return Hits(
        np.arange(len(hits)),
        np.array([hit.scores.final for hit in hits], np.float64),
        column([hit.scores.dense for hit in hits]),
        column([hit.scores.keyword for hit in hits]),
        column([hit.scores.fused for hit in hits]),
    )


def groups(hits: Sequence[Hit]) -> list[Group]:
    """Returns the groups of hits that come document by document."""
    found: list[Group] = []
    for place, hit in enumerate(hits):
        document_id = hit.found.document_id
        if found and found[-1].document_id == document_id:
            found[-1] = replace(found[-1], count=found[-1].count + 1)
        else:
            found.append(Group(document_id, place, 1))
    return found


def count(dropped: dict[str, int], reason: str, number: int) -> None:
    """Counts what was left out for a reason."""
    if number:
        dropped[reason] = dropped.get(reason, 0) + number


def _fused(near: Sequence[Found], by_words: Sequence[Found], options: SearchOptions) -> list[Hit]:
    if options.mode is SearchMode.DENSE:
        # Rounding can lead a little beyond 1.
        scored = [(each, min(max(each.score, -1.0), 1.0)) for each in near]
        return [Hit(each, Scores(final=score, dense=score)) for each, score in scored]
    if options.mode is SearchMode.KEYWORD:
        return [Hit(each, Scores(final=each.score, keyword=each.score)) for each in by_words]
    places: dict[Wanted, int] = {}
    rows: list[Found] = []
    for each in (*near, *by_words):
        if places.setdefault(wanted(each), len(rows)) == len(rows):
            rows.append(each)
    dense = {places[wanted(each)]: each.score for each in near}
    words = {places[wanted(each)]: each.score for each in by_words}
    order, scores = fuse(
        _arrays(dense),
        _arrays(words),
        options.fusion,
        options.dense_weight,
        options.rank_constant,
    )
    return [
        Hit(
            rows[row],
            Scores(final=score, dense=dense.get(row), keyword=words.get(row), fused=score),
        )
        for row, score in zip(order.tolist(), scores.tolist(), strict=True)
    ]


def _arrays(scores: Mapping[int, float]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    return np.array(list(scores), np.int64), np.array(list(scores.values()), np.float32)


def _by_document(hits: Sequence[Hit]) -> list[list[Hit]]:
    """Returns the hits document by document, the document of the best hit first."""
    found: dict[str, list[Hit]] = {}
    for hit in hits:
        found.setdefault(hit.found.document_id, []).append(hit)
    return list(found.values())


def _grouped(hits: Sequence[Hit], options: SearchOptions) -> list[Hit]:
    best = _by_document(hits)[: options.top_k]
    return [hit for group in best for hit in group[: options.group_size]]


def _varied(hits: Sequence[Hit], options: SearchOptions) -> list[Hit]:
    pool = list(hits[: max(_POOL, options.top_k)])
    if not pool:
        return []
    relevance = np.array([hit.scores.final for hit in pool])
    vectors = np.array([hit.found.vector for hit in pool], np.float32)
    places, marginal = diversify(relevance, vectors, options.diversity, options.top_k)
    return [
        replace(pool[place], scores=replace(pool[place].scores, final=score))
        for place, score in zip(places, marginal, strict=True)
    ]
