"""A second look at the best candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.answer import StageExplanation
from services.gateway.passages import Passage, ScoredPassage
from services.gateway.pipeline.run import OUTAGES
from services.rpc import semconv
from services.rpc.errors import FailedPreconditionError, NotFoundError

if TYPE_CHECKING:
    from services.gateway.pipeline.ports import Reranked, Reranker, Retrieved
    from services.gateway.pipeline.run import Run

DEPTH = 20
"""Candidates that are looked at again."""

WEIGHT = 0.5
"""Share of the reranker's score; the rest is the hybrid score's. Late interaction mixed in this way
lifts every measured question set (squad nDCG@10 .918 to .941) and hurts none significantly."""

_UNFIT = (NotFoundError, FailedPreconditionError)
"""A model is not loaded, or cannot score that way."""

MAX_PREFIX_CHARACTERS = 256
"""Longest title-and-headings line before a passage, as in ingestion; outer headings go first."""


class Rerank:
    """Mixes late-interaction scores into the order. Rung below: the hybrid order.

    Args:
        reranker: The embedding service.
        cross_encoder: Model that scores in place of late interaction; empty: none does. One that
            is not loaded is taken for an outage.
    """

    name = "rerank"
    share = 0.10

    def __init__(self, reranker: Reranker, cross_encoder: str = "") -> None:
        self._reranker = reranker
        self._cross_encoder = cross_encoder
        self._outages = (*OUTAGES, *(_UNFIT if cross_encoder else ()))

    async def run(self, run: Run, query: str, found: Retrieved) -> tuple[ScoredPassage, ...]:
        """Returns what was found in its new order; only the first `DEPTH` move."""
        head, tail = found.passages[:DEPTH], found.passages[DEPTH:]
        readable = [place for place, each in enumerate(head) if each.passage.text.strip()]
        if len(readable) < 2:
            return found.passages
        try:
            async with run.stage(
                self.name,
                share=self.share,
                attributes={semconv.GEN_AI_RERANK_CANDIDATE_COUNT: len(readable)},
            ) as span:
                reranked = await self._scored(run, query, found, readable)
                span.set_attribute("cairn.rerank.read_count", reranked.read_count)
                span.set_attribute("cairn.rerank.unusable_count", reranked.unusable_count)
        except self._outages:
            run.degrade("rerank_skipped")
            return found.passages
        run.usage += reranked.usage
        late = dict(zip(readable, reranked.scores, strict=True))
        ordered = _mixed(head, [late.get(place) for place in range(len(head))])
        result = (*ordered, *_below(ordered[-1].scores.final, tail))
        notes = _notes(reranked)
        if self._cross_encoder:
            notes = (f"{len(reranked.scores)} passages scored by {self._cross_encoder}",)
        run.explain_stage(StageExplanation(self.name, result, notes=notes))
        return result

    async def _scored(
        self, run: Run, query: str, found: Retrieved, places: Sequence[int]
    ) -> Reranked:
        """Scores the passages at some places, by their token codes where they have any."""
        texts = [read_as(found.passages[place].passage) for place in places]
        if self._cross_encoder:
            return await self._reranker.rerank(
                run.scope, query, texts, cross_encoder=self._cross_encoder
            )
        known = dict(enumerate(found.token_codes))
        codes = [known.get(place, b"") for place in places]
        if any(codes):
            try:
                return await self._reranker.rerank(
                    run.scope, query, texts, codes=codes, model=found.embedding_model
                )
            except _UNFIT:
                pass  # the codes' model was unloaded, or gives no token vectors any more
        return await self._reranker.rerank(run.scope, query, texts)


def read_as(passage: Passage) -> str:
    """Returns what is read of a passage: under its title and headings, as ingestion embeds it.

    Without them a set of abstracts lost by being reranked (cranfield nDCG@10 .413 to .386); with
    them it keeps .408.
    """
    names = list(dict.fromkeys(name for name in (passage.title, *passage.heading_path) if name))
    while len(names) > 1 and len(" > ".join(names)) > MAX_PREFIX_CHARACTERS:
        names.pop(1 if len(names) > 2 else 0)
    prefix = " > ".join(names)[:MAX_PREFIX_CHARACTERS]
    return f"{prefix}\n{passage.text}" if prefix else passage.text


def _notes(reranked: Reranked) -> tuple[str, ...]:
    count = len(reranked.scores)
    notes = [f"{count - reranked.read_count} of {count} passages scored by stored token codes"]
    if reranked.read_count:
        notes.append(f"{reranked.read_count} passages read for this request")
    if reranked.unusable_count:
        notes.append(
            f"{reranked.unusable_count} token codes of another model or revision, or damaged"
        )
    return tuple(notes)


def _mixed(head: Sequence[ScoredPassage], late: Sequence[float | None]) -> list[ScoredPassage]:
    worst = min((score for score in late if score is not None), default=0.0)
    hybrid = standard_scores([each.scores.final for each in head])
    second = standard_scores([worst if score is None else score for score in late])
    mixed = [
        replace(
            each,
            scores=replace(each.scores, rerank=score, final=(1 - WEIGHT) * first + WEIGHT * other),
        )
        for each, score, first, other in zip(head, late, hybrid, second, strict=True)
    ]
    return sorted(mixed, key=lambda each: -each.scores.final)


def _below(least: float, tail: Sequence[ScoredPassage]) -> list[ScoredPassage]:
    """Keeps the tail's order and puts its scores under the head's."""
    return [
        replace(each, scores=replace(each.scores, final=least - (index + 1) * 1e-3))
        for index, each in enumerate(tail)
    ]


def standard_scores(values: Sequence[float]) -> list[float]:
    """Returns how many standard deviations each value lies from the mean; zeros if all equal."""
    mean = math.fsum(values) / len(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
    if deviation < 1e-12:
        return [0.0] * len(values)
    return [(value - mean) / deviation for value in values]
