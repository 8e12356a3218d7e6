"""What recommended documents should be like: documents of the collection, and vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from services.retrieval import history
from services.retrieval.queries import Query
from services.rpc.errors import NotFoundError, Reason

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.retrieval.history import History
    from services.retrieval.queries import Hits, SearchOptions
    from services.retrieval.vectors import Allowed
    from services.retrieval.view.rows import Snapshot


@dataclass(frozen=True, slots=True)
class Likeness:
    """What recommended documents should be like."""

    positive_ids: tuple[str, ...]
    negative_ids: tuple[str, ...]
    positive_vectors: tuple[NDArray[np.float32], ...]
    """Unit vectors."""
    negative_vectors: tuple[NDArray[np.float32], ...] = ()
    """Unit vectors."""
    history: History | None = None
    """What a person liked before; None: the likeness decides."""

    @property
    def known_ids(self) -> tuple[str, ...]:
        """Documents that are not to be found."""
        given = (*self.positive_ids, *self.negative_ids)
        if self.history is None:
            return given
        return (*given, *self.history.liked_ids, *self.history.disliked_ids)

    def mean(
        self, positive: Sequence[NDArray[np.float32]], negative: Sequence[NDArray[np.float32]]
    ) -> Query:
        """Returns the mean of what is liked less the mean of what is not.

        Args:
            positive: Mean vectors of the positive documents that may be read.
            negative: The same of the negative ones.

        Raises:
            NotFoundError: nothing of what is liked exists with a vector.
        """
        liked = [*self.positive_vectors, *positive]
        disliked = [*self.negative_vectors, *negative]
        if not liked:
            raise NotFoundError(
                Reason.DOCUMENT_NOT_FOUND, "none of the positive documents exists with a vector"
            )
        vector = liked[0] if len(liked) == 1 else np.mean(liked, axis=0)
        if disliked:
            vector = vector - np.mean(disliked, axis=0)
        length = float(np.sqrt(vector.dot(vector)))
        return Query(vector=(vector / length if length > 0 else vector).astype(np.float32))


class NamedDocuments:
    """Documents that a request names, looked up at once: one by one, each costs as much as all.

    Args:
        snapshot: The state.
        ids: Names, of which some may be unknown.
        readable: Which document rows may be read; others do not exist here.
    """

    def __init__(self, snapshot: Snapshot, ids: Sequence[str], readable: NDArray[np.bool_]) -> None:
        self._snapshot = snapshot
        self._readable = readable
        self._rows = snapshot.rows_of(list(dict.fromkeys(ids)))

    def left_out_of(self, allowed: Allowed) -> Allowed:
        """Returns what is allowed, but for these documents."""
        own = [self._snapshot.chunks_of(row) for row in sorted(self._rows.values())]
        if not own:
            return allowed
        # Of one document each, whose rows stand together: ascending, as the documents are.
        gone = np.concatenate([np.arange(each.start, each.stop, dtype=np.int64) for each in own])
        return allowed.without(gone)

    def vectors(self, ids: Sequence[str], most: int = 0) -> list[NDArray[np.float32]]:
        """Returns the unit vectors of each document that may be read and has any.

        Args:
            ids: Of those named.
            most: Vectors of one document, spread evenly; 0: all.
        """
        places: list[NDArray[np.int64]] = []
        for each in ids:
            row = self._rows.get(each)
            if row is None or not self._readable[row]:
                continue
            chunks = self._snapshot.chunks_of(row)
            step = -(-len(chunks) // most) if most else 1
            if len(chunks):
                places.append(np.arange(chunks.start, chunks.stop, step))
        if not places:
            return []
        if len(places) == 1:
            return [self._snapshot.vectors_of(places[0])]
        found = self._snapshot.vectors_of(np.concatenate(places))
        return np.split(found, np.cumsum([len(each) for each in places])[:-1])


def mean_query(likeness: Likeness, named: NamedDocuments) -> Query:
    """Returns what to look for.

    Raises:
        NotFoundError: as of `Likeness.mean`.
    """
    positive, negative = (
        [
            vectors[0] if len(vectors) == 1 else vectors.mean(axis=0)
            for vectors in named.vectors(ids)
        ]
        for ids in (likeness.positive_ids, likeness.negative_ids)
    )
    return likeness.mean(positive, negative)


def as_candidates(options: SearchOptions, past: History) -> SearchOptions:
    """Returns how documents are looked for that are then ordered by a history."""
    return replace(options, top_k=max(past.candidates, options.top_k), diversity=0.0)


def by_history(
    snapshot: Snapshot, hits: Hits, past: History, named: NamedDocuments, options: SearchOptions
) -> Hits:
    """Returns the best hits in the order of a history, as far as it may be read."""
    places, scores = history.ordered(
        hits.final,
        snapshot.vectors_of(hits.rows),
        named.vectors(past.liked_ids, history.VECTORS_COMPARED),
        named.vectors(past.disliked_ids, history.VECTORS_COMPARED),
        weight=past.weight,
        diversity=options.diversity,
        count=options.top_k,
    )
    found = hits.take(np.array(places, np.int64))
    found.final = np.array(scores, np.float64)
    return found
