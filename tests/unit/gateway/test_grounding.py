"""Sentences compared with their sources by meaning, with numbers checked, and the rung below."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from services.gateway.pipeline.grounding import (
    MAX_SENTENCES,
    STEP,
    Grounding,
    carried,
    max_similarity,
    sentences_of,
)
from services.gateway.pipeline.run import Run
from services.gateway.requests import Question, Verification
from services.rpc.errors import Reason, UnavailableError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import pipeline

SOURCE = "Magma that cools slowly below the ground forms granite. It sells for 250 euros a ton."


async def test_meaning_replaces_words_once_it_is_learned() -> None:
    fake = FakeServices()
    grounding = Grounding(fake, Run(SCOPE, "query", 10.0))
    sentence = "Granite forms below the ground"
    before = grounding.support(sentence, SOURCE)
    await grounding.learn([(sentence, SOURCE)])
    assert grounding.support(sentence, SOURCE) == 1.0 >= before
    other = "Elephants migrate across savannas"
    await grounding.learn([(other, SOURCE)])
    assert grounding.support(other, SOURCE) == 0.0


async def test_texts_are_encoded_once_and_copies_never() -> None:
    fake = FakeServices()
    grounding = Grounding(fake, Run(SCOPE, "query", 10.0))
    await grounding.learn([("Granite forms slowly", SOURCE), ("Granite sells for euros", SOURCE)])
    await grounding.learn([("Granite forms slowly", SOURCE), ("It sells for 250 euros", SOURCE)])
    await grounding.learn([("Granite cools", SOURCE)])
    encoded = [text for name, texts in fake.calls if name == "ground" for text in texts]
    texts = ["Granite forms slowly", "Granite sells for euros", *sentences_of(SOURCE)]
    assert encoded == [*texts, "Granite cools"]


def test_an_invented_number_caps_the_likeness() -> None:
    assert carried("It sells for 900 euros", SOURCE, 0.95) == 0.2
    assert carried("It sells for 250 euros", SOURCE, 0.95) == 1.0


async def test_an_outage_is_told_and_words_stand_in() -> None:
    fake = FakeServices()
    fake.errors["ground"] = UnavailableError(Reason.NOT_READY, "away")
    run = Run(SCOPE, "query", 10.0)
    grounding = Grounding(fake, run)
    await grounding.learn([("Granite forms slowly", SOURCE)])
    assert run.degraded == [STEP]
    assert grounding.support("Granite forms slowly", SOURCE) == 1.0
    await grounding.learn([("Granite cools", SOURCE)])
    assert len(fake.calls) == 1, "it is not asked again for the same answer"


async def test_every_comparison_is_counted_once_by_the_way_it_was_done() -> None:
    def counted() -> dict[str, float]:
        name = "cairn_gateway_grounding_sentences_total"
        ways = ("meaning", "words")
        return {way: REGISTRY.get_sample_value(name, {"way": way}) or 0.0 for way in ways}

    def since(before: dict[str, float]) -> tuple[float, float]:
        now = counted()
        return now["meaning"] - before["meaning"], now["words"] - before["words"]

    many = [(f"Granite number {n}", SOURCE) for n in range(MAX_SENTENCES + 6)]
    before = counted()
    grounding = Grounding(FakeServices(), Run(SCOPE, "query", 10.0))
    await grounding.learn(many)
    await grounding.learn(many)
    assert since(before) == (MAX_SENTENCES, 6)
    before = counted()
    without = Grounding(None, Run(SCOPE, "query", 10.0))
    await without.learn(many[:3])
    await without.learn(many[:4])
    assert since(before) == (0, 4)


def test_max_similarity_is_the_mean_of_the_best() -> None:
    rows = np.eye(3, dtype=np.float32)
    assert max_similarity(rows[:2], [rows[:1], rows[2:]]) == 0.5
    assert max_similarity(rows[:2], [rows[:1], rows[1:]]) == 1.0
    assert max_similarity(rows[:0], [rows]) == max_similarity(rows, []) == 0.0


@given(st.text(max_size=3_000))
def test_sentences_cover_the_text_in_order(text: str) -> None:
    parts = sentences_of(text)
    assert all(0 < len(part) <= 800 for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def services(*pieces: str) -> FakeServices:
    fake = FakeServices([passage(SOURCE, "granite")])
    fake.pieces = list(pieces)
    return fake


async def ask(fake: FakeServices, verification: Verification = Verification.DROP):
    question = Question.checked("What is granite?", verification=verification)
    return await pipeline(fake, encoder=fake).answer(SCOPE, question)


@pytest.mark.parametrize("pieces", [1, 3, 50])
async def test_sentences_stand_or_go_by_meaning_however_the_text_comes(pieces: int) -> None:
    text = "Granite forms below the ground [1]. It sells for 900 euros a ton [1]. Cats sleep [1]."
    size = -(-len(text) // pieces)
    fake = services(*(text[at : at + size] for at in range(0, len(text), size)))
    answer = await ask(fake)
    assert answer.answer == "Granite forms below the ground [1]."
    assert [each.support for each in answer.citations] == [1.0]
    assert answer.grounded == 1.0
    assert answer.degraded == ()


async def test_refuse_needs_every_sentence() -> None:
    fake = services("Granite forms below the ground [1]. Cats sleep [1].")
    refused = await ask(fake, Verification.REFUSE)
    assert refused.refused
    assert refused.citations == ()


async def test_without_the_encoder_the_answer_says_so() -> None:
    fake = services("Granite forms below the ground [1].")
    fake.errors["ground"] = UnavailableError(Reason.NOT_READY, "away")
    answer = await ask(fake)
    assert answer.degraded == (STEP,)
    assert answer.citations


async def test_a_slow_encoder_does_not_hold_the_answer() -> None:
    fake = services("Granite forms below the ground [1].")
    fake.delays["ground"] = 30.0
    question = Question.checked("What is granite?")
    answer = await pipeline(fake, 1.0, encoder=fake).answer(SCOPE, question)
    assert answer.degraded == (STEP,)
    assert answer.citations
