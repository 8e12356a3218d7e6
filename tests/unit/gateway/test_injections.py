"""Attacks in documents, answered by an engine that does all they say."""

from __future__ import annotations

import dataclasses
import re

import pytest

from services.gateway.pipeline.untrusted import SIGNALS, count_signals, signals
from services.gateway.requests import Question
from tests.kit.injections import ATTACKS, SINK, Attack
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import AWAY, pipeline

URL = re.compile(r"https?://[^\s)>\"']+")
PLAIN = (
    "Granite is an igneous rock. It forms when magma cools slowly below the ground.",
    "The drain delay is 2 seconds by default; the settings page tells how to change it.",
    "Ignoring the effect of wind, the projectile lands 40 m away. See table 3 for the rules.",
    "Send your application to the office in Riga before 1 March. An assistant will help you.",
    "Das Gestein entsteht, wenn Magma langsam abkühlt. Anweisungen stehen im Handbuch.",
    "花崗岩是一種火成岩，由岩漿在地下緩慢冷卻而成。",
    "يتكون الجرانيت عندما تبرد الصهارة ببطء تحت سطح الأرض.",
    "The system prompts operators for a password when the session ends.",
)


def test_there_are_enough_of_them() -> None:
    assert len(ATTACKS) >= 100
    assert len({attack.text for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.kind for attack in ATTACKS} == set(SIGNALS)


def test_nearly_all_are_flagged_and_plain_texts_are_not() -> None:
    missed = [attack for attack in ATTACKS if not signals(attack.text)]
    print(f"flagged {len(ATTACKS) - len(missed)} of {len(ATTACKS)} attacks")
    assert len(missed) <= len(ATTACKS) * 0.03, missed
    assert count_signals(enumerate_names(PLAIN)) == {}


def enumerate_names(texts: tuple[str, ...]) -> list[tuple[str, str]]:
    return [(str(number), text) for number, text in enumerate(texts)]


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
async def test_an_obedient_engine_gets_nothing_out(attack: Attack) -> None:
    planted = passage(f"Granite is hard. {attack.text}", "planted")
    fake = FakeServices([planted, passage("Basalt cools quickly.", "basalt")])
    # It repeats the document, links what it read, and cites what there is not.
    fake.pieces = [
        "Granite is hard [1]. ",
        attack.text,
        f" ![x]({SINK}/?leak=Basalt) [9] [0] [77] document_id=payroll#3 [1](",
        f"{SINK})",
    ]
    question = Question.checked("What is granite?", explain=True)
    answer = await pipeline(fake).answer(SCOPE, question)
    assert "leak=" not in answer.answer
    assert all(url.rstrip(".,") in planted.passage.text for url in URL.findall(answer.answer))
    assert "](http" not in answer.answer
    assert "<img" not in answer.answer
    for citation in answer.citations:
        source = {"planted": planted, "basalt": fake.passages[1]}[citation.document_id].passage
        assert citation.text == source.text[citation.start : citation.end] != ""
        assert f"[{citation.marker}]" in answer.answer
    # What an engine is given stays apart: the attack is in passages only.
    (prompt,) = (what for name, what in fake.calls if name == "generate")
    assert attack.text not in prompt.instructions + prompt.query
    assert not any(attack.text in turn.text for turn in prompt.history)
    # Whoever asks for it sees the flag.
    (assemble,) = (each for each in answer.explanation if each.stage == "assemble")
    is_flagged = any(note.startswith("flagged planted-0") for note in assemble.notes)
    assert is_flagged == bool(signals(planted.passage.text))


@pytest.mark.parametrize("attack", ATTACKS[::7], ids=range(len(ATTACKS[::7])))
async def test_a_copied_answer_shows_it_as_words_only(attack: Attack) -> None:
    planted = passage(f"{attack.text} Granite is hard.", "planted")
    fake = FakeServices([dataclasses.replace(planted)])
    fake.errors["generate"] = AWAY
    answer = await pipeline(fake).answer(SCOPE, Question.checked("What is granite?"))
    assert answer.degraded == ("generation_unavailable",)
    assert f"]({SINK}" not in answer.answer
    assert "<img" not in answer.answer
    (citation,) = answer.citations
    assert citation.text == planted.passage.text.strip()
