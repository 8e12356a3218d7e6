"""Requests become tokens by the model's chat template, whatever that one thinks of roles."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from services.generation.engine import Message, Role
from services.generation.prompt import TEMPLATES
from services.generation.vllm_prompts import ModelPrompts
from services.rpc.errors import InvalidArgumentError, Reason
from tests.kit.generation_requests import ask


class Tokenizer:
    """A character is a token; the template is one of those that models come with."""

    chat_template = "given"

    def __init__(self, *, refuses_system: bool = False, forgets_system: bool = False) -> None:
        self._refuses_system = refuses_system
        self._forgets_system = forgets_system

    def apply_chat_template(self, turns: list[dict[str, str]], **options: Any) -> Any:
        roles = [turn["role"] for turn in turns]
        if self._refuses_system and "system" in roles:
            raise ValueError("System role not supported")
        if any(one == other for one, other in itertools.pairwise(roles)):
            raise ValueError("Conversation roles must alternate")
        shown = [turn for turn in turns if not (self._forgets_system and turn["role"] == "system")]
        text = "".join(f"<{turn['role']}>{turn['content']}" for turn in shown)
        return [ord(character) for character in text] if options["tokenize"] else text


async def prompt(tokenizer: Tokenizer, *, size: int = 10_000, **fields: Any) -> str:
    request = ask("the question", prompt_template="chat@1", **fields)
    prepared = await ModelPrompts(tokenizer, size).prepare(request)
    return "".join(map(chr, prepared.token_ids))


async def test_instructions_have_their_own_turn_where_the_template_has_one() -> None:
    assert await prompt(Tokenizer()) == (f"<system>{TEMPLATES['chat@1'].system}<user>the question")


@pytest.mark.parametrize("flaw", ["refuses_system", "forgets_system"])
async def test_else_they_begin_the_first_question(flaw: str) -> None:
    assert await prompt(Tokenizer(**{flaw: True})) == (
        f"<user>{TEMPLATES['chat@1'].system}\n\nthe question"
    )


async def test_a_template_that_refuses_the_messages_is_the_callers_to_know() -> None:
    twice = (Message(Role.USER, "a"), Message(Role.USER, "b"))
    with pytest.raises(InvalidArgumentError, match="roles must alternate") as refused:
        await prompt(Tokenizer(), messages=twice)

    assert refused.value.violations[0].field == "messages"


async def test_an_answer_as_long_as_the_context_leaves_no_room() -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        await prompt(Tokenizer(), size=20)

    assert refused.value.reason is Reason.CONTEXT_TOO_LONG
