"""Which class of engine a question needs."""

from __future__ import annotations

import pytest

from services.generation.engine import (
    Message,
    OutputForm,
    RequestClass,
    Role,
    StructuredOutput,
)
from services.generation.routing import class_of
from tests.kit.generation_requests import ask

FORM = StructuredOutput(OutputForm.JSON_SCHEMA, "{}")


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote Dune?",
        "When was the bridge opened?",
        "What is the boiling point of ethanol?",
        "Wie hoch ist der Turm?",
        "这座桥是什么时候开通的？",
    ],
)
def test_a_question_for_one_fact_is_simple(question: str) -> None:
    assert class_of(ask(question, "p")) is RequestClass.CHEAP


@pytest.mark.parametrize(
    "question",
    [
        "Compare the two treaties.",
        "Why did the bridge fall?",
        "Explain how the view follows the store.",
        "Who built it? And when?",
        "Warum fiel die Brücke?",
        "Pourquoi le pont est-il tombé ?",
        "word " * 61,
    ],
)
def test_what_compares_explains_or_asks_much_is_complex(question: str) -> None:
    assert class_of(ask(question, "p")) is RequestClass.STRONG


def test_many_passages_are_a_survey() -> None:
    assert class_of(ask("Who wrote Dune?", *["p"] * 21)) is RequestClass.STRONG


def test_the_rest_is_the_usual() -> None:
    long = "Which of the engineers that worked on the second bridge over the river lived in town?"
    history = (Message(Role.USER, "a"), Message(Role.ASSISTANT, "b"), Message(Role.USER, "Who?"))

    assert class_of(ask(long, "p")) is RequestClass.DEFAULT
    assert class_of(ask("x", "p", messages=history)) is RequestClass.DEFAULT
    assert class_of(ask("Who?", structured_output=FORM)) is RequestClass.DEFAULT
