"""Failover, breakers, deadlines and truthful results of a chain."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from services.generation.chain import Chain, Finished, Started
from services.generation.engine import (
    Delta,
    Engine,
    FakeEngine,
    FinishReason,
    GenerationRequest,
    RequestClass,
    Sampling,
    TokenLogprob,
)
from services.generation.extractive_engine import ExtractiveEngine
from services.generation.prompt import REFUSAL
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
    UnimplementedError,
)
from tests.kit.generation_requests import ask

DOWN = UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "down")
PASSAGE = "The index is a view."


def chain(
    *engines: Engine, first_text_seconds: float = 5.0, slow_seconds: float = 4.0, **orders: Any
) -> Chain:
    names = [engine.name for engine in engines]
    return Chain(
        {engine.name: engine for engine in engines},
        {each: orders.get(each.value, names) for each in RequestClass},
        first_text_seconds=first_text_seconds,
        slow_seconds=slow_seconds,
    )


def extractive() -> ExtractiveEngine:
    return ExtractiveEngine(None, min_support=0.5, min_overlap=0.3)


async def collect(tried: Chain, request: GenerationRequest) -> tuple[list[Any], Finished]:
    events = [event async for event in tried.generate(request)]
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    assert events[0].engine == events[-1].engine
    return events, events[-1]


async def test_started_then_deltas_then_finished() -> None:
    events, finished = await collect(chain(FakeEngine()), ask("a b c", stream=True))

    assert [type(event) for event in events] == [Started, Delta, Delta, Delta, Finished]
    assert finished.outcome.text == "a b c"
    assert finished.outcome.usage.completion_tokens == 3
    assert finished.fallback_reason == ""


async def test_without_streaming_the_text_comes_at_the_end() -> None:
    events, finished = await collect(chain(FakeEngine()), ask("a b c"))

    assert [type(event) for event in events] == [Started, Finished]
    assert finished.outcome.text == "a b c"


@pytest.mark.parametrize("stream", [False, True])
async def test_log_probabilities_come_once_with_the_text(*, stream: bool) -> None:
    class Likely(FakeEngine):
        async def generate(self, request: GenerationRequest) -> Any:
            async for event in super().generate(replace(request, stream=True)):
                if isinstance(event, Delta):
                    yield replace(event, logprobs=(TokenLogprob(event.text, -0.5),))
                else:
                    yield event

    events, finished = await collect(chain(Likely()), ask("a b", stream=stream))
    streamed = [each.token for event in events[1:-1] for each in event.logprobs]
    whole = [each.token for each in finished.logprobs]

    assert (streamed, whole) == ((["a", " b"], []) if stream else ([], ["a", " b"]))


@pytest.mark.parametrize(
    "failure",
    [
        DOWN,
        ResourceExhaustedError(Reason.OVERLOADED, "full"),
        InternalError(Reason.INTERNAL, "broken"),
        ZeroDivisionError("a defect"),
    ],
)
async def test_the_next_engine_steps_in_before_the_first_text(failure: Exception) -> None:
    first = FakeEngine("first", failure=failure)  # type: ignore[arg-type]
    _, finished = await collect(chain(first, FakeEngine("second")), ask("a b", stream=True))

    assert finished.engine == "second"
    assert finished.model == "second-model"
    assert finished.fallback_reason.startswith("first: ")
    assert finished.outcome.text == "a b"


async def test_a_text_that_has_begun_is_not_begun_again() -> None:
    first = FakeEngine("first", failure=DOWN, fail_at=1)
    second = FakeEngine("second")
    events = chain(first, second).generate(ask("a b", stream=True))

    assert isinstance(await anext(events), Started)
    assert isinstance(await anext(events), Delta)
    with pytest.raises(UnavailableError):
        await anext(events)
    assert second.requests == 0


@pytest.mark.parametrize(
    "failure",
    [
        InvalidArgumentError.for_field("sampling", "wrong"),
        NotFoundError(Reason.MODEL_NOT_FOUND, "no adapter"),
    ],
)
async def test_the_callers_mistakes_do_not_fail_over(failure: ServiceError) -> None:
    second = FakeEngine("second")
    with pytest.raises(type(failure)):
        await collect(chain(FakeEngine("first", failure=failure), second), ask("a"))

    assert second.requests == 0


async def test_the_first_engines_error_is_told_when_all_fail() -> None:
    second = FakeEngine("second", failure=InternalError(Reason.INTERNAL, "worse"))
    with pytest.raises(UnavailableError) as failed:
        await collect(chain(FakeEngine("first", failure=DOWN), second), ask("a"))

    assert failed.value is DOWN


async def test_a_failing_engine_is_left_alone_and_said_to_be() -> None:
    first = FakeEngine("first", failure=DOWN)
    tried = chain(first, FakeEngine("second"))
    for _ in range(8):
        _, finished = await collect(tried, ask("a"))

    assert first.requests == 4
    assert finished.fallback_reason == "first: breaker_open"
    assert [model.is_ready for model in tried.models()] == [False, True]


async def test_with_every_breaker_open_the_caller_is_told_when_to_come_back() -> None:
    tried = chain(FakeEngine("first", failure=DOWN))
    for _ in range(5):
        with pytest.raises(UnavailableError):
            await collect(tried, ask("a"))

    with pytest.raises(UnavailableError) as refused:
        await collect(tried, ask("a"))

    assert refused.value.reason is Reason.NOT_READY
    assert refused.value.retry_after_seconds == 1.0


async def test_a_slow_start_gives_the_next_engine_its_chance() -> None:
    slow = FakeEngine("slow", token_seconds=30)
    tried = chain(slow, FakeEngine("second"), first_text_seconds=0.02)
    _, finished = await collect(tried, ask("a"))

    assert finished.engine == "second"
    assert finished.fallback_reason == "slow: first_text_late"


async def test_a_deadline_leaves_time_for_the_next_engine() -> None:
    with deadline_in(0.3):
        tried = chain(FakeEngine("slow", token_seconds=30), FakeEngine("second"))
        _, finished = await collect(tried, ask("a"))

    assert finished.engine == "second"


async def test_near_the_deadline_the_text_is_what_there_is() -> None:
    engine = FakeEngine(token_seconds=0.01)
    with deadline_in(0.15):
        _, finished = await collect(chain(engine), ask("word " * 1000, stream=True))

    assert finished.outcome.finish_reason is FinishReason.DEADLINE
    assert finished.outcome.text.startswith("word word")
    written = engine.words_written
    await asyncio.sleep(0.05)
    assert engine.words_written == written


async def test_without_any_text_the_deadline_is_an_error() -> None:
    with deadline_in(0.1), pytest.raises(DeadlineExceededError) as late:
        await collect(chain(FakeEngine(token_seconds=30)), ask("a"))

    assert late.value.metadata["stage"] == "generation"


async def test_closing_the_chain_stops_the_engine() -> None:
    engine = FakeEngine(token_seconds=0.001)
    events = chain(engine).generate(ask("word " * 10_000, stream=True))
    async with contextlib.aclosing(events):
        async for event in events:
            if isinstance(event, Delta):
                break
    written = engine.words_written
    await asyncio.sleep(0.05)

    assert engine.words_written == written


async def test_a_question_over_no_passages_is_refused_without_an_engine() -> None:
    engine = FakeEngine()
    request = ask("a", prompt_template="answer@1", stream=True)
    events, finished = await collect(chain(engine), request)

    assert finished.outcome.finish_reason is FinishReason.REFUSED
    assert finished.outcome.text == events[1].text == REFUSAL
    assert engine.requests == 0


async def test_plain_chat_needs_an_engine_that_writes() -> None:
    with pytest.raises(UnimplementedError) as refused:
        await collect(chain(extractive()), ask("hello"))
    assert refused.value.reason is Reason.NOT_SUPPORTED

    _, finished = await collect(chain(extractive(), FakeEngine()), ask("hello"))
    assert finished.engine == "fake"


@pytest.mark.parametrize("fields", [{"adapter": "a"}, {"sampling": Sampling(logprobs=1)}])
async def test_what_the_fallback_cannot_do_it_is_not_asked(fields: dict[str, Any]) -> None:
    class Down(FakeEngine):
        def unsupported(self, request: GenerationRequest) -> str:
            return ""

    tried = chain(Down("first", failure=DOWN), extractive())
    with pytest.raises(UnavailableError):
        await collect(tried, ask("What is the index?", PASSAGE, **fields))


async def test_classes_and_models_choose_the_engine() -> None:
    tried = chain(FakeEngine("big"), FakeEngine("small"), cheap=["small"])

    _, cheap = await collect(tried, ask("a", request_class=RequestClass.CHEAP))
    _, usual = await collect(tried, ask("a"))
    _, named = await collect(tried, ask("a", model="small-model"))

    assert (cheap.engine, usual.engine, named.engine) == ("small", "big", "small")
    with pytest.raises(NotFoundError) as unknown:
        await collect(tried, ask("a", model="gpt-7"))
    assert unknown.value.reason is Reason.MODEL_NOT_FOUND


async def test_what_the_engine_did_without_is_told() -> None:
    _, finished = await collect(
        chain(FakeEngine("first", failure=DOWN), extractive()), ask("What is the index?", PASSAGE)
    )

    assert finished.fallback_reason == "first: dependency_unavailable; embedding_unconfigured"


async def test_a_class_nobody_stated_is_found_by_rule() -> None:
    engines = {name: FakeEngine(name) for name in ("big", "small")}
    orders = {RequestClass.CHEAP: ["small"], RequestClass.DEFAULT: ["big"]}
    tried = Chain(
        engines,
        {**orders, RequestClass.STRONG: ["big"]},
        first_text_seconds=5,
        classify=lambda request: RequestClass.CHEAP,
    )

    _, ruled = await collect(tried, ask("a", request_class=None))
    _, stated = await collect(tried, ask("a", request_class=RequestClass.DEFAULT))

    assert (ruled.engine, stated.engine) == ("small", "big")


async def test_an_engine_that_is_slow_every_time_is_skipped_while_another_can_serve() -> None:
    slow = FakeEngine("slow", token_seconds=0.02)
    tried = chain(slow, FakeEngine("second"), slow_seconds=0.01)
    for _ in range(21):
        _, finished = await collect(tried, ask("a"))

    assert finished.engine == "second"
    assert finished.fallback_reason == "slow: breaker_open"


async def test_a_slow_engine_without_another_serves_on() -> None:
    tried = chain(FakeEngine("slow", token_seconds=0.02), slow_seconds=0.001)
    for _ in range(21):
        _, finished = await collect(tried, ask("a"))

    assert finished.engine == "slow"


async def test_an_engine_that_hangs_is_skipped_before_its_requests_give_up() -> None:
    hung = FakeEngine("hung", token_seconds=60)
    tried = chain(hung, FakeEngine("second"), first_text_seconds=0.5, slow_seconds=0.05)
    first = [asyncio.create_task(collect(tried, ask("a"))) for _ in range(3)]
    await asyncio.sleep(0.1)
    _, finished = await collect(tried, ask("a"))

    assert finished.fallback_reason == "hung: breaker_open"
    answers = await asyncio.gather(*first)
    assert {each.fallback_reason for _, each in answers} == {"hung: first_text_late"}


async def test_an_engine_is_told_whether_another_could_step_in() -> None:
    seen: list[bool] = []

    class Noting(FakeEngine):
        def generate(self, request: GenerationRequest) -> Any:
            seen.append(request.may_fail_over)
            return super().generate(request)

    await collect(chain(Noting("first", failure=DOWN), Noting("second")), ask("a"))

    assert seen == [True, False]


async def test_a_cancelled_reader_is_not_taken_for_a_late_engine() -> None:
    engine = FakeEngine(token_seconds=60)
    with deadline_in(30):
        task = asyncio.create_task(collect(chain(engine), ask("a")))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
