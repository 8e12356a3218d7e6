"""The last look at an answer: is it carried by what it cites?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.gateway.pipeline.support import MIN_SUPPORT, mean_support
from services.gateway.requests import Verification

if TYPE_CHECKING:
    from services.gateway.answer import Citation
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


@dataclass(frozen=True, slots=True)
class Verified:
    """An answer that may go out."""

    text: str
    citations: tuple[Citation, ...]
    grounded: float
    refused: bool
    finish_reason: str


class Verify:
    """Scores and, where asked to, refuses. Rung below: sentences are compared by words."""

    name = "verify"

    async def run(self, run: Run, draft: Draft, verification: Verification) -> Verified:
        """Returns the draft as it may go out."""
        writer = draft.writer
        async with run.stage(self.name) as span:
            for reason, count in writer.removed.items():
                _REMOVED.labels(reason).inc(count)
            _LINKS_REMOVED.inc(writer.links_removed)
            span.set_attribute("cairn.citation.count", len(writer.citations))
            span.set_attribute("cairn.citation.removed_count", sum(writer.removed.values()))
            if draft.finish_reason == "refused" or not writer.text.strip():
                text = writer.text.strip() or REFUSAL
                return Verified(text, (), 0.0, refused=True, finish_reason="refused")
            claims = writer.sentence_claims()
            await draft.grounding.learn(claim for claim in claims if claim[1])
            scores = [draft.grounding.support(*each) if each[1] else 0.0 for each in claims]
            scored = zip((sentence for sentence, _ in claims), scores, strict=True)
            grounded = round(mean_support(scored), 4)
            if verification is Verification.REFUSE and (not scores or min(scores) < MIN_SUPPORT):
                return Verified(REFUSAL, (), grounded, refused=True, finish_reason="refused")
            return Verified(
                writer.text,
                tuple(writer.citations),
                grounded,
                refused=False,
                finish_reason=draft.finish_reason,
            )
