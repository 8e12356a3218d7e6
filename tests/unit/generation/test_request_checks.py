"""Every refusal names its field."""

from __future__ import annotations

from typing import Any

import pytest

from services.generation.engine import (
    Message,
    OutputForm,
    Passage,
    Role,
    Sampling,
    StructuredOutput,
)
from services.generation.request_checks import (
    MAX_CHARACTERS,
    MAX_MESSAGES,
    MAX_PASSAGES,
    check_name,
    check_request,
)
from services.rpc.errors import InvalidArgumentError, Reason
from tests.kit.generation_requests import ask

DEEP = '{"a":' * 70 + "{}" + "}" * 70


def schema(text: str) -> dict[str, Any]:
    return {"structured_output": StructuredOutput(OutputForm.JSON_SCHEMA, text)}


def choices(*values: str) -> dict[str, Any]:
    return {"structured_output": StructuredOutput(OutputForm.CHOICES, choices=values)}


def sampling(**fields: Any) -> dict[str, Any]:
    return {"sampling": Sampling(**fields)}


USER = Message(Role.USER, "q")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("messages", {"messages": ()}),
        ("messages", {"messages": (USER,) * (MAX_MESSAGES + 1)}),
        ("messages[0].content", {"messages": (Message(Role.USER, " \n"),)}),
        ("messages[0].content", {"messages": (Message(Role.SYSTEM, ""), USER)}),
        ("messages[1].role", {"messages": (USER, Message(Role.ASSISTANT, "a"))}),
        ("messages[0].role", {"messages": (Message(Role.SYSTEM, "s"),)}),
        ("passages", {"passages": (Passage("p"),) * (MAX_PASSAGES + 1)}),
        ("passages[1].passage.text", {"passages": (Passage("p"), Passage(" "))}),
        ("sampling.max_tokens", sampling(max_tokens=0)),
        ("sampling.max_tokens", sampling(max_tokens=2**31)),
        ("sampling.temperature", sampling(temperature=-0.1)),
        ("sampling.temperature", sampling(temperature=float("nan"))),
        ("sampling.temperature", sampling(temperature=float("inf"))),
        ("sampling.top_p", sampling(top_p=0.0)),
        ("sampling.top_p", sampling(top_p=1.1)),
        ("sampling.top_k", sampling(top_k=2**31)),
        ("sampling.presence_penalty", sampling(presence_penalty=3.0)),
        ("sampling.frequency_penalty", sampling(frequency_penalty=float("nan"))),
        ("sampling.logprobs", sampling(logprobs=21)),
        ("sampling.stop", sampling(stop=("x",) * 17)),
        ("sampling.stop[1]", sampling(stop=("x", ""))),
        ("structured_output.json_schema", schema("not json")),
        ("structured_output.json_schema", schema("[1]")),
        ("structured_output.json_schema", schema("")),
        ("structured_output.json_schema", schema(DEEP)),
        ("structured_output.json_schema", schema("[" * 60_000)),
        ("structured_output.json_schema", schema(" " * 70_000 + "{}")),
        ("structured_output.choices.values", choices()),
        ("structured_output.choices.values", choices("a", "a")),
        ("structured_output.choices.values", choices("")),
        ("adapter", {"adapter": "../../etc"}),
        ("adapter", {"adapter": "a" * 300}),
        ("model", {"model": "m" * 300}),
        ("request_id", {"request_id": "r" * 300}),
        ("prompt_template", {"prompt_template": "answer@0"}),
    ],
)
def test_a_wrong_field_is_named(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        check_request(ask("question", "passage", **fields))

    assert [each.field for each in refused.value.violations] == [field]


def test_too_much_text_is_refused_with_its_size() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        check_request(ask("q", "x" * MAX_CHARACTERS))

    assert refused.value.reason is Reason.TOO_LARGE
    assert refused.value.metadata["size"] == str(MAX_CHARACTERS + 1)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        sampling(max_tokens=1, temperature=0.0, top_p=1.0, top_k=0, seed=-1, stop=("\n",)),
        schema('{"type": "object"}'),
        choices("yes", "no"),
        {"adapter": "team/adapter-v1.2"},
        {"messages": (Message(Role.SYSTEM, "s"), USER, Message(Role.ASSISTANT, "a"), USER)},
    ],
)
def test_right_requests_pass(fields: dict[str, Any]) -> None:
    request = ask("question", "passage", **fields)
    check_request(request)
    assert request.passages


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        check_name("name", "")

    assert refused.value.reason is Reason.EMPTY_TEXT
