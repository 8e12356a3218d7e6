"""The last look at an answer: is it carried by what it cites?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.gateway.answer import SentenceSupport, StageExplanation
from services.gateway.pipeline.support import MIN_SUPPORT, mean_support
from services.gateway.requests import Verification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.answer import Citation
    from services.gateway.passages import ScoredPassage
    from services.gateway.pipeline.citations import CitationWriter
    from services.gateway.pipeline.generate import Draft
    from services.gateway.pipeline.run import Run

REFUSAL = "The documents do not answer this question."

_REMOVED = Counter(
    "cairn_gateway_citations_removed_total", "Markers removed from answers.", ["reason"]
)
_LINKS_REMOVED = Counter(
    "cairn_gateway_links_removed_total",
    "Images, links, tags and addresses left out of answers, for nobody gave them.",
)
_SENTENCES_REMOVED = Counter(
    "cairn_gateway_sentences_removed_total",
    "Sentences left out of answers, for nothing carried them.",
)


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer that may go out."""

    text: str
    citations: tuple[Citation, ...]
    grounded: float
    refused: bool
    finish_reason: str
    sentences: tuple[SentenceSupport, ...] = ()


class Verify:
    """Scores and, where asked to, refuses. Rung below: sentences are compared by words."""

    name = "verify"

    async def run(
        self,
        run: Run,
        draft: Draft,
        verification: Verification,
        passages: tuple[ScoredPassage, ...],
    ) -> Verified:
        """Returns the draft as it may go out.

        Args:
            run: The request.
            draft: What was written.
            verification: What becomes of what its passages do not carry.
            passages: What it was written from.
        """
        writer = draft.writer
        async with run.stage(self.name) as span:
            for reason, count in writer.removed.items():
                _REMOVED.labels(reason).inc(count)
            _LINKS_REMOVED.inc(writer.links_removed)
            _SENTENCES_REMOVED.inc(writer.sentences_removed)
            span.set_attribute("cairn.citation.count", len(writer.citations))
            span.set_attribute("cairn.citation.removed_count", sum(writer.removed.values()))
            if draft.finish_reason == "refused" or not writer.text.strip():
                text = writer.text.strip() or REFUSAL
                return Verified(text, (), 0.0, refused=True, finish_reason="refused")
            claims = writer.sentence_claims()
            await draft.grounding.learn(each[:2] for each in claims if each.source)
            scores = [
                draft.grounding.support(each.sentence, each.source) if each.source else 0.0
                for each in claims
            ]
            run.explain_stage(StageExplanation(self.name, passages, notes=_notes(scores, writer)))
            scored = zip((each.sentence for each in claims), scores, strict=True)
            grounded = round(mean_support(scored), 4)
            if verification is Verification.REFUSE and (not scores or min(scores) < MIN_SUPPORT):
                return Verified(REFUSAL, (), grounded, refused=True, finish_reason="refused")
            return Verified(
                writer.text,
                tuple(writer.citations),
                grounded,
                refused=False,
                finish_reason=draft.finish_reason,
                sentences=tuple(
                    SentenceSupport(each.start, each.end, round(score, 4))
                    for each, score in zip(claims, scores, strict=True)
                ),
            )


def _notes(scores: Sequence[float], writer: CitationWriter) -> tuple[str, ...]:
    """Returns how well each sentence is carried, and what was taken out."""
    return (
        *(f"sentence {place}: support {score:.2f}" for place, score in enumerate(scores, start=1)),
        *(f"markers removed, {reason}: {count}" for reason, count in writer.removed.items()),
        *((f"links removed: {writer.links_removed}",) if writer.links_removed else ()),
        *((f"sentences removed: {writer.sentences_removed}",) if writer.sentences_removed else ()),
    )
