"""Answers with verbatim sentences of the passages.

No language model, always grounded: the last rung of any chain. A candidate is one sentence, or two
adjacent ones of a passage. Candidates are narrowed by word overlap, then scored by the embedding
service (late interaction, words weighted by rarity; within their passage where its token vectors
are stored, by themselves where not). `docs/decisions/0006-generation-engines.md`
has the measurements behind the constants.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.generation.embedded_form import embedded_form
from services.generation.engine import (
    Delta,
    FinishReason,
    GenerationRequest,
    ModelInfo,
    Outcome,
    Passage,
    QuotedSpan,
    Timings,
    TokenUsage,
    no_adapters,
)
from services.generation.lexical import TermWeights
from services.generation.prompt import REFUSAL
from services.generation.sentences import BlockKind, Sentence, count_words, split_sentences
from services.rpc.deadline import remaining_seconds
from services.rpc.errors import Code, ServiceError
from services.rpc.scope import Scope

MODEL = "extractive-1"
MAX_ANSWER_WORDS = 60
MAX_ANSWER_SENTENCES = 2
MAX_SPANS = 3
MAX_SCORED = 24
"""Candidates that are scored: 12 lose .4 points of extraction, 24 nothing (measured)."""
MAX_PASSAGE_CHARACTERS = 20_000
"""What is read of one passage: bounds the work; a chunk has about 1,000."""

_INLINE_CHARACTERS = 8_000
"""Passages of fewer characters are cut into sentences in the loop: a millisecond, while a thread
there and back takes a quarter of one."""
_LEXICAL_SHARE = 0.1
_PAIR_PENALTY = 0.03
_FURTHER_SPAN_SHARE = 0.8
_RANK_PENALTY = 0.03
_LATE_RESERVE_SECONDS = 0.1
_REFERENCE = re.compile(r"\s*\[\d{1,3}\]")
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class SpanScores:
    """What the scorer found."""

    scores: Sequence[float]
    """One per text: mean similarity over the question's weighted words, at most 1."""
    tokens: int
    """Tokens it read."""


@dataclass(frozen=True, slots=True)
class SpanContext:
    """The passage that a text is a stretch of, where its token vectors are stored."""

    passage: str
    """In the form it was embedded in."""
    token_codes: bytes
    start: int
    """First character of the text in it."""
    end: int


class SpanScorer(Protocol):
    """Says how well texts answer a question."""

    async def score(
        self,
        scope: Scope,
        question: str,
        word_weights: Sequence[float],
        texts: Sequence[str],
        contexts: Sequence[SpanContext | None],
    ) -> SpanScores:
        """Scores texts against a question.

        Args:
            scope: Caller.
            question: The question.
            word_weights: One per whitespace-separated word of it.
            texts: Candidates.
            contexts: Where each stands, to score it as it reads there; None: by itself.

        Raises:
            ServiceError: The scorer cannot answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage_index: int
    start: int
    end: int
    sentences: int
    words: int
    text: str


class ExtractiveEngine:
    """See the module's text.

    Args:
        scorer: Scores spans; None: word overlap only.
        min_support: Least score of the best span; below it the engine refuses.
        min_overlap: The same for word overlap, when the scorer cannot be reached.
    """

    name = "extractive"

    def __init__(
        self, scorer: SpanScorer | None, *, min_support: float, min_overlap: float
    ) -> None:
        self._scorer = scorer
        self._min_support = min_support
        self._min_overlap = min_overlap

    def model_info(self) -> ModelInfo:
        """Describes the method as a model."""
        return ModelInfo(MODEL, self.name, 0, is_ready=True)

    def unsupported(self, request: GenerationRequest) -> str:
        """Needs passages to copy from, and cannot shape what it copies."""
        if not request.passages:
            return (
                "the extractive engine only copies from passages; send passages, or configure the "
                "vllm or openai engine for plain chat"
            )
        if request.structured_output is not None:
            return "the extractive engine copies sentences and cannot give them a structured form"
        if request.sampling.logprobs:
            return "the extractive engine picks no tokens and has no log-probabilities"
        if request.adapter:
            return no_adapters(self.name).message
        return ""

    async def start(self) -> None:
        """Has nothing to load."""

    async def wait_dead(self) -> None:
        """Cannot die."""
        await asyncio.Event().wait()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Delta | Outcome, None]:
        """Picks sentences; yields them at once when streaming: they are found at once."""
        began = time.monotonic()
        if sum(len(each.text) for each in request.passages) <= _INLINE_CHARACTERS:
            candidates, weights = _candidates(request)
        else:
            candidates, weights = await asyncio.to_thread(_candidates, request)
        overlaps = weights.overlap(request.question, [each.text for each in candidates])
        shortlist = _shortlist(candidates, overlaps)
        supports, threshold, tokens, degraded = await self._supports(request, weights, shortlist)
        picked = _pick(shortlist, supports) if shortlist else []
        scored = time.monotonic()
        best = picked[0][1] if picked else 0.0
        if request.min_support is not None and not degraded:
            threshold = request.min_support  # it was found with the scorer
        if not picked or best < threshold:
            pieces, spans, reason = [REFUSAL], (), FinishReason.REFUSED
        else:
            pieces, spans, reason = _answer(picked, request)
        text = "".join(pieces)
        if request.stream and text:
            yield Delta(text)
        read = [request.question, *(passage.text for passage in request.passages)]
        yield Outcome(
            reason,
            text,
            TokenUsage(
                prompt_tokens=sum(map(_count_tokens, read)),
                completion_tokens=_count_tokens(text),
                rerank_tokens=tokens,
            ),
            spans,
            Timings(0.0, scored - began, time.monotonic() - scored),
            degraded,
            support=min(1.0, best),
        )

    async def _supports(
        self,
        request: GenerationRequest,
        weights: TermWeights,
        shortlist: Sequence[tuple[_Candidate, float]],
    ) -> tuple[list[float], float, int, str]:
        """Returns supports (0..1, one per candidate), threshold, tokens read, what was missing."""
        overlaps = [overlap for _, overlap in shortlist]
        if not shortlist:
            return [], self._min_overlap, 0, ""
        left = remaining_seconds()
        if self._scorer is None:
            return overlaps, self._min_overlap, 0, "embedding_unconfigured"
        if left is not None and left < _LATE_RESERVE_SECONDS:
            return overlaps, self._min_overlap, 0, "deadline_near"
        try:
            scored = await self._scorer.score(
                request.scope,
                request.question,
                weights.query_word_weights(request.question),
                [candidate.text for candidate, _ in shortlist],
                _contexts(request, [candidate for candidate, _ in shortlist]),
            )
        except ServiceError as error:
            if error.code == Code.CANCELLED:
                raise
            return overlaps, self._min_overlap, 0, "embedding_unavailable"
        supports = [
            (1 - _LEXICAL_SHARE) * min(1.0, max(0.0, score)) + _LEXICAL_SHARE * overlap
            for score, overlap in zip(scored.scores, overlaps, strict=True)
        ]
        return supports, self._min_support, scored.tokens, ""

    async def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Counts words and punctuation marks: what this engine calls a token."""
        return [_count_tokens(text) for text in texts]

    async def load_adapter(self, name: str, source: str) -> None:
        """Has none."""
        raise no_adapters(self.name)

    async def unload_adapter(self, name: str) -> None:
        """Has none."""
        raise no_adapters(self.name)

    async def close(self) -> None:
        """Holds nothing."""


def _count_tokens(text: str) -> int:
    return sum(1 for _ in _TOKEN.finditer(text))


def _candidates(request: GenerationRequest) -> tuple[list[_Candidate], TermWeights]:
    """Returns every sentence and pair of adjacent sentences, and weights over the sentences."""
    candidates: list[_Candidate] = []
    texts: list[str] = []
    pairs: list[tuple[str, str, str]] = []
    question = _words(request.question)
    for index, passage in enumerate(request.passages):
        sentences = split_sentences(passage.text[:MAX_PASSAGE_CHARACTERS])
        texts.extend(passage.text[each.start : each.end] for each in sentences)
        candidates.extend(_of_passage(index, passage, sentences, question))
        pairs.extend(
            (
                passage.text[first.start : first.end],
                passage.text[first.end : second.start],
                passage.text[second.start : second.end],
            )
            for first, second in itertools.pairwise(sentences)
        )
    weights = TermWeights(texts, request.question)
    for first, gap, second in pairs:
        weights.note_pair(first, gap, second)
    return candidates, weights


def _of_passage(
    index: int, passage: Passage, sentences: Sequence[Sentence], question: list[str]
) -> list[_Candidate]:
    found: list[_Candidate] = []

    def add(start: int, end: int, count: int) -> None:
        text = passage.text[start:end]
        words = count_words(text)
        if words <= MAX_ANSWER_WORDS or count == 1:
            found.append(_Candidate(index, start, end, count, words, text))

    for number, sentence in enumerate(sentences):
        if sentence.kind is BlockKind.HEADING:
            continue  # names a topic, says nothing about it
        if _words(passage.text[sentence.start : sentence.end]) == question:
            continue  # nothing is as similar to the question as the question itself
        add(sentence.start, sentence.end, 1)
        following = sentences[number + 1] if number + 1 < len(sentences) else None
        if following is not None and _may_join(sentence, following):
            add(sentence.start, following.end, 2)
    return found


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _may_join(first: Sentence, second: Sentence) -> bool:
    """Whether two adjacent sentences read as one text: same block, or a paragraph and the next."""
    return first.block == second.block or first.kind is second.kind is BlockKind.PROSE


def _contexts(
    request: GenerationRequest, candidates: Sequence[_Candidate]
) -> list[SpanContext | None]:
    """Returns where the candidates stand in passages with stored token vectors."""
    forms = [
        embedded_form(each.title, each.heading_path, each.text) if each.token_codes else ""
        for each in request.passages
    ]
    contexts: list[SpanContext | None] = []
    for candidate in candidates:
        passage, form = request.passages[candidate.passage_index], forms[candidate.passage_index]
        shift = len(form) - len(passage.text)
        span = SpanContext(
            form, passage.token_codes, shift + candidate.start, shift + candidate.end
        )
        contexts.append(span if passage.token_codes else None)
    return contexts


def _shortlist(
    candidates: Sequence[_Candidate], overlaps: Sequence[float]
) -> list[tuple[_Candidate, float]]:
    """Returns the candidates worth scoring, with their overlap: by it and the passages' order."""
    ranked = sorted(
        zip(candidates, overlaps, strict=True),
        key=lambda pair: (_RANK_PENALTY * pair[0].passage_index - pair[1], pair[0].start),
    )
    return ranked[:MAX_SCORED]


def _pick(
    shortlist: Sequence[tuple[_Candidate, float]], supports: Sequence[float]
) -> list[tuple[_Candidate, float]]:
    """Returns one to three disjoint spans, best first, within the bounds of an answer."""

    def worth(item: tuple[_Candidate, float]) -> float:
        return item[1] - (_PAIR_PENALTY if item[0].sentences > 1 else 0.0)

    scored = [(each, support) for (each, _), support in zip(shortlist, supports, strict=True)]
    ranked = sorted(scored, key=worth, reverse=True)
    picked = [ranked[0]]
    for candidate, support in ranked[1:]:
        if (
            len(picked) == MAX_SPANS
            or worth((candidate, support)) < worth(ranked[0]) * _FURTHER_SPAN_SHARE
        ):
            break
        chosen = [each for each, _ in picked]
        if sum(each.sentences for each in chosen) + candidate.sentences > MAX_ANSWER_SENTENCES:
            continue
        if sum(each.words for each in chosen) + candidate.words > MAX_ANSWER_WORDS:
            continue
        if not any(_repeats(candidate, each) for each in chosen):
            picked.append((candidate, support))
    return picked


def _repeats(candidate: _Candidate, chosen: _Candidate) -> bool:
    """Whether the candidate shares characters with a chosen span, or says the same elsewhere."""
    if candidate.passage_index == chosen.passage_index:
        return candidate.start < chosen.end and candidate.end > chosen.start
    said, other = " ".join(_words(candidate.text)), " ".join(_words(chosen.text))
    return said in other or other in said  # however the lines are broken


def _answer(
    picked: Sequence[tuple[_Candidate, float]], request: GenerationRequest
) -> tuple[list[str], tuple[QuotedSpan, ...], FinishReason]:
    """Returns the answer's pieces with their markers, the spans, and why the text ended."""
    pieces: list[str] = []
    spans: list[QuotedSpan] = []
    reason = FinishReason.STOP
    left = request.sampling.max_tokens
    for marker, (candidate, support) in enumerate(picked, start=1):
        text, is_stopped = _before_stop(candidate.text, request.sampling.stop)
        if left is not None:
            cut = _first_tokens(text, left)
            left -= _count_tokens(cut)
            if len(cut) < len(text):
                text, reason = cut, FinishReason.LENGTH
        if text:
            # References of the source such as "[3]" would read as markers of this answer.
            shown = _REFERENCE.sub("", text)
            pieces.append(f"{' ' if pieces else ''}{shown} [{marker}]")
            end = candidate.start + len(text)
            spans.append(
                QuotedSpan(marker, candidate.passage_index, candidate.start, end, min(1.0, support))
            )
        if is_stopped or reason is FinishReason.LENGTH:
            break
    return pieces, tuple(spans), reason


def _before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Returns the text before the first stop string, and whether there was one."""
    found = [position for stop in stops if (position := text.find(stop)) >= 0]
    return (text[: min(found)].rstrip(), True) if found else (text, False)


def _first_tokens(text: str, count: int) -> str:
    """Returns the longest beginning of `text` with at most `count` tokens."""
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number == count:
            return text[: token.start()].rstrip()
    return text
