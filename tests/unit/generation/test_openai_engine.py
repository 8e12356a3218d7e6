"""The engine over an OpenAI-compatible endpoint, against one of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from services.generation import openai_engine
from services.generation.engine import (
    Cost,
    FinishReason,
    OutputForm,
    Passage,
    Sampling,
    StructuredOutput,
)
from services.generation.openai_engine import ATTEMPTS, OpenAiEngine
from services.generation.prices import Prices
from services.generation.prompt import REFUSAL
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from tests.kit.generation_requests import ask, run

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 2,
    "prompt_tokens_details": {"cached_tokens": 4},
}


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_engine, "_FIRST_BACKOFF_SECONDS", 0.001)


def sse(*events: Any) -> bytes:
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([": comment\n\n", *lines, "data: [DONE]\n\n"]).encode()


def text(*pieces: str, finish: str = "stop") -> bytes:
    chunks = [{"choices": [{"delta": {"content": piece}}]} for piece in pieces]
    end = {"choices": [{"delta": {}, "finish_reason": finish}]}
    return sse(*chunks, end, {"choices": [], "usage": USAGE})


def engine(
    answer: Callable[[httpx.Request], httpx.Response], **fields: Any
) -> tuple[OpenAiEngine, list[dict[str, Any]]]:
    bodies: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://llm/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer k"
        bodies.append(json.loads(request.content))
        return answer(request)

    made = OpenAiEngine(
        base_url="http://llm/v1",
        api_key="k",
        model="m",
        transport=httpx.MockTransport(handle),
        **fields,
    )
    return made, bodies


async def test_it_streams_text_and_reports_usage() -> None:
    tried, bodies = engine(lambda _: httpx.Response(200, content=text("Hel", "lo")))
    request = ask(
        "q",
        "p",
        stream=True,
        sampling=Sampling(max_tokens=7, temperature=0.5, seed=3, stop=("x",)),
    )
    deltas, outcome = await run(tried, request)

    assert [each.text for each in deltas] == ["Hel", "lo"]
    assert outcome.text == "Hello"
    assert outcome.finish_reason is FinishReason.STOP
    assert outcome.usage.prompt_tokens == 9
    assert outcome.usage.cached_prompt_tokens == 4
    (body,) = bodies
    assert body["messages"][0]["role"] == "system"
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (7, 0.5, 3)
    assert body["stop"] == ["x"]
    assert "top_p" not in body


async def test_markers_come_back_in_the_requests_order() -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=text("It is so [", "1].")))
    request = ask("q", Passage("late", document_id="z"), Passage("early", document_id="a"))
    _, outcome = await run(tried, request)

    assert outcome.text == "It is so [2]."


async def test_length_and_refusal_are_told() -> None:
    cut, _ = engine(lambda _: httpx.Response(200, content=text("a", finish="length")))
    no, _ = engine(lambda _: httpx.Response(200, content=text(REFUSAL)))

    assert (await run(cut, ask("q")))[1].finish_reason is FinishReason.LENGTH
    assert (await run(no, ask("q", "p")))[1].finish_reason is FinishReason.REFUSED


async def test_logprobs_and_schema_are_passed_on() -> None:
    token = {"token": "a", "logprob": -0.1, "top_logprobs": [{"token": "b", "logprob": -2.0}]}
    chunk = {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [token]}}]}
    tried, bodies = engine(lambda _: httpx.Response(200, content=sse(chunk)))
    request = ask(
        "q",
        sampling=Sampling(logprobs=1),
        structured_output=StructuredOutput(OutputForm.JSON_SCHEMA, '{"type": "object"}'),
    )
    deltas, _ = await run(tried, request)

    assert deltas[0].logprobs[0].alternatives[0].token == "b"
    assert bodies[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert bodies[0]["top_logprobs"] == 1


async def test_failures_before_the_first_text_are_repeated() -> None:
    answers: Iterator[httpx.Response] = iter(
        [httpx.Response(503), httpx.Response(429), httpx.Response(200, content=text("ok"))]
    )
    tried, bodies = engine(lambda _: next(answers))

    assert (await run(tried, ask("q")))[1].text == "ok"
    assert len(bodies) == ATTEMPTS


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (500, {}, UnavailableError),
        (401, {}, UnavailableError),
        (404, {}, UnavailableError),
        (429, {"retry-after": "7"}, ResourceExhaustedError),
        (400, {}, InvalidArgumentError),
    ],
)
async def test_statuses_become_precise_errors(
    status: int, headers: dict[str, str], error: type[ServiceError]
) -> None:
    tried, bodies = engine(
        lambda _: httpx.Response(status, headers=headers, content=b"a secret text")
    )
    with pytest.raises(error) as failed:
        await run(tried, ask("q"))

    assert "secret" not in failed.value.message
    if headers:
        assert failed.value.retry_after_seconds == 7.0
        assert len(bodies) == 1, "a pause that long is the caller's to decide"
    if error is InvalidArgumentError:
        assert len(bodies) == 1


async def test_a_context_too_long_is_told_as_such() -> None:
    content = b'{"error": {"message": "maximum context length is 10"}}'
    tried, _ = engine(lambda _: httpx.Response(400, content=content))
    with pytest.raises(InvalidArgumentError) as failed:
        await run(tried, ask("q"))
    assert failed.value.reason is Reason.CONTEXT_TOO_LONG

    small, bodies = engine(lambda _: httpx.Response(200), max_context_tokens=600)
    with pytest.raises(InvalidArgumentError) as refused:
        await run(small, ask("word " * 500))
    assert refused.value.reason is Reason.CONTEXT_TOO_LONG
    assert bodies == []


@pytest.mark.parametrize(
    "content", [b"data: {not json\n\n", b'data: {"error": "x"}\n\n', b"data: []\n\n"]
)
async def test_a_broken_stream_is_an_outage(content: bytes) -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=content))
    with pytest.raises(UnavailableError):
        await run(tried, ask("q"))


async def test_an_endpoint_that_is_down_is_unavailable_within_the_deadline() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    tried, bodies = engine(refuse)
    with pytest.raises(UnavailableError):
        await run(tried, ask("q"))
    assert len(bodies) == ATTEMPTS

    with deadline_in(0.0005), pytest.raises(UnavailableError):
        await run(tried, ask("q"))
    assert len(bodies) == ATTEMPTS + 1


async def test_closing_the_generator_closes_the_connection() -> None:
    class Endless(httpx.AsyncByteStream):
        is_closed = False

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b'data: {"choices": [{"delta": {"content": "x"}}]}\n\n'
                await asyncio.sleep(0)

        async def aclose(self) -> None:
            self.is_closed = True

    stream = Endless()
    tried, _ = engine(lambda _: httpx.Response(200, stream=stream))
    events = tried.generate(ask("q", stream=True))
    await anext(events)
    await events.aclose()

    assert stream.is_closed


def test_what_it_cannot_do_it_says() -> None:
    tried, _ = engine(lambda _: httpx.Response(200))

    assert "json_schema" in tried.unsupported(
        ask("q", structured_output=StructuredOutput(OutputForm.REGEX, "a"))
    )
    assert "adapters" in tried.unsupported(ask("q", adapter="a"))
    assert tried.unsupported(ask("q")) == ""


async def test_repetitions_end_when_their_budget_is_spent() -> None:
    tried, bodies = engine(lambda _: httpx.Response(503))
    for _ in range(40):
        with pytest.raises(UnavailableError):
            await run(tried, ask("q"))

    assert len(bodies) <= 40 + 10 + 0.1 * 40


async def test_a_stream_that_breaks_before_any_text_is_asked_for_again() -> None:
    answers = iter([b"data: {not json\n\n", text("ok")])
    tried, bodies = engine(lambda _: httpx.Response(200, content=next(answers)))

    assert (await run(tried, ask("q")))[1].text == "ok"
    assert len(bodies) == 2


async def test_a_stream_that_breaks_after_some_text_is_an_error_and_no_end() -> None:
    content = b'data: {"choices": [{"delta": {"content": "half an ans"}}]}\n\n'
    tried, bodies = engine(lambda _: httpx.Response(200, content=content))
    with pytest.raises(UnavailableError, match="without a finish reason"):
        await run(tried, ask("q"))

    assert len(bodies) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m3s"},
        {"x-ratelimit-remaining-tokens": "10", "x-ratelimit-reset-tokens": "63s"},
        {"ratelimit-remaining": "0", "ratelimit-reset": "63"},
    ],
)
async def test_a_used_up_rate_limit_is_not_run_against(headers: dict[str, str]) -> None:
    tried, bodies = engine(lambda _: httpx.Response(200, headers=headers, content=text("ok")))
    await run(tried, ask("q"))

    with pytest.raises(ResourceExhaustedError, match="rate limit") as refused:
        await run(tried, ask("q"))

    assert len(bodies) == 1
    assert refused.value.retry_after_seconds is not None
    assert 50 < refused.value.retry_after_seconds <= 60


async def test_after_a_refusal_the_endpoint_is_left_alone_as_long_as_it_asks() -> None:
    tried, bodies = engine(lambda _: httpx.Response(429, headers={"retry-after": "7"}))
    for _ in range(3):
        with pytest.raises(ResourceExhaustedError):
            await run(tried, ask("q"))

    assert len(bodies) == 1


async def test_a_short_wait_for_the_limit_is_waited() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "20ms"}
    tried, bodies = engine(lambda _: httpx.Response(200, headers=headers, content=text("ok")))
    await run(tried, ask("q"))
    await run(tried, ask("q"))

    assert len(bodies) == 2


async def test_tokens_are_priced() -> None:
    prices = Prices(prompt=10, cached_prompt=1, completion=100, currency="EUR")
    tried, _ = engine(lambda _: httpx.Response(200, content=text("ok")), prices=prices)
    _, outcome = await run(tried, ask("q"))

    assert outcome.cost == Cost((5 * 10 + 4 * 1 + 2 * 100) / 1e6, "EUR")


async def test_usage_that_is_not_reported_is_estimated() -> None:
    chunk = {"choices": [{"delta": {"content": "four words of text"}, "finish_reason": "stop"}]}
    tried, _ = engine(lambda _: httpx.Response(200, content=sse(chunk)))
    _, outcome = await run(tried, ask("a question"))

    assert outcome.usage.prompt_tokens > 3
    assert outcome.usage.completion_tokens == 6


async def test_an_endpoint_that_does_not_stream_is_read_all_the_same() -> None:
    whole = {"choices": [{"message": {"content": "ok"}, "finish_reason": "length"}], "usage": USAGE}
    tried, _ = engine(lambda _: httpx.Response(200, json=whole))
    _, outcome = await run(tried, ask("q"))

    assert (outcome.text, outcome.finish_reason) == ("ok", FinishReason.LENGTH)
    assert outcome.usage.prompt_tokens == 9


async def test_a_filtered_answer_is_a_refusal() -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=text("I", finish="content_filter")))

    assert (await run(tried, ask("q")))[1].finish_reason is FinishReason.REFUSED


@pytest.mark.parametrize("word", ["max_completion_tokens", "stream_options"])
async def test_what_newer_or_older_endpoints_want_is_learnt(word: str) -> None:
    answers = iter(
        [
            httpx.Response(400, content=f'{{"error": {{"message": "about {word}"}}}}'.encode()),
            httpx.Response(200, content=text("ok")),
            httpx.Response(200, content=text("ok")),
        ]
    )
    tried, bodies = engine(lambda _: next(answers))
    await run(tried, ask("q", sampling=Sampling(max_tokens=7)))
    await run(tried, ask("q", sampling=Sampling(max_tokens=7)))

    assert len(bodies) == 3
    for body in bodies[1:]:
        if word == "stream_options":
            assert word not in body
        else:
            assert body[word] == 7
            assert "max_tokens" not in body


@pytest.mark.parametrize(
    "content", [b'{"choices": 5}', b'{"choices": [{"delta": {"content": 1}}]}']
)
async def test_what_is_no_chat_completion_is_an_outage(content: bytes) -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=b"data: " + content + b"\n\n"))
    with pytest.raises(UnavailableError, match="no chat completion"):
        await run(tried, ask("q"))


HALF_OF_A_PAIR = b'{"choices": [{"delta": {"content": "a\\ud800"}, "finish_reason": "stop"}]}'
PARTS = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "ok"}]


@pytest.mark.parametrize(
    ("content", "written"),
    [
        (b"data: " + HALF_OF_A_PAIR + b"\n\n", "a?"),
        (b'data: {"choices":\ndata: [{"delta": {"content": "ok"}, "finish_reason": "x"}]}\n\n', "ok"),
        (text("ok").replace(b"\n", b"\r\n"), "ok"),
        (text("ok").removesuffix(b"data: [DONE]\n\n").rstrip(), "ok"),
        (sse({"choices": [{"delta": {"content": PARTS}, "finish_reason": "stop"}]}), "ok"),
        (
            sse(
                {"choices": [{"delta": {"content": "ok"}}, {"index": 1, "delta": {"content": "no"}}]},
                {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            ),
            "ok",
        ),
    ],
)  # fmt: skip
async def test_odd_but_readable_answers_are_read(content: bytes, written: str) -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=content))

    assert (await run(tried, ask("q")))[1].text == written


@pytest.mark.parametrize(
    "content",
    [
        sse(),
        b'data: {"a":' * 50_000,
        b"data: " + b"[" * 50_000 + b"\n\n",
        b'data: {"usage": {"prompt_tokens": 1e999}}\n\n',
        sse({"choices": [{"delta": {"content": "x"}, "finish_reason": ["stop"]}]}),
        sse({"choices": [{"logprobs": {"content": [{"token": "x", "logprob": "y"}]}}]}),
        sse({"choices": [{"logprobs": {"content": [{"token": None, "logprob": -1}]}}]}),
    ],
)
async def test_unreadable_answers_are_outages(content: bytes) -> None:
    tried, _ = engine(lambda _: httpx.Response(200, content=content))
    with pytest.raises(UnavailableError):
        await run(tried, ask("q"))


@pytest.mark.parametrize("tokens", [-5, 10**30])
async def test_usage_that_cannot_be_is_estimated(tokens: int) -> None:
    chunk = {"choices": [{"delta": {"content": "four words of text"}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": tokens, "completion_tokens": 1}}
    tried, _ = engine(lambda _: httpx.Response(200, content=sse(chunk, usage)))

    assert (await run(tried, ask("a question")))[1].usage.completion_tokens == 6


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_what_has_no_end_is_not_read_to_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = 0

    async def forever() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 65_536

    tried, _ = engine(
        lambda _: httpx.Response(200, headers={"content-type": kind}, content=forever())
    )
    with pytest.raises(UnavailableError):
        await run(tried, ask("q"))
    assert sent < 65 * ATTEMPTS

    monkeypatch.setattr(openai_engine, "_MAX_ANSWER_CHARACTERS", 1000)
    endless = text(*["word " * 50] * 10).removesuffix(b"data: [DONE]\n\n")
    chatty, _ = engine(lambda _: httpx.Response(200, content=endless))
    _, outcome = await run(chatty, ask("q"))
    assert (len(outcome.text), outcome.finish_reason) == (1000, FinishReason.LENGTH)


async def test_a_refusal_says_why_and_when_to_come_back() -> None:
    said = b'{"error": {"message": "temperature must be 1"}}'
    strict, _ = engine(lambda _: httpx.Response(400, content=said))
    with pytest.raises(InvalidArgumentError, match="temperature must be 1"):
        await run(strict, ask("q"))

    full, _ = engine(lambda _: httpx.Response(429))
    with pytest.raises(ResourceExhaustedError) as refused:
        await run(full, ask("q"))
    assert refused.value.retry_after_seconds
