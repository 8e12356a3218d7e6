"""What vLLM hands out becomes deltas, accounts and an end that is what was asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from services.generation.engine import (
    FinishReason,
    GenerationRequest,
    OutputForm,
    Sampling,
    StructuredOutput,
    TokenUsage,
)
from services.generation.engine_spans import EngineTimes
from services.generation.fair_queue import FairQueue, QueueLimits, Ticket
from services.generation.token_accounts import TokenAccounts
from services.generation.vllm_prompts import PreparedPrompt
from services.generation.vllm_writing import Writing
from services.rpc.errors import DeadlineExceededError, InvalidArgumentError, UnavailableError
from services.rpc.scope import TenantClass
from tests.kit.generation_requests import ask

VALUES = SimpleNamespace(
    finish_reason=lambda _reason, _text: FinishReason.STOP,
    engine_times=lambda _output: EngineTimes(),
    token_logprobs=lambda _piece: (),
)


@dataclass
class Output:
    """What vLLM hands out, as far as it is looked at."""

    text: str
    tokens: int = 1
    finished: bool = False
    num_cached_tokens: int = 2
    outputs: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        piece = SimpleNamespace(
            text=self.text, token_ids=[0] * self.tokens, finish_reason="stop", logprobs=None
        )
        self.outputs = [piece]


def writing(request: GenerationRequest, accounts: TokenAccounts | None = None) -> Writing:
    accounts = accounts or TokenAccounts()
    queue = FairQueue(QueueLimits(1, 1, 1, 1))
    granted = asyncio.get_running_loop().create_future()
    ticket = Ticket("acme", TenantClass.STANDARD, 5, 5, 0.0, granted, None, is_reading=False)
    prompt = PreparedPrompt([0] * 5, (), 10)
    return Writing(request, prompt, queue, ticket, accounts.reserve("acme", 10))


def shaped(**sampling: Any) -> GenerationRequest:
    form = StructuredOutput(OutputForm.JSON_SCHEMA, '{"$ref": "#"}')
    return ask("a", structured_output=form, sampling=Sampling(**sampling))


async def test_outputs_of_a_window_become_one_delta() -> None:
    accounts = TokenAccounts()
    text = writing(ask("a", stream=True), accounts)
    first = text.take([Output("x")], VALUES)
    rest = text.take([Output("y", 2), Output("z", 3, finished=True)], VALUES)
    outcome = text.outcome(VALUES)
    text.settle(VALUES)

    assert first is not None
    assert rest is not None
    assert (first.text, first.completion_tokens) == ("x", 1)
    assert (rest.text, rest.completion_tokens) == ("yz", 5)
    assert rest.usage == outcome.usage == TokenUsage(5, 2, 6)
    assert outcome.text == "xyz"
    assert accounts.reserved_tokens == 0


async def test_tokens_without_text_are_told_with_the_next_text() -> None:
    text = writing(ask("a", stream=True))
    nothing = text.take([Output("", 2)], VALUES)
    something = text.take([Output("x", 1)], VALUES)

    assert nothing is None
    assert something is not None
    assert something.completion_tokens == 3


async def test_an_end_without_json_where_json_was_asked_for_is_the_schemas_fault() -> None:
    text = writing(shaped())
    text.take([Output("", 1, finished=True)], VALUES)
    with pytest.raises(InvalidArgumentError) as refused:
        text.outcome(VALUES)

    assert refused.value.violations[0].field == "structured_output.json_schema"


async def test_an_empty_text_before_a_stop_string_is_an_answer() -> None:
    text = writing(shaped(stop=("{",)))
    text.take([Output("", 1, finished=True)], VALUES)

    assert text.outcome(VALUES).text == ""


async def test_an_end_without_any_output_is_the_engines_fault() -> None:
    with pytest.raises(UnavailableError):
        writing(ask("a")).outcome(VALUES)


async def test_a_deadline_before_the_first_token_is_no_empty_answer() -> None:
    accounts = TokenAccounts()
    text = writing(ask("a"), accounts)
    text.is_time_over = True
    text.take([Output("", 0, finished=True)], VALUES)  # what vLLM makes of the abort
    with pytest.raises(DeadlineExceededError) as late:
        text.outcome(VALUES)
    text.settle(VALUES)

    assert late.value.metadata["stage"] == "generation"
    assert text.usage == TokenUsage()
    assert accounts.reserved_tokens == 0
