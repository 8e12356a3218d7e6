"""The official OpenAI client against the gateway."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from services.rpc.errors import Reason, UnavailableError
from tests.kit.gateway import RunningGateway


@contextlib.asynccontextmanager
async def client_of(gw: RunningGateway, key: str = "") -> AsyncIterator[openai.AsyncOpenAI]:
    async with (
        httpx.AsyncClient(trust_env=False) as http,
        openai.AsyncOpenAI(
            base_url=f"{gw.url}/openai/v1",
            api_key=key or gw.key,
            max_retries=0,
            timeout=20,
            http_client=http,
        ) as client,
    ):
        yield client


MESSAGES = [{"role": "user", "content": "How does granite form?"}]


async def test_completion_carries_citations(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        completion = await client.chat.completions.create(
            model="cairn",
            messages=[
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "How does granite form?"}]},
            ],
            user="somebody",
        )
    message = completion.choices[0].message
    assert (
        message.content == "Granite forms when magma cools slowly [1]. Granite is an igneous rock."
    )
    assert message.model_extra is not None
    assert message.model_extra["citations"][0]["marker"] == 1
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 12
    (request,) = gw.down.generation.generate.requests("Generate")
    assert [m.content for m in request.messages] == ["Be brief.", "How does granite form?"]


async def test_stream_gives_the_same_text(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        stream = await client.chat.completions.create(
            model="cairn/default",
            messages=MESSAGES,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "Granite forms when magma cools slowly [1]. Granite is an igneous rock."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 100
    last = chunks[-2].choices[0]
    assert last.finish_reason == "stop"
    assert last.delta.model_extra is not None
    assert last.delta.model_extra["citations"][0]["document_id"] == "rocks/granite.md"


async def test_models_and_embeddings(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        names = [model.id async for model in client.models.list()]
        assert names[:2] == ["cairn", "cairn/default"]
        assert (await client.models.retrieve("cairn")).id == "cairn"
        packed = await client.embeddings.create(model="", input=["ab", "abc"])
        plain = await client.embeddings.create(model="", input="ab", encoding_format="float")
    assert packed.data[1].embedding == [3.0, 1.0, 0.0, 0.0]
    assert plain.data[0].embedding == packed.data[0].embedding
    assert packed.usage.total_tokens == 2


async def test_what_is_null_is_absent_and_a_long_text_is_worked_on_by_a_model_alone(
    gw: RunningGateway,
) -> None:
    nothing: Any = dict.fromkeys(("stream", "stream_options", "n", "stop", "tools", "logprobs"))
    long = [{"role": "user", "content": "Sum this up: " + "granite " * 4_000}]
    async with client_of(gw) as client:
        done = await client.chat.completions.create(model="tiny", messages=MESSAGES, **nothing)
        assert done.choices[0].message.content
        worked = await client.chat.completions.create(model="tiny", messages=long)
        assert worked.choices[0].message.content
        with pytest.raises(openai.BadRequestError, match=r"messages\[0\].content: has 32013"):
            await client.chat.completions.create(model="cairn", messages=long)


async def test_errors_are_the_clients_own(gw: RunningGateway) -> None:
    async with client_of(gw) as client:
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="gpt-9", messages=MESSAGES)
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="cairn/absent", messages=MESSAGES)
        for options in (
            {"n": 2},
            {"temperature": 9},
            {"messages": []},
            {"tools": [{"type": "x"}]},
            {"functions": [{"name": "x"}]},
            {"logprobs": True},
            {"logit_bias": {"50256": -100}},
        ):
            with pytest.raises(openai.BadRequestError) as bad:
                await client.chat.completions.create(
                    **({"model": "cairn", "messages": MESSAGES} | options)
                )
            assert bad.value.type == "invalid_request_error"
        with pytest.raises(openai.NotFoundError):
            await client.embeddings.create(model="absent", input="x")
        with pytest.raises(openai.BadRequestError):
            await client.embeddings.create(model="", input=[[1, 2]])
        gw.down.retrieval.search.error = UnavailableError(Reason.NOT_READY, "away")
        with pytest.raises(openai.InternalServerError) as away:
            await client.chat.completions.create(model="cairn", messages=MESSAGES)
        assert away.value.status_code == 503
    async with client_of(gw, "crn_wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()
