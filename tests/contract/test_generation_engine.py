"""What every engine promises, whichever it is. The vLLM engine is held to it in its own environment."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from services.generation.engine import Delta, Engine, FakeEngine, FinishReason, Outcome
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.openai_engine import OpenAiEngine
from services.rpc.errors import Reason, UnimplementedError
from tests.kit.generation_requests import ask, run

QUESTION = "What is the index?"
PASSAGE = "The index is a view. It can be rebuilt."


def _endpoint(_request: httpx.Request) -> httpx.Response:
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in ("The index", " is.")]
    usage = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    lines = [f"data: {json.dumps(each)}\n\n" for each in [*chunks, usage]]
    return httpx.Response(200, content="".join([*lines, "data: [DONE]\n\n"]).encode())


@pytest.fixture(params=["fake", "extractive", "openai"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    if request.param == "fake":
        made: Engine = FakeEngine()
    elif request.param == "extractive":
        made = ExtractiveEngine(None, min_support=0.4, min_overlap=0.3)
    else:
        made = OpenAiEngine(
            base_url="http://llm/v1",
            api_key="",
            model="m",
            transport=httpx.MockTransport(_endpoint),
        )
    assert made.name == request.param
    await made.start()
    yield made
    await made.close()


async def test_the_outcome_holds_all_the_text_and_the_tokens(engine: Engine) -> None:
    deltas, outcome = await run(engine, ask(QUESTION, PASSAGE, stream=True))

    assert outcome.text
    assert "".join(each.text for each in deltas) == outcome.text
    assert outcome.finish_reason in {FinishReason.STOP, FinishReason.LENGTH}
    assert outcome.usage.prompt_tokens > 0
    assert outcome.usage.completion_tokens > 0


async def test_streaming_or_not_the_text_is_the_same(engine: Engine) -> None:
    _, streamed = await run(engine, ask(QUESTION, PASSAGE, stream=True))
    _, whole = await run(engine, ask(QUESTION, PASSAGE))

    assert streamed.text == whole.text


async def test_it_can_be_closed_at_any_event(engine: Engine) -> None:
    for stop_after in range(3):
        events = engine.generate(ask(QUESTION, PASSAGE, stream=True))
        async with contextlib.aclosing(events):
            for _ in range(stop_after):
                event = await anext(events, None)
                assert event is None or isinstance(event, Delta | Outcome)


async def test_many_requests_run_at_once(engine: Engine) -> None:
    results = await asyncio.gather(*(run(engine, ask(QUESTION, PASSAGE)) for _ in range(20)))

    assert len({outcome.text for _, outcome in results}) == 1


async def test_it_counts_tokens_of_each_text(engine: Engine) -> None:
    short, long, empty = await engine.count_tokens(["one", "one two three four", ""])

    assert 0 < short < long
    assert empty == 0


async def test_it_describes_its_model(engine: Engine) -> None:
    info = engine.model_info()

    assert info.name
    assert info.engine == engine.name
    assert info.is_ready


async def test_adapters_are_refused_precisely_where_there_are_none(engine: Engine) -> None:
    assert engine.unsupported(ask(QUESTION, PASSAGE, adapter="a"))
    for attempt in (engine.load_adapter("a", "/a"), engine.unload_adapter("a")):
        with pytest.raises(UnimplementedError) as refused:
            await attempt
        assert refused.value.reason is Reason.NOT_SUPPORTED


async def test_it_does_not_claim_to_be_dead(engine: Engine) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await engine.wait_dead()
