"""An engine that invents identifiers, spans, numbers and other tenants' documents."""

from __future__ import annotations

import random
import re

import pytest
from prometheus_client import REGISTRY

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent, PassagesFound
from services.gateway.pipeline.ports import Quote
from services.gateway.requests import Question, Verification
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import pipeline

PASSAGES = (
    passage("Granite is hard. It forms when magma cools slowly below ground.", "granite", start=40),
    passage("Basalt cools quickly. It sells for 250 euros a ton.", "basalt"),
)
DOCUMENTS = {"granite": " " * 40 + PASSAGES[0].passage.text, "basalt": PASSAGES[1].passage.text}
RIVAL = "The payroll of the rival is 4711 euros."
TRUE = ("Granite is hard [1]", "Basalt cools quickly [2]", "It sells for 250 euros a ton [2]")
INVENTED = (
    "Granite is hard [3]",
    "Basalt cools quickly [0]",
    "Magma cools slowly [77]",
    "Basalt cools quickly [999]",
    "Granite is hard [3, 9]",
)
UNSUPPORTED = (
    "It sells for 900 euros a ton [2]",
    "It sells for 2500 euros a ton [2]",
    f"{RIVAL[:-1]} [1]",
    "Elephants migrate across savannas every winter [1]",
)
QUESTION = "What is granite?"


def removed(reason: str) -> float:
    labels = {"reason": reason}
    return REGISTRY.get_sample_value("cairn_gateway_citations_removed_total", labels) or 0.0


def sentences_removed() -> float:
    return REGISTRY.get_sample_value("cairn_gateway_sentences_removed_total") or 0.0


def check(answer: Answer) -> None:
    """All that stands in an answer's brackets is a verbatim span of what the caller may read."""
    markers = {int(number) for number in re.findall(r"\[(\d+)\]", answer.answer)}
    assert markers == {each.marker for each in answer.citations}
    for each in answer.citations:
        assert each.document_id in DOCUMENTS
        assert each.document_version == 1
        assert each.text == DOCUMENTS[each.document_id][each.start : each.end] != ""
        assert each.chunk_id in {one.passage.chunk_id for one in PASSAGES}


async def ask(
    fake: FakeServices, verification: Verification = Verification.DROP, *, is_stream: bool = False
) -> Answer:
    shown: list[AnswerEvent] = []

    async def emit(event: AnswerEvent) -> None:
        shown.append(event)

    question = Question.checked(QUESTION, verification=verification)
    answer = await pipeline(fake, encoder=fake).answer(SCOPE, question, emit if is_stream else None)
    if is_stream:
        assert isinstance(shown[0], PassagesFound)
        text = "".join(each.text for each in shown if isinstance(each, AnswerDelta))
        assert text == answer.answer, "what was shown is what was verified"
    check(answer)
    return answer


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("seed", range(20))
async def test_all_inventions_are_removed_and_counted(seed: int, is_stream: bool) -> None:
    chance = random.Random(seed)
    sentences = [*TRUE, *INVENTED, *UNSUPPORTED]
    chance.shuffle(sentences)
    text = ". ".join(sentences) + "."
    fake = FakeServices(PASSAGES)
    while text:
        size = chance.randint(1, 30)
        fake.pieces.append(text[:size])
        text = text[size:]
    unknown, unsupported = removed("unknown"), removed("unsupported")
    left_out = sentences_removed()
    answer = await ask(fake, is_stream=is_stream)
    assert removed("unknown") - unknown == len(INVENTED) + 1
    assert removed("unsupported") - unsupported == len(UNSUPPORTED)
    assert len(re.findall(r"\[\d+\]", answer.answer)) == len(TRUE)
    assert sentences_removed() - left_out == len(UNSUPPORTED)
    assert not re.search("900|2500|4711|Elephants", answer.answer)
    kept = [*(each.split(" [")[0] for each in [*TRUE, *INVENTED])]
    assert len(re.split(r"\. ", answer.answer)) == len(kept)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize(
    "quote",
    [
        Quote(1, 7, 0, 5, 1.0),
        Quote(1, -1, 0, 5, 1.0),
        Quote(1, 0, -5, 5, 1.0),
        Quote(1, 0, 5, 5, 1.0),
        Quote(1, 0, 9, 5, 1.0),
        Quote(1, 0, 0, 100_000, 1.0),
    ],
)
async def test_a_copying_engine_cannot_lie_about_its_spans(quote: Quote, is_stream: bool) -> None:
    fake = FakeServices(PASSAGES)
    fake.engine, fake.quotes = "extractive", (quote, Quote(2, 1, 0, 21, 0.9))
    fake.pieces = ["Granite is hard. [1] Basalt cools quickly. [2]"]
    before = removed("unknown") + removed("invalid_span")
    answer = await ask(fake, is_stream=is_stream)
    assert removed("unknown") + removed("invalid_span") - before == 1
    assert [each.text for each in answer.citations] == ["Basalt cools quickly."]


async def test_text_of_nobodys_document_is_not_grounded_and_can_be_refused() -> None:
    fake = FakeServices(PASSAGES)
    fake.pieces = [RIVAL]
    dropped = await ask(fake, is_stream=True)
    assert dropped.refused, "nothing is left of it"
    assert "4711" not in dropped.answer
    assert (await ask(fake, Verification.ANNOTATE)).grounded == 0.0
    refused = await ask(fake, Verification.REFUSE, is_stream=True)
    assert refused.refused
    assert "4711" not in refused.answer


async def test_annotate_keeps_what_exists_and_says_how_weak_it_is() -> None:
    fake = FakeServices(PASSAGES)
    fake.pieces = ["It sells for 900 euros a ton [2]. Nothing [9]."]
    answer = await ask(fake, Verification.ANNOTATE)
    assert [each.support <= 0.2 for each in answer.citations] == [True]
