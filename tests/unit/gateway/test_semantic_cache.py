"""Questions that ask for the same in other words, and those that only look like it."""

from __future__ import annotations

import pytest

from services.gateway.caches.likeness import is_same, sense_of
from services.gateway.caches.semantic import SimilarQuestions
from services.gateway.pipeline.ports import Vector
from services.rpc.scope import Scope
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_caches import ask, cached, count, services

LIKE = {"What is granite?": (1.0, 0.0), "Please tell me what granite is": (0.98, 0.199)}
PARAPHRASE = "Please tell me what granite is"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is granite?", "what is granite"),
        ("What is granite?", "Please tell me: what is granite?"),
        ("What's the capital of France?", "What is the capital of France"),
        ("Which number does the notice say?", "tell me which number the notice says"),
        ("How many rooms does the hotel have?", "how many rooms does this hotel have??"),
    ],
)
def test_paraphrases_ask_for_the_same(one: str, other: str):
    assert is_same(sense_of(one), sense_of(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What was the revenue in 2023?", "What was the revenue in 2024?"),
        ("Who is the CEO of Acme?", "Who is the CFO of Acme?"),
        ("Is smoking allowed?", "Is smoking not allowed?"),
        ("Is smoking allowed?", "Isn't smoking allowed?"),
        ("When did Rome defeat Carthage?", "Where did Rome defeat Carthage?"),
        ("Did Rome defeat Carthage?", "Did Carthage defeat Rome?"),
        ("How many rooms are there?", "How big are the rooms there?"),
        ("What is the largest city?", "What is the second largest city?"),
        ("Who defeated Montcalm?", "Who was defeated by Montcalm?"),
        ("What may editors delete?", "What may viewers delete?"),
    ],
)
def test_questions_that_only_look_alike_do_not(one: str, other: str):
    assert not is_same(sense_of(one), sense_of(other))


async def test_a_paraphrase_gets_the_answer_and_its_likeness():
    fake = services(vectors=LIKE)
    pipeline = cached(fake)
    first = await pipeline.answer(SCOPE, ask())
    again = await pipeline.answer(SCOPE, ask(PARAPHRASE))
    assert (again.cached, again.answer) == ("semantic", first.answer)
    assert again.cached_similarity == pytest.approx(0.98, abs=0.001)
    assert count(fake, "generate") == 1
    assert count(fake, "rerank") == 1, "the costly stages are spared"
    assert count(fake, "search") == 2, "the passages are looked for anew"
    assert again.usage.embedding_tokens == 1
    assert again.usage.completion_tokens == 0
    assert pipeline.figures()["semantic"]["hits"] == 1


@pytest.mark.parametrize(
    "other", [Scope("acme", ("user:b",), "key:b"), Scope("globex", ("everyone",), "key:test")]
)
async def test_a_paraphrase_by_someone_else_never_hits(other: Scope):
    fake = services(vectors=LIKE)
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    assert (await pipeline.answer(other, ask(PARAPHRASE))).cached == ""


async def test_what_cannot_be_proven_by_the_passages_found_now_is_not_used():
    fake = services(vectors=LIKE)
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    fake.passages = (passage("Sand is loose.", "sand"), passage("Slate is flat.", "slate"))
    assert (await pipeline.answer(SCOPE, ask(PARAPHRASE))).cached == ""


async def test_a_write_ends_paraphrases_too():
    fake = services(vectors=LIKE)
    pipeline = cached(fake)
    await pipeline.answer(SCOPE, ask())
    fake.generation += 1
    assert (await pipeline.answer(SCOPE, ask(PARAPHRASE))).cached == ""
    assert pipeline.figures()["semantic"]["entries"] == 1


@pytest.mark.parametrize("less", [{"threshold": 0.99}, {"threshold": 2.0}])
async def test_unlike_vectors_do_not_hit(less: dict[str, float]):
    fake = services(vectors=LIKE)
    pipeline = cached(fake, **less)
    await pipeline.answer(SCOPE, ask())
    assert (await pipeline.answer(SCOPE, ask(PARAPHRASE))).cached == ""


async def test_refusals_and_answers_without_citations_are_for_the_very_question_only():
    fake = FakeServices()
    fake.vectors = LIKE
    pipeline = cached(fake)
    assert (await pipeline.answer(SCOPE, ask())).refused
    assert (await pipeline.answer(SCOPE, ask())).cached == "exact"
    assert (await pipeline.answer(SCOPE, ask(PARAPHRASE))).cached == ""


def test_vectors_are_found_forgotten_and_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("services.gateway.caches.semantic.MAX_ROWS", 40)
    similar = SimilarQuestions(0.9)
    sense = sense_of("what is granite")
    one = Vector(b"\x00\x00\x80\x3f\x00\x00\x00\x00", 1, 2)
    for number in range(100):
        assert similar.add("p", f"k{number}", one, sense)
    assert len(similar) == 40
    assert [cosine for _, cosine in similar.find("p", one, sense)] == [1.0] * 4
    assert similar.find("q", one, sense) == ()
    for number in range(100):
        similar.forget(f"k{number}")
    assert len(similar) == 0
    assert similar.find("p", one, sense) == ()
    int8 = Vector(b"\x7f\x00", 3, 2, 0.1)
    assert similar.add("p", "int8", int8, sense)
    assert [key for key, _ in similar.find("p", one, sense)] == ["int8"]
    bits = Vector(b"\x80", 4, 2)
    assert not similar.add("p", "bits", bits, sense), "one bit per number is no cosine"
    assert not similar.add("p", "zero", Vector(bytes(8), 1, 2), sense)
