"""The passages an answer is written from: the best ones, none of them twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.answer import StageExplanation
from services.gateway.pipeline.untrusted import count_signals
from services.gateway.pipeline.words import content_words

if TYPE_CHECKING:
    from services.gateway.passages import Passage, ScoredPassage
    from services.gateway.pipeline.run import Run

OVERLAP = 0.5
"""Share of the shorter passage that two passages of one document may have in common."""

LIKENESS = 0.9
"""Share of words (Jaccard) from which passages of different documents count as the same."""


class Assemble:
    """Picks passages. Needs no other service."""

    name = "assemble"

    async def run(
        self, run: Run, candidates: tuple[ScoredPassage, ...], top_k: int
    ) -> tuple[ScoredPassage, ...]:
        """Returns up to `top_k` passages, best first, leaving out repetitions and empty ones."""
        kept: list[ScoredPassage] = []
        kept_words: list[frozenset[str]] = []
        dropped: dict[str, str] = {}
        async with run.stage(self.name) as stage:
            for candidate in candidates:
                passage = candidate.passage
                if len(kept) == top_k:
                    dropped[passage.chunk_id] = "beyond top_k"
                    continue
                if not passage.text.strip():
                    dropped[passage.chunk_id] = "no text"
                    continue
                words = frozenset(content_words(passage.text))
                twin = next(
                    (
                        each.passage.chunk_id
                        for each, each_words in zip(kept, kept_words, strict=True)
                        if _same(passage, words, each.passage, each_words)
                    ),
                    None,
                )
                if twin is not None:
                    dropped[passage.chunk_id] = f"repeats {twin}"
                    continue
                kept.append(candidate)
                kept_words.append(words)
            # Whatever a passage says, it is data; who looks after the documents wants to know.
            flagged = count_signals((each.passage.chunk_id, each.passage.text) for each in kept)
            stage.set_attribute("cairn.passage.flagged_count", len(flagged))
        notes = tuple(f"flagged {name}: {', '.join(found)}" for name, found in flagged.items())
        run.explain_stage(StageExplanation(self.name, tuple(kept), dropped, notes))
        return tuple(kept)


def _same(
    one: Passage, one_words: frozenset[str], other: Passage, other_words: frozenset[str]
) -> bool:
    if (one.collection, one.document_id) == (other.collection, other.document_id):
        if one.chunk_id == other.chunk_id:
            return True
        common = min(one.end, other.end) - max(one.start, other.start)
        shorter = min(one.end - one.start, other.end - other.start)
        return shorter > 0 and common > OVERLAP * shorter
    if one.text == other.text:
        return True
    fewer, more = sorted((len(one_words), len(other_words)))
    if not fewer or fewer < LIKENESS * more:  # so different in size that no comparing is needed
        return False
    common = len(one_words & other_words)
    return common >= LIKENESS * (fewer + more - common)
