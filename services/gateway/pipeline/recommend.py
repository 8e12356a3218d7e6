"""Documents like some and unlike others, in the order that a person's history suggests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.caches.semantic import unit_row
from services.gateway.pipeline.rerank import standard_scores
from services.gateway.pipeline.run import OUTAGES
from services.gateway.requests import MAX_SEARCH_PASSAGES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.gateway.passages import ScoredPassage
    from services.gateway.pipeline.ports import Retrieved, Retriever, Vector
    from services.gateway.pipeline.run import Run
    from services.gateway.requests import RecommendAsk

UNORDERED = "history_unavailable"
"""Degradation: documents come by their likeness alone."""

CANDIDATES = 50
"""Documents that are put in a new order where nothing else is asked for."""

NEIGHBOURS = 3
"""Items of the history that a candidate is compared with: its nearest ones. A person likes several
kinds of things, and their mean is none of them."""

_HISTORY_SHARE = 0.5
"""Part of the deadline for the history's vectors; without them the candidates still come."""


class Recommend:
    """Finds candidates by their likeness, then orders them by history. Rung below: by likeness.

    Args:
        retriever: The retrieval service.
    """

    name = "retrieve"
    second = "history"

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    async def run(self, run: Run, ask: RecommendAsk) -> Retrieved:
        """Returns the documents, best first, the given ones and the history left out."""
        if not ask.has_history:
            async with run.stage(self.name, share=1.0):
                found = await self._retriever.recommend(run.scope, ask)
                run.usage += found.usage
            return found
        history = (*ask.liked_ids, *ask.disliked_ids)
        count = max(ask.candidates or CANDIDATES, ask.top_k)
        wanted = replace(
            ask,
            positive_ids=ask.positive_ids or ask.liked_ids,
            # Documents of the history may come up too, and are left out below.
            top_k=min(count + len(history), MAX_SEARCH_PASSAGES),
            diversity=0.0,
            with_vectors=True,
        )
        async with run.stage(self.name, share=1.0):
            found = await self._retriever.recommend(run.scope, wanted)
            run.usage += found.usage
        vectors = found.history
        if vectors is None:  # a view that is behind, or a backend without vectors at hand
            vectors = await self._history(run, ask.collection, history)
        known = {*history, *ask.positive_ids, *ask.negative_ids}
        candidates = [each for each in found.passages if each.passage.document_id not in known]
        async with run.stage(self.second):
            ordered = reordered(candidates[:count], found.vectors, vectors, ask)
        if ordered is None:
            run.degrade(UNORDERED)
            ordered = candidates
        return replace(found, passages=tuple(ordered[: ask.top_k]), vectors={}, history=None)

    async def _history(
        self, run: Run, collection: str, ids: Sequence[str]
    ) -> Mapping[str, tuple[Vector, ...]]:
        try:
            async with run.stage(self.second, share=_HISTORY_SHARE):
                return await self._retriever.document_vectors(run.scope, collection, ids)
        except OUTAGES:
            run.degrade(UNORDERED)
            return {}


def reordered(
    candidates: Sequence[ScoredPassage],
    vectors: Mapping[str, Vector],
    history: Mapping[str, Sequence[Vector]],
    ask: RecommendAsk,
) -> list[ScoredPassage] | None:
    """Returns the candidates in their new order, `final` scores falling; None: they lack vectors.

    Args:
        candidates: By likeness, best first.
        vectors: Of the candidates, by chunk.
        history: Of the history's documents that may be read, by document.
        ask: Weights, and which of the history was liked.
    """
    found = [vectors.get(each.passage.chunk_id) for each in candidates]
    rows = [None if vector is None else unit_row(vector) for vector in found]
    if not candidates:
        return []
    if any(row is None for row in rows):
        return None
    import numpy as np  # noqa: PLC0415 - recommendations without a history do without it

    matrix = np.stack([row for row in rows if row is not None])
    liked = _nearest(matrix, [history.get(each, ()) for each in ask.liked_ids])
    disliked = _nearest(matrix, [history.get(each, ()) for each in ask.disliked_ids])
    weight = ask.history_weight if history else 0.0
    mixed = [
        (1 - weight) * first + weight * second
        for first, second in zip(
            standard_scores([each.scores.final for each in candidates]),
            standard_scores((liked - disliked).tolist()),
            strict=True,
        )
    ]
    order = _varied(np.array(mixed), matrix, ask.diversity, ask.top_k)
    return [
        replace(candidates[place], scores=replace(candidates[place].scores, final=score))
        for place, score in order
    ]


def _nearest(matrix: NDArray, documents: Sequence[Sequence[Vector]]) -> NDArray:
    """Returns for each candidate the mean likeness to its nearest documents; 0 without any."""
    import numpy as np  # noqa: PLC0415 - as above

    columns = []
    for document in documents:
        rows = [row for vector in document if (row := unit_row(vector)) is not None]
        if rows and all(len(row) == matrix.shape[1] for row in rows):
            columns.append((matrix @ np.stack(rows).T).max(axis=1))
    if not columns:
        return np.zeros(len(matrix))
    likeness = np.sort(np.stack(columns), axis=0)[-NEIGHBOURS:]
    return likeness.mean(axis=0)


def _varied(
    scores: NDArray, matrix: NDArray, strength: float, count: int
) -> list[tuple[int, float]]:
    """Returns places and falling scores by maximal marginal relevance (Carbonell, Goldstein 1998).

    Args:
        scores: (n,) relevance, any scale.
        matrix: (n, d) unit vectors.
        strength: 0: relevance only; 1: variety only.
        count: Places to return.
    """
    import numpy as np  # noqa: PLC0415 - as above

    if not strength:
        places = np.argsort(-scores, kind="stable")[:count]
        return [(int(place), float(scores[place])) for place in places]
    spread = float(scores.max() - scores.min())
    relevance = (scores - scores.min()) / spread if spread > 0 else np.ones(len(scores))
    likeness = np.zeros(len(scores))
    left = np.ones(len(scores), bool)
    order: list[tuple[int, float]] = []
    for _ in range(min(count, len(scores))):
        worth = np.where(left, (1 - strength) * relevance - strength * likeness, -np.inf)
        place = int(np.argmax(worth))
        order.append((place, float(worth[place])))
        left[place] = False
        likeness = np.maximum(likeness, matrix @ matrix[place])
    return order
