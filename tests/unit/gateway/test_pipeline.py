"""The stages and their order, with fakes."""

from __future__ import annotations

import asyncio
import pickle
import time
from dataclasses import replace

import pytest

from services.gateway.answer import AnswerDelta, AnswerEvent, PassagesFound
from services.gateway.pipeline.assemble import Assemble
from services.gateway.pipeline.ports import Retrieved
from services.gateway.pipeline.rag import RagPipeline
from services.gateway.pipeline.rerank import (
    DEPTH,
    MAX_PREFIX_CHARACTERS,
    Rerank,
    read_as,
    standard_scores,
)
from services.gateway.pipeline.run import Run
from services.gateway.pipeline.understand import Understand
from services.gateway.requests import (
    Mode,
    Question,
    RecommendAsk,
    SearchAsk,
    Speaker,
    Turn,
    Verification,
)
from services.gateway.usage import PriceTable
from services.generation.embedded_form import embedded_form
from services.ingestion.chunker import Chunk, embedding_text
from services.ingestion.stages.chunk import (
    MAX_PREFIX_CHARACTERS as INGESTED_PREFIX_CHARACTERS,
)
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage

AWAY = UnavailableError(Reason.NOT_READY, "away")
GRANITE = passage("Granite is hard. It forms when magma cools slowly.", "granite", final=2.0)
BASALT = passage("Basalt cools quickly at the surface.", "basalt", final=1.0)


def pipeline(
    services: FakeServices,
    seconds: float = 10.0,
    encoder: FakeServices | None = None,
    rerank_model: str = "",
) -> RagPipeline:
    prices = PriceTable(completion=2_000_000.0, currency="EUR")
    return RagPipeline(
        embedder=services,
        reranker=services,
        retriever=services,
        generator=services,
        encoder=encoder,
        prices=prices,
        seconds=seconds,
        rerank_model=rerank_model,
    )


def services() -> FakeServices:
    fake = FakeServices([GRANITE, BASALT])
    fake.pieces = ["Granite is ", "hard [1]."]
    return fake


def new_run(**options: bool) -> Run:
    return Run(SCOPE, "query", 10.0, **options)


async def test_answer_counts_and_prices() -> None:
    fake = services()
    answer = await pipeline(fake).answer(SCOPE, Question.checked("Is granite hard?"))
    assert answer.answer == "Granite is hard [1]."
    assert answer.usage.completion_tokens == 5
    assert (answer.usage.embedding_tokens, answer.usage.rerank_tokens) == (1, 1)
    assert (answer.cost.amount, answer.cost.currency) == (10.0, "EUR")
    assert answer.grounded == 1.0
    stages = sum(took for name, took in answer.timings_ms.items() if name != "total")
    assert stages <= answer.timings_ms["total"]


async def test_a_stage_is_told_with_the_wait_before_it_so_that_all_add_up() -> None:
    run = new_run()
    async with run.stage("retrieve"):
        time.sleep(0.02)
    time.sleep(0.03)
    async with run.stage("rerank"):
        pass
    timings = run.finish()
    assert timings["retrieve"] >= 20
    assert timings["rerank"] >= 30
    assert timings["retrieve"] + timings["rerank"] <= timings["total"] + 0.01


async def test_events_come_in_order_and_make_the_answer() -> None:
    events: list[AnswerEvent] = []

    async def emit(event: AnswerEvent) -> None:
        events.append(event)

    answer = await pipeline(services()).answer(SCOPE, Question.checked("x"), emit)
    assert isinstance(events[0], PassagesFound)
    deltas = [event.text for event in events[1:] if isinstance(event, AnswerDelta)]
    assert len(deltas) == len(events) - 1
    assert "".join(deltas) == answer.answer


@pytest.mark.parametrize(
    "error",
    [
        AWAY,
        ResourceExhaustedError(Reason.OVERLOADED, "full"),
        InternalError(Reason.INTERNAL, "x"),
        DeadlineExceededError(Reason.DEADLINE_EXCEEDED, "late"),
    ],
)
@pytest.mark.parametrize(
    ("stage", "step"),
    [
        ("embed", "dense_unavailable"),
        ("rerank", "rerank_skipped"),
        ("generate", "generation_unavailable"),
    ],
)
async def test_each_stage_has_its_rung(stage: str, step: str, error: ServiceError) -> None:
    fake = services()
    fake.errors[stage] = error
    answer = await pipeline(fake).answer(SCOPE, Question.checked("Is granite hard?"))
    assert answer.degraded == (step,)
    assert answer.citations
    assert answer.passages


@pytest.mark.parametrize("stage", ["embed", "rerank", "generate"])
async def test_a_slow_stage_leaves_time_for_an_answer(stage: str) -> None:
    fake = services()
    fake.delays[stage] = 30.0
    async with asyncio.timeout(5):
        answer = await pipeline(fake, seconds=0.6).answer(SCOPE, Question.checked("granite?"))
    assert len(answer.degraded) == 1
    assert answer.answer


async def test_all_rungs_at_once_still_answer() -> None:
    fake = services()
    fake.errors = {"embed": AWAY, "rerank": AWAY, "generate": AWAY}
    answer = await pipeline(fake).answer(SCOPE, Question.checked("Is granite hard?"))
    assert answer.degraded == ("dense_unavailable", "rerank_skipped", "generation_unavailable")
    assert answer.answer == f"{GRANITE.passage.text} [1]"
    assert answer.citations[0].text == GRANITE.passage.text
    assert answer.grounded == 1.0


async def test_verbatim_passage_keeps_its_own_brackets() -> None:
    text = "See [2] and [17] for granite."
    fake = FakeServices([passage(f"  {text}\n", "a", start=7)])
    fake.errors["generate"] = AWAY
    answer = await pipeline(fake).answer(SCOPE, Question.checked("granite?"))
    assert answer.answer == f"{text} [1]"
    (citation,) = answer.citations
    assert (citation.text, citation.start) == (text, 9)


async def test_without_retrieval_there_is_no_answer() -> None:
    fake = services()
    fake.errors["search"] = AWAY
    with pytest.raises(UnavailableError):
        await pipeline(fake).answer(SCOPE, Question.checked("x"))


async def test_mistakes_of_the_caller_are_not_degraded_away() -> None:
    fake = services()
    fake.errors["generate"] = NotFoundError(Reason.MODEL_NOT_FOUND, "no such model")
    with pytest.raises(NotFoundError):
        await pipeline(fake).answer(SCOPE, Question.checked("x", model="absent"))


async def test_engine_that_breaks_off_keeps_what_was_shown() -> None:
    fake = services()
    fake.errors["finish"] = AWAY
    answer = await pipeline(fake).answer(SCOPE, Question.checked("Is granite hard?"))
    assert answer.degraded == ("generation_truncated",)
    assert answer.answer == "Granite is hard [1]."
    assert answer.finish_reason == "interrupted"


async def test_an_answer_tells_that_repeated_instructions_were_left_out() -> None:
    fake = services()
    fake.left_out_repeats = 2
    answer = await pipeline(fake).answer(SCOPE, Question.checked("What were you told?"))
    assert answer.degraded == ("instructions_left_out",)


async def test_refusal_of_the_engine_has_no_citations() -> None:
    fake = services()
    fake.pieces, fake.finish_reason = ["I do not know."], "refused"
    answer = await pipeline(fake).answer(SCOPE, Question.checked("x"))
    assert (answer.refused, answer.citations, answer.answer) == (True, (), "I do not know.")


async def test_refuse_shows_nothing_that_is_not_supported() -> None:
    fake = services()
    fake.pieces = ["Elephants migrate across savannas every winter [1]."]
    shown: list[AnswerEvent] = []

    async def emit(event: AnswerEvent) -> None:
        shown.append(event)

    question = Question.checked("x", verification=Verification.REFUSE)
    answer = await pipeline(fake).answer(SCOPE, question, emit)
    assert answer.refused
    deltas = [event.text for event in shown if isinstance(event, AnswerDelta)]
    assert "".join(deltas) == answer.answer
    assert "Elephants" not in answer.answer


async def test_keyword_mode_needs_no_vectors() -> None:
    fake = services()
    await pipeline(fake).answer(SCOPE, Question.checked("x", mode=Mode.KEYWORD, rerank=False))
    names = [name for name, _ in fake.calls]
    assert names == ["search", "generate"]


async def test_search_and_recommend() -> None:
    fake = services()
    fake.late_scores = [0.0, 9.0]
    ask = SearchAsk.checked("x", rerank=True, top_k=1, explain=True)
    result = await pipeline(fake).search(SCOPE, ask)
    assert len(result.passages) == 1
    assert [each.stage for each in result.explanation] == ["retrieve", "rerank", "select"]
    like = await pipeline(fake).recommend(SCOPE, RecommendAsk.checked(positive_ids=["a"]))
    assert like.passages == (GRANITE, BASALT)


async def test_a_passage_is_reranked_as_it_was_embedded() -> None:
    titled = replace(
        GRANITE, passage=replace(GRANITE.passage, title="Rocks", heading_path=("Rocks", "Hard"))
    )
    fake = FakeServices([titled, BASALT])
    await pipeline(fake).search(SCOPE, SearchAsk.checked("x", rerank=True))
    (read,) = (texts for name, texts in fake.calls if name == "rerank")
    assert read == [f"Rocks > Hard\n{GRANITE.passage.text}", BASALT.passage.text]


@pytest.mark.parametrize(
    ("title", "headings"),
    [
        ("", ()),
        ("Rocks", ()),
        ("Rocks", ("Rocks", "Hard", "Hard")),
        ("T" * 200, ("Middle " * 9, "Leaf")),
        ("T" * 300, ("H" * 300, "Leaf")),
        ("", ("H" * 300,)),
    ],
)
def test_passages_are_read_in_the_form_that_ingestion_embeds(
    title: str, headings: tuple[str, ...]
) -> None:
    text = "Before. Granite is hard. After."
    found = replace(GRANITE.passage, title=title, heading_path=headings, text=text[8:24])
    embedded = embedding_text(
        title, Chunk(8, 24, headings), text, max_prefix_characters=INGESTED_PREFIX_CHARACTERS
    )
    assert read_as(found) == embedded
    assert embedded_form(title, headings, text[8:24]) == embedded
    assert MAX_PREFIX_CHARACTERS == INGESTED_PREFIX_CHARACTERS


async def test_token_codes_of_the_best_passages_go_to_the_reranker_and_no_further() -> None:
    fake = services()
    fake.token_codes = (b"CODES-OF-GRANITE", b"")
    ask = SearchAsk.checked("x", rerank=True, explain=True)
    result = await pipeline(fake).search(SCOPE, ask)
    (plan,) = (plan for name, plan in fake.calls if name == "search")
    assert plan.token_codes_top_k == DEPTH
    assert fake.rerank_codes == [((b"CODES-OF-GRANITE", b""), "fake")]
    (notes,) = (each.notes for each in result.explanation if each.stage == "rerank")
    assert notes == (
        "1 of 2 passages scored by stored token codes",
        "1 passages read for this request",
    )
    assert b"CODES-OF-GRANITE" not in pickle.dumps(result)


async def test_a_search_that_is_not_reranked_asks_for_no_token_codes() -> None:
    fake = services()
    await pipeline(fake).search(SCOPE, SearchAsk.checked("x"))
    await pipeline(fake).answer(SCOPE, Question.checked("x", rerank=False))
    assert [p.token_codes_top_k for name, p in fake.calls if name == "search"] == [0, 0]


async def test_codes_of_passages_without_text_stay_where_they_belong() -> None:
    blank = passage("  ", "blank", final=3.0)
    fake = FakeServices([GRANITE, blank, BASALT])
    fake.token_codes = (b"granite", b"blank", b"basalt")
    await pipeline(fake).search(SCOPE, SearchAsk.checked("x", rerank=True))
    assert fake.rerank_codes == [((b"granite", b"basalt"), "fake")]


async def test_a_configured_cross_encoder_reads_the_passages_and_orders_them() -> None:
    fake = services()
    fake.token_codes = (b"granite", b"basalt")
    fake.late_scores = [-3.0, 7.0]
    ask = SearchAsk.checked("x", rerank=True, explain=True)
    result = await pipeline(fake, rerank_model="judge").search(SCOPE, ask)
    assert fake.rerank_codes == [((), "judge")]
    assert {each.passage.document_id: each.scores.rerank for each in result.passages} == {
        GRANITE.passage.document_id: -3.0,
        BASALT.passage.document_id: 7.0,
    }
    (notes,) = (each.notes for each in result.explanation if each.stage == "rerank")
    assert notes == ("2 passages scored by judge",)
    assert result.degraded == ()


@pytest.mark.parametrize("kind", [NotFoundError, FailedPreconditionError])
async def test_without_its_cross_encoder_the_order_stays_and_that_is_told(kind) -> None:
    fake = services()
    fake.errors["rerank"] = kind(Reason.MODEL_NOT_FOUND, "not loaded")
    ask = SearchAsk.checked("x", rerank=True)
    result = await pipeline(fake, rerank_model="judge").search(SCOPE, ask)
    assert result.degraded == ("rerank_skipped",)
    assert [each.passage for each in result.passages] == [GRANITE.passage, BASALT.passage]
    with pytest.raises(kind):
        await pipeline(fake).search(SCOPE, ask)


async def test_codes_whose_model_is_gone_are_left_and_the_passages_are_read() -> None:
    fake = services()
    fake.token_codes = (b"granite", b"basalt")
    fake.errors["codes"] = NotFoundError(Reason.MODEL_NOT_FOUND, "unloaded")
    result = await pipeline(fake).search(SCOPE, SearchAsk.checked("x", rerank=True))
    assert fake.rerank_codes == [((b"granite", b"basalt"), "fake"), ((), "")]
    assert result.degraded == ()


async def test_search_reads_the_turn_before() -> None:
    fake = services()
    ask = SearchAsk.checked("How hard?", history=[Turn(Speaker.USER, "What is granite?")])
    await pipeline(fake).search(SCOPE, ask)
    (plan,) = (plan for name, plan in fake.calls if name == "search")
    assert [query.text for query in plan.queries] == ["How hard?", "What is granite? How hard?"]


async def test_collection_of_another_model_is_asked_with_its_own() -> None:
    fake = services()
    fake.errors["search"] = FailedPreconditionError(Reason.MODEL_MISMATCH, "another")
    with pytest.raises(FailedPreconditionError):
        await pipeline(fake).search(SCOPE, SearchAsk.checked("x"))
    plans = [plan for name, plan in fake.calls if name == "search"]
    assert [plan.embedding_model for plan in plans] == ["fake", "own-model"]


async def test_understand_weighs_the_last_turn() -> None:
    history = (
        Turn(Speaker.USER, "first"),
        Turn(Speaker.ASSISTANT, "answer"),
        Turn(Speaker.USER, "second"),
        Turn(Speaker.ASSISTANT, "answer"),
    )
    alone = await Understand().run(new_run(), "last")
    mixed = await Understand().run(new_run(), "last", history)
    assert [(q.text, q.weight) for q in alone] == [("last", 1.0)]
    assert [q.text for q in mixed] == ["last", "second last"]
    assert [q.weight for q in mixed] == pytest.approx([0.7, 0.3])


async def test_rerank_mixes_half_and_half_and_keeps_the_tail_behind() -> None:
    fake = FakeServices()
    head = [passage(f"text {i}", f"d{i}", final=float(DEPTH - i)) for i in range(DEPTH)]
    tail = [passage("tail", f"t{i}", final=0.0) for i in range(3)]
    fake.late_scores = [float(i) for i in range(DEPTH)]
    fake.late_scores[5] = 100.0
    result = await Rerank(fake).run(new_run(), "x", Retrieved((*head, *tail)))
    assert result[0].passage.document_id == "d5"
    assert result[0].scores.rerank == 100.0
    assert [each.passage.document_id for each in result[-3:]] == ["t0", "t1", "t2"]
    finals = [each.scores.final for each in result]
    assert finals == sorted(finals, reverse=True)
    ((_, sent),) = fake.calls
    assert len(sent) == DEPTH


def test_standard_scores_of_equal_values_are_zero() -> None:
    assert standard_scores([3.0, 3.0]) == [0.0, 0.0]
    assert sum(standard_scores([1.0, 2.0, 6.0])) == pytest.approx(0.0)


async def test_assemble_leaves_repetitions_out_and_says_so() -> None:
    text = "Granite is an igneous rock that forms when magma cools slowly below the ground."
    run = new_run(explain=True)
    candidates = (
        passage(text, "one"),
        passage(text.replace("igneous", "igneous"), "copy"),
        passage(text[20:], "one", start=20),
        passage("   ", "blank"),
        passage("Basalt cools quickly.", "two"),
        passage("Marble was limestone once.", "three"),
    )
    kept = await Assemble().run(run, candidates, 2)
    assert [each.passage.document_id for each in kept] == ["one", "two"]
    (explanation,) = run.explanations
    assert explanation.dropped["copy-0"] == "repeats one-0"
    assert explanation.dropped["one-20"] == "repeats one-0"
    assert explanation.dropped["blank-0"] == "no text"
    assert explanation.dropped["three-0"] == "beyond top_k"
    assert len(explanation.dropped) + len(kept) == len(candidates)


async def test_run_never_outlives_the_requests_deadline() -> None:
    with deadline_in(0.2):
        run = Run(SCOPE, "query", 10.0)
    assert run.total_seconds <= 0.2
    with pytest.raises(DeadlineExceededError) as caught:
        async with run.stage("retrieve", share=0.1):
            await asyncio.sleep(5)
    assert caught.value.metadata == {"stage": "retrieve"}


async def test_a_reranked_search_looks_at_more_of_each_document_than_it_gives() -> None:
    first, second = passage("one", "a", final=3.0), passage("two", "a", start=9, final=2.0)
    fake = FakeServices([first, second, BASALT])
    fake.late_scores = [0.0, 9.0, 1.0]
    ask = SearchAsk.checked("x", rerank=True, top_k=2, max_per_document=1, explain=True)
    result = await pipeline(fake).search(SCOPE, ask)
    (plan,) = (plan for name, plan in fake.calls if name == "search")
    assert (plan.top_k, plan.max_per_document) == (3 * DEPTH, 3)
    assert [each.passage.chunk_id for each in result.passages] == ["a-9", "basalt-0"]
    assert result.explanation[-1].dropped == {"a-0": "beyond max_per_document"}
