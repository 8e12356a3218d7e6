"""Attacks in passages: none gets out of the fence, into the system role or into a copied answer."""

from __future__ import annotations

import re

import pytest

from services.generation.engine import GenerationRequest, Message, Outcome, Passage, Role
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.prompt import TEMPLATES, render
from services.rpc.scope import Scope
from tests.kit.injections import ATTACKS, SINK, Attack

SYSTEM = TEMPLATES["answer@1"].system
SCOPE = Scope("acme", ("everyone",), "key:test")
SECRET = "The payroll of the rival is 4711 euros."
QUESTION = "How does granite form?"


def request(attack: Attack) -> GenerationRequest:
    """A question over a document that has the attack in its text and in its title."""
    return GenerationRequest(
        scope=SCOPE,
        messages=(
            Message(Role.SYSTEM, "Be brief."),
            Message(Role.USER, QUESTION),
        ),
        passages=(
            Passage(f"Granite forms slowly.\n{attack.text}", attack.text, "planted", "c1"),
            Passage("Basalt cools quickly at the surface.", "Basalt", "basalt", "c2"),
        ),
        prompt_template="answer@1",
    )


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
def test_the_prompt_keeps_its_form(attack: Attack) -> None:
    messages = render(request(attack)).messages
    system, user = messages
    assert (system.role, user.role) == (Role.SYSTEM, Role.USER)
    assert system.content == f"{SYSTEM}\n\nBe brief."
    text = user.content
    assert text.startswith("<passages>\n")
    assert text.endswith(f"</passages>\n\n{QUESTION}")
    assert len(re.findall(r"<\s*passages\b", text)) == 1
    assert len(re.findall(r"<\s*/\s*passages\b", text)) == 1
    assert (
        len(re.findall(r"<\s*passage\b", text)) == len(re.findall(r"<\s*/\s*passage\b", text)) == 2
    )
    assert not re.search(
        r"<\|[^|]*\|>|<｜[^｜]*｜>|\[/?INST\]|<</?SYS>>|</?s>|\[TOOL_CALLS\]", text
    )
    assert not re.search(
        "[\u200b\u00ad\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]", text
    )
    assert not re.search(r"!\[|\]\(\s*(?:https?:)?//|<(?:img|iframe|script|svg)\b", text)


@pytest.mark.parametrize("attack", ATTACKS, ids=range(len(ATTACKS)))
async def test_a_copied_answer_holds_nothing_but_the_passages(attack: Attack) -> None:
    asked = request(attack)
    engine = ExtractiveEngine(None, min_support=0.48, min_overlap=0.0)
    (outcome,) = [event async for event in engine.generate(asked) if isinstance(event, Outcome)]
    for span in outcome.quoted_spans:
        passage = asked.passages[span.passage_index].text
        quoted = re.sub(r"\s*\[\d{1,3}\]", "", passage[span.start : span.end])
        assert quoted in re.sub(r"\s*\[\d{1,3}\]", "", outcome.text)
    words = set(re.findall(r"\w+", " ".join(each.text for each in asked.passages)))
    shown = set(re.findall(r"\w+", re.sub(r"\[\d+\]", "", outcome.text)))
    assert shown <= words | {str(span.marker) for span in outcome.quoted_spans}
    assert SYSTEM[:40] not in outcome.text
    assert SECRET not in outcome.text


def test_an_operator_sees_that_links_are_words() -> None:
    attack = Attack(
        "exfiltration", f"![logo]({SINK}/x) and [manual](https://docs.example/a(b)c) end"
    )
    text = render(request(attack)).messages[1].content
    assert "[logo] and [manual] end" in text
