"""How well sources carry a sentence by meaning: late interaction, and numbers checked.

Each word of the sentence looks for its like among the contextual token vectors of the sources'
sentences; the mean of the best cosines (MaxSim) follows people's judgement of faithfulness best of
what was measured (`docs/quality.md`). A number that no source has caps it: likeness does not see
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from prometheus_client import Counter

from services.gateway.pipeline.run import OUTAGES
from services.gateway.pipeline.support import INVENTED_NUMBER_SUPPORT, is_copied, support
from services.gateway.pipeline.words import known_numbers, numbers, sentence_spans
from services.rpc.metrics import series
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.gateway.pipeline.ports import TokenEncoder
    from services.gateway.pipeline.run import Run

STEP = "grounding_by_words"
"""Degradation: sentences were compared with their sources by words only."""

SHARE = 0.15
"""Part of the whole deadline that one comparison of an answer may take."""

LEAST_LIKENESS = 0.45
MOST_LIKENESS = 0.9
"""MaxSim of sentences that a source does not carry at all, and of those it says in other words:
0 and 1 of support."""

MAX_SENTENCES = 64
"""Sentences of an answer that are compared by meaning; more are compared by words."""

_SENTENCE_CHARACTERS = 800
"""What is encoded as one sentence; longer runs without a sentence's end are cut."""
_MAX_SOURCE_SENTENCES = 1_000
_BATCH_TEXTS = 128

_COMPARED = Counter(
    "cairn_gateway_grounding_sentences_total",
    "Sentences compared with their sources, by the way it was done.",
    ["way"],
)


class Grounding:
    """Compares the sentences of one answer with sources. Rung below: by words.

    Answers from before `learn` are by words; it fetches what meaning says, and later ones are by
    meaning.

    Args:
        encoder: Gives token vectors; None: by words only.
        run: The request.
        share: Part of the whole deadline that one comparison may take, 0..1.
    """

    def __init__(self, encoder: TokenEncoder | None, run: Run, share: float = SHARE) -> None:
        self._encoder = encoder
        self._share = share
        self._run = run
        self._known: dict[tuple[str, str], float] = {}
        self._by_words: set[tuple[str, str]] = set()
        self._rows: dict[str, NDArray] = {}

    def support(self, sentence: str, source: str) -> float:
        """Returns how well `source` carries `sentence`, 0..1; 1 for a verbatim copy."""
        known = self._known.get((sentence, source))
        return support(sentence, source) if known is None else known

    async def learn(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Compares sentences with their sources by meaning; does nothing in an outage."""
        pending = [
            pair
            for pair in dict.fromkeys(pairs)
            if not self._has_compared(pair) and all(map(str.strip, pair)) and not is_copied(*pair)
        ]
        is_away = self._encoder is None or STEP in self._run.degraded
        chosen = [] if is_away else pending[:MAX_SENTENCES]
        try:
            if chosen:
                await self._compare(chosen)
        except OUTAGES:
            self._run.degrade(STEP)
            chosen = []
        by_words = pending[len(chosen) :]
        self._by_words.update(by_words)
        if pending:
            series(_COMPARED, "meaning").inc(len(chosen))
            series(_COMPARED, "words").inc(len(by_words))

    def _has_compared(self, pair: tuple[str, str]) -> bool:
        return pair in self._known or pair in self._by_words

    async def _compare(self, pairs: Sequence[tuple[str, str]]) -> None:
        parts = {source: sentences_of(source) for _, source in pairs}
        texts = dict.fromkeys(sentence for sentence, _ in pairs)
        texts |= dict.fromkeys(part for each in parts.values() for part in each)
        await self._encode([text for text in texts if text not in self._rows])
        for sentence, source in pairs:
            likeness = max_similarity(
                self._rows[sentence], [self._rows[part] for part in parts[source]]
            )
            self._known[sentence, source] = carried(sentence, source, likeness)

    async def _encode(self, texts: Sequence[str]) -> None:
        if not texts:
            return
        assert self._encoder is not None
        run = self._run
        with span("ground", attributes={"cairn.text.count": len(texts)}):
            async with run.within(run.share_seconds(self._share), "ground"):
                for first in range(0, len(texts), _BATCH_TEXTS):
                    batch = texts[first : first + _BATCH_TEXTS]
                    encoded = await self._encoder.encode_tokens(run.scope, batch)
                    run.usage += encoded.usage
                    self._rows |= dict(zip(batch, encoded.rows, strict=True))


def carried(sentence: str, source: str, likeness: float) -> float:
    """Returns the support, 0..1, of a sentence of that MaxSim to its source."""
    scaled = (likeness - LEAST_LIKENESS) / (MOST_LIKENESS - LEAST_LIKENESS)
    scaled = min(1.0, max(0.0, scaled))
    if numbers(sentence) - known_numbers(source):
        return min(scaled, INVENTED_NUMBER_SUPPORT)
    return scaled


def max_similarity(sentence: NDArray, parts: Sequence[NDArray]) -> float:
    """Returns the mean over the sentence's tokens of the best cosine in any part of the source.

    Args:
        sentence: (tokens, dimensions), rows of length 1.
        parts: The same for each sentence of the source; 0 where nothing has a row.
    """
    import numpy as np  # noqa: PLC0415 - copied answers do without it

    rows = [part for part in parts if len(part)]
    if not len(sentence) or not rows:
        return 0.0
    best = (sentence @ np.concatenate(rows).T).max(axis=1)
    return float(best.mean())


def sentences_of(text: str) -> list[str]:
    """Cuts a text into its sentences, each of which is encoded by itself.

    Compared with sentences encoded by themselves, people's judgement is followed better than with
    vectors that have seen the whole passage (Spearman .63 against .50, `docs/quality.md`).
    """
    return [
        text[first : min(stop, first + _SENTENCE_CHARACTERS)]
        for start, stop in sentence_spans(text)
        for first in range(start, stop, _SENTENCE_CHARACTERS)
    ][:_MAX_SOURCE_SENTENCES]
