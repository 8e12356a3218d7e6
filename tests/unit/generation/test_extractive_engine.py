"""Answers made of verbatim sentences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from services.generation.engine import FinishReason, Passage, QuotedSpan, Sampling
from services.generation.extractive_engine import (
    MAX_ANSWER_WORDS,
    MAX_SCORED,
    ExtractiveEngine,
    SpanContext,
    SpanScores,
)
from services.generation.prompt import REFUSAL
from services.generation.sentences import count_words
from services.rpc.deadline import deadline_in
from services.rpc.errors import CancelledCallError, Reason, ServiceError, UnavailableError
from services.rpc.scope import Scope
from tests.kit.generation_requests import SCOPE, ask, run

GUIDE = (
    "# Start\n\nRun `make demo` to start everything. It takes a minute.\n\n"
    "- Press Ctrl-C to stop.\n- Logs are in the folder.[3]\n"
)
STORE = "Cairn stores rows in SQLite. The FAISS index is a view that can be rebuilt."


class FakeScorer:
    """Scores a text by whether it holds a phrase."""

    def __init__(self, *phrases: str, failure: ServiceError | None = None) -> None:
        self._phrases = phrases
        self._failure = failure
        self.calls: list[tuple[Scope, str, list[float], list[str]]] = []

    async def score(
        self,
        scope: Scope,
        question: str,
        word_weights: Sequence[float],
        texts: Sequence[str],
        contexts: Sequence[SpanContext | None],
    ) -> SpanScores:
        self.calls.append((scope, question, list(word_weights), list(texts)))
        self.contexts = list(contexts)
        if self._failure is not None:
            raise self._failure
        held = [sum(phrase in text for phrase in self._phrases) for text in texts]
        return SpanScores([0.9 if count else 0.1 for count in held], 42)


def engine(scorer: FakeScorer | None) -> ExtractiveEngine:
    return ExtractiveEngine(scorer, min_support=0.5, min_overlap=0.3)


def quotes(spans: Sequence[QuotedSpan], *passages: str) -> list[str]:
    return [passages[each.passage_index][each.start : each.end] for each in spans]


async def test_the_best_sentence_is_quoted_verbatim_with_a_marker() -> None:
    scorer = FakeScorer("FAISS")
    deltas, outcome = await run(engine(scorer), ask("What is FAISS?", GUIDE, STORE, stream=True))

    assert outcome.text == "The FAISS index is a view that can be rebuilt. [1]"
    assert quotes(outcome.quoted_spans, GUIDE, STORE) == [
        "The FAISS index is a view that can be rebuilt."
    ]
    assert outcome.finish_reason is FinishReason.STOP
    assert "".join(each.text for each in deltas) == outcome.text
    assert outcome.usage.rerank_tokens == 42
    assert outcome.usage.completion_tokens > 5


async def test_the_scorer_is_asked_once_with_one_weight_per_word() -> None:
    scorer = FakeScorer("FAISS")
    await run(engine(scorer), ask("What is  the FAISS index?", *[STORE] * 30))

    ((scope, question, weights, texts),) = scorer.calls
    assert scope == SCOPE
    assert len(weights) == len(question.split())
    assert len(texts) == MAX_SCORED


async def test_candidates_are_shown_where_they_stand_in_passages_with_token_codes() -> None:
    coded = Passage(STORE, "Store", heading_path=("Index",), token_codes=b"codes")
    scorer = FakeScorer("FAISS")
    await run(engine(scorer), ask("What is the FAISS index?", coded, GUIDE))

    ((_, _, _, texts),) = scorer.calls
    assert {context is None for context in scorer.contexts} == {True, False}
    for text, context in zip(texts, scorer.contexts, strict=True):
        if context is None:
            assert text in GUIDE
        else:
            assert context.passage == f"Store > Index\n{STORE}"
            assert context.passage[context.start : context.end] == text
            assert context.token_codes == b"codes"


async def test_two_passages_give_two_markers_within_the_bounds_of_an_answer() -> None:
    scorer = FakeScorer("Ctrl-C", "FAISS")
    _, outcome = await run(engine(scorer), ask("Ctrl-C FAISS", GUIDE, STORE))

    assert [each.marker for each in outcome.quoted_spans] == [1, 2]
    assert set(quotes(outcome.quoted_spans, GUIDE, STORE)) == {
        "Press Ctrl-C to stop.",
        "The FAISS index is a view that can be rebuilt.",
    }
    assert "[1]" in outcome.text
    assert "[2]" in outcome.text
    assert count_words(outcome.text) <= MAX_ANSWER_WORDS + 2


async def test_the_same_sentence_is_not_quoted_twice() -> None:
    wrapped = STORE.replace(" index", "\nindex")
    _, outcome = await run(engine(FakeScorer("FAISS")), ask("FAISS", STORE, STORE, wrapped))

    assert len(outcome.quoted_spans) == 1


async def test_the_question_itself_is_no_answer() -> None:
    page = "What is FAISS? The FAISS index is a view."
    _, outcome = await run(engine(FakeScorer("FAISS")), ask("what is FAISS", page))

    assert outcome.text == "The FAISS index is a view. [1]"


@pytest.mark.parametrize("passages", [(STORE,), ("# Only a heading",), ("!!! ---",)])
async def test_what_the_passages_do_not_answer_is_refused(passages: tuple[str, ...]) -> None:
    deltas, outcome = await run(
        engine(FakeScorer("nothing")), ask("Who won in 1998?", *passages, stream=True)
    )

    assert outcome.finish_reason is FinishReason.REFUSED
    assert outcome.text == REFUSAL == "".join(each.text for each in deltas)
    assert outcome.quoted_spans == ()


@pytest.mark.parametrize(
    ("scorer", "reason"),
    [
        (None, "embedding_unconfigured"),
        (
            FakeScorer(failure=UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down")),
            "embedding_unavailable",
        ),
    ],
)
async def test_without_the_scorer_words_decide_and_the_outcome_says_so(
    scorer: FakeScorer | None, reason: str
) -> None:
    _, answered = await run(engine(scorer), ask("What is the FAISS index?", GUIDE, STORE))
    _, refused = await run(engine(scorer), ask("Who painted Guernica?", GUIDE, STORE))

    assert quotes(answered.quoted_spans, GUIDE, STORE) == [
        "The FAISS index is a view that can be rebuilt."
    ]
    assert answered.degraded_reason == reason
    assert refused.finish_reason is FinishReason.REFUSED


async def test_a_near_deadline_leaves_the_scorer_out() -> None:
    scorer = FakeScorer("FAISS")
    with deadline_in(0.05):
        _, outcome = await run(engine(scorer), ask("What is the FAISS index?", STORE))

    assert scorer.calls == []
    assert outcome.degraded_reason == "deadline_near"
    assert outcome.finish_reason is FinishReason.STOP


async def test_a_cancel_is_not_taken_for_an_outage() -> None:
    scorer = FakeScorer(failure=CancelledCallError(Reason.CANCELLED, "gone"))
    with pytest.raises(CancelledCallError):
        await run(engine(scorer), ask("FAISS", STORE))


async def test_references_of_the_source_cannot_pass_for_markers() -> None:
    text = "The index [1] is a view [2] of rows, see [12]. Other things happen."
    _, outcome = await run(engine(FakeScorer("index")), ask("What is the index?", text))

    assert outcome.text.startswith("The index is a view of rows, see.")
    assert outcome.text.count("[") == 1
    (span,) = outcome.quoted_spans
    assert text[span.start : span.end].startswith("The index [1] is a view [2] of rows, see [12]")


async def test_the_token_limit_cuts_the_span_and_its_text_alike() -> None:
    request = ask("What is FAISS?", STORE, sampling=Sampling(max_tokens=4))
    _, outcome = await run(engine(FakeScorer("FAISS")), request)

    assert outcome.text == "The FAISS index is [1]"
    assert quotes(outcome.quoted_spans, STORE) == ["The FAISS index is"]
    assert outcome.finish_reason is FinishReason.LENGTH


async def test_a_stop_string_ends_the_text_before_it() -> None:
    request = ask("What is FAISS?", STORE, sampling=Sampling(stop=(" is a",)))
    _, outcome = await run(engine(FakeScorer("FAISS")), request)

    assert quotes(outcome.quoted_spans, STORE) == ["The FAISS index"]


@pytest.mark.parametrize("prefix", ["", "🙂 e\u0301 ", "日本語。"])
async def test_offsets_are_code_points(prefix: str) -> None:
    text = f"{prefix}\n\n- 🙂 The FAISS index is a view 🙂."
    _, outcome = await run(engine(FakeScorer("FAISS")), ask("FAISS index?", text))

    assert quotes(outcome.quoted_spans, text) == ["🙂 The FAISS index is a view 🙂."]


async def test_a_huge_passage_is_read_in_part() -> None:
    text = STORE + " Word" + " word" * 500_000
    _, outcome = await run(engine(FakeScorer("FAISS")), ask("FAISS", Passage(text)))

    assert quotes(outcome.quoted_spans, text) == ["The FAISS index is a view that can be rebuilt."]
