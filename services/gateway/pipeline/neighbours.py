"""The chunks before and behind those an answer is written from, where there is room for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.answer import StageExplanation
from services.gateway.passages import ScoredPassage, Scores
from services.gateway.pipeline.run import OUTAGES
from services.gateway.pipeline.words import count_tokens

if TYPE_CHECKING:
    from services.gateway.passages import Passage
    from services.gateway.pipeline.ports import Retriever, StoredChunks
    from services.gateway.pipeline.run import Run

STEP = "neighbours_unavailable"
"""Degradation: passages came without those beside them."""

_SCORE_STEP = 1e-3


class Neighbours:
    """Adds adjacent chunks behind the chosen ones. Rung below: the chosen ones alone.

    Args:
        retriever: The retrieval service.
        tokens: What all of them may take together, by estimate; the engine's tokenizer decides in
            the end, and leaves out the last ones first.
    """

    name = "neighbours"
    share = 0.10

    def __init__(self, retriever: Retriever, tokens: int) -> None:
        self._retriever = retriever
        self._tokens = tokens

    async def run(
        self, run: Run, collection: str, chosen: tuple[ScoredPassage, ...]
    ) -> tuple[ScoredPassage, ...]:
        """Returns the chosen passages with their neighbours behind them."""
        if not self._tokens or not chosen:
            return chosen
        try:
            async with run.stage(self.name, share=self.share) as span:
                names = list(dict.fromkeys(each.passage.document_id for each in chosen))
                known = await self._retriever.stored_chunks(run.scope, collection, names)
                added = self._fitting(chosen, known)
                span.set_attribute("cairn.passage.count", len(added))
        except OUTAGES:
            run.degrade(STEP)
            return chosen
        notes = tuple(f"{each.passage.chunk_id} stands beside {name}" for each, name in added)
        result = (*chosen, *(each for each, _ in added))
        run.explain_stage(StageExplanation(self.name, result, notes=notes))
        return result

    def _fitting(
        self, chosen: Sequence[ScoredPassage], known: Mapping[str, StoredChunks]
    ) -> list[tuple[ScoredPassage, str]]:
        """Returns the neighbours that there is room for, each with whose neighbour it is."""
        taken = {(each.passage.document_id, each.passage.chunk_id) for each in chosen}
        room, least = self._tokens, chosen[-1].scores.final
        added: list[tuple[ScoredPassage, str]] = []
        for each in chosen:
            document = known.get(each.passage.document_id)
            # Of another version than was searched: offsets would name a text that is gone.
            if document is None or document.version != each.passage.document_version:
                continue
            for passage in _beside(each.passage, document):
                size = count_tokens(passage.text)
                key = (passage.document_id, passage.chunk_id)
                if key in taken or size > room or not passage.text.strip():
                    continue
                taken.add(key)
                room -= size
                final = least - (len(added) + 1) * _SCORE_STEP
                added.append((ScoredPassage(passage, Scores(final=final)), each.passage.chunk_id))
        return added


def _beside(passage: Passage, document: StoredChunks) -> Iterator[Passage]:
    """Yields the chunk behind a passage and the one before it."""
    places = {chunk.chunk_id: place for place, chunk in enumerate(document.chunks)}
    place = places.get(passage.chunk_id)
    if place is None:
        return
    for beside in (place + 1, place - 1):
        if 0 <= beside < len(document.chunks):
            chunk = document.chunks[beside]
            yield replace(
                passage,
                chunk_id=chunk.chunk_id,
                ordinal=chunk.ordinal,
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
                heading_path=chunk.heading_path,
                page=chunk.page,
            )
