"""What is made of a question before it is looked for: its language, its readings."""

from __future__ import annotations

import asyncio
import math

import pytest

from services.gateway.pipeline.rag import RagPipeline
from services.gateway.pipeline.rewrite import STEP, WEIGHT, one_line
from services.gateway.pipeline.understand import LAST_TURN_WEIGHT
from services.gateway.requests import Question, SearchAsk, Speaker, Turn
from services.gateway.usage import PriceTable
from services.rpc.errors import NotFoundError, Reason, ServiceError, UnavailableError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage

GERMAN = "Wie entsteht Granit und warum ist er so hart?"
TURNS = (Turn(Speaker.USER, "What is granite?"), Turn(Speaker.ASSISTANT, "A rock."))


def pipeline(fake: FakeServices, model: str = "writer", seconds: float = 10.0) -> RagPipeline:
    return RagPipeline(
        embedder=fake,
        reranker=fake,
        retriever=fake,
        generator=fake,
        prices=PriceTable(),
        rewrite_model=model,
        seconds=seconds,
    )


def services(rewritten: str = "How does granite form?") -> FakeServices:
    fake = FakeServices([passage("Granite is hard.", "a"), passage("Basalt is dark.", "b")])
    fake.pieces, fake.rewritten = ["Granite is hard [1]."], rewritten
    return fake


def searched(fake: FakeServices) -> list[tuple[str, float]]:
    (plan,) = (what for name, what in fake.calls if name == "search")
    assert math.isclose(sum(each.weight for each in plan.queries), 1.0)
    return [(each.text, round(each.weight, 4)) for each in plan.queries]


async def test_what_was_understood_is_explained_with_the_candidates() -> None:
    question = Question.checked(GERMAN, history=TURNS, explain=True)
    answer = await pipeline(services()).answer(SCOPE, question)
    notes = answer.explanation[0].notes
    assert "language: de" in notes
    assert "rewritten: How does granite form?" in notes
    assert answer.degraded == ()
    assert {"understand", "rewrite"} <= answer.timings_ms.keys()
    assert answer.usage.prompt_tokens == 7


async def test_the_question_itself_is_always_looked_for_beside_its_rewriting() -> None:
    fake = services()
    await pipeline(fake).answer(SCOPE, Question.checked("How does it form?", history=TURNS))
    own = 1 - WEIGHT
    assert searched(fake) == [
        ("How does it form?", round(own * LAST_TURN_WEIGHT, 4)),
        ("What is granite? How does it form?", round(own * (1 - LAST_TURN_WEIGHT), 4)),
        ("How does granite form?", WEIGHT),
    ]
    (prompt,) = (what for name, what in fake.calls if name == "rewrite")
    assert prompt.model == "writer"
    assert "user: What is granite?\nassistant: A rock.\n" in prompt.query
    assert "granite" not in prompt.instructions


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down"),
        NotFoundError(Reason.MODEL_NOT_FOUND, "no such model"),
    ],
)
async def test_without_its_model_the_question_is_looked_for_as_it_is(error: ServiceError) -> None:
    fake = services()
    fake.errors["rewrite"] = error
    answer = await pipeline(fake).answer(SCOPE, Question.checked("How?"))
    assert answer.degraded == (STEP,)
    assert searched(fake) == [("How?", 1.0)]


async def test_a_slow_model_has_its_share_of_the_deadline_and_no_more() -> None:
    fake = services()
    fake.delays["rewrite"] = 60.0
    async with asyncio.timeout(20):
        answer = await pipeline(fake, seconds=2.0).answer(SCOPE, Question.checked("How?"))
    assert answer.degraded == (STEP,)
    assert answer.answer == "Granite is hard [1]."


@pytest.mark.parametrize("rewritten", ["", "  \n ", "x" * 501])
async def test_what_is_of_no_use_is_told(rewritten: str) -> None:
    fake = services(rewritten)
    answer = await pipeline(fake).answer(SCOPE, Question.checked("How?"))
    assert answer.degraded == (STEP,)
    assert searched(fake) == [("How?", 1.0)]


async def test_a_question_that_stands_by_itself_stays_as_it_is() -> None:
    fake = services("what is granite?")
    answer = await pipeline(fake).answer(SCOPE, Question.checked("What is granite?"))
    assert answer.degraded == ()
    assert searched(fake) == [("What is granite?", 1.0)]


async def test_nothing_is_rewritten_unless_asked_for_nor_for_a_search() -> None:
    fake = services()
    await pipeline(fake, "").answer(SCOPE, Question.checked("How?"))
    await pipeline(fake).search(SCOPE, SearchAsk.checked("How?"))
    assert "rewrite" not in {name for name, _ in fake.calls}


def test_one_line_of_what_a_model_wrote() -> None:
    assert one_line('\n "How does\u200b granite form?" \nBecause …') == "How does granite form?"
    assert one_line("") == ""
