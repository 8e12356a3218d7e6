"""Chat completions: over a collection, with citations, or plain."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent
from services.gateway.chat_operations import ChatOperations, Completion
from services.gateway.edge.cache_headers import cache_headers, tell_cache
from services.gateway.edge.openai.bodies import (
    Conversation,
    Message,
    OpenAiBody,
    collection_of,
)
from services.gateway.edge.openai.sampling import ResponseFormat, SamplingBody
from services.gateway.edge.openai.views import ChatCompletionView
from services.gateway.edge.problem import encode, openai_problem
from services.gateway.edge.render import render_citation, render_place
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.edge.sse import EVENTS, EventStream, SendData
from services.gateway.identity import Caller
from services.gateway.operations import Operations
from services.gateway.pipeline.ports import Prompt
from services.gateway.requests import Question
from services.gateway.usage import Usage
from services.rpc.errors import InvalidArgumentError
from services.rpc.telemetry import current_trace_id

_DONE = b"data: [DONE]\n\n"
_FINISH = {"length": "length", "deadline": "length"}
_TEXT_PARTS = frozenset({"text"})


class StreamOptions(OpenAiBody):
    """What a stream carries."""

    include_usage: bool | None = None


class ChatBody(SamplingBody):
    """A chat completion."""

    model: str
    """"cairn" for answers from the default collection, "cairn/NAME" from another; any other model
    answers by itself."""
    messages: list[Message] = Field(min_length=1, max_length=100)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32_768)
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    logit_bias: dict[str, float] | None = None
    response_format: ResponseFormat | None = None
    filter: str = ""
    """Condition on metadata, for answers from a collection. Not of OpenAI's API."""
    top_k: int = Field(default=0, ge=0, le=50)
    """Passages to answer from; 0: 5. Not of OpenAI's API."""

    def task(self) -> Question | Prompt:
        """Returns a question to a collection, or a prompt for a model.

        Raises:
            ServiceError: the request asks for what is not offered.
        """
        if self.n not in {None, 1}:
            raise InvalidArgumentError.for_field("n", "must be 1")
        if self.tools or self.functions:
            raise InvalidArgumentError.for_field(
                "tools" if self.tools else "functions",
                "are not supported; file_search is there in /openai/v1/responses",
            )
        for name in ("logprobs", "logit_bias"):
            if getattr(self, name):
                raise InvalidArgumentError.for_field(name, "is not supported; leave it out")
        talk = Conversation(self.messages, "messages", _TEXT_PARTS)
        form = self.response_format or ResponseFormat()
        structure = form.structure("response_format")
        limit = self.max_completion_tokens or self.max_tokens or 0
        collection = collection_of(self.model)
        # Checked alike, whoever answers.
        question = Question.checked(
            talk.question,
            collection=collection or "",
            history=talk.history,
            filter_text=self.filter,
            top_k=self.top_k,
            model="" if collection is not None else self.model,
            max_tokens=limit,
            temperature=self.temperature,
            instructions=talk.instructions,
            query_limit=talk.limit(collection),
        )
        sampling = self.sampling(structure)
        if collection is None:
            return plain_prompt(question, sampling)
        if structure:
            raise InvalidArgumentError.for_field(
                "response_format", "must be text for answers from documents, which carry citations"
            )
        return question


@dataclass(frozen=True, slots=True)
class _Written:
    """What both kinds of answer have in common."""

    text: str
    finish_reason: str
    engine: str
    usage: Usage
    trace_id: str
    extras: dict[str, Any]


def plain_prompt(question: Question, sampling: Any) -> Prompt:
    """Returns the prompt of a chat without passages."""
    return Prompt(
        query=question.query,
        history=question.history,
        instructions=question.instructions,
        passages=(),
        model=question.model,
        max_tokens=question.max_tokens,
        temperature=question.temperature,
        request_id=current_trace_id(),
        sampling=sampling,
    )


def add_chat_routes(router: APIRouter, operations: Operations, chat: ChatOperations) -> None:
    """Adds the route."""

    @router.post(
        "/chat/completions",
        operation_id="openai_create_chat_completion",
        responses={
            200: {
                "model": ChatCompletionView,
                "content": EVENTS,
            }
        },
    )
    async def complete(body: ChatBody, caller: CallerDependency) -> Response:
        """Answers the last message: from a collection with `citations`, or by a model alone."""
        task = body.task()
        if body.stream:
            return _stream(operations, chat, caller, task, body)
        if isinstance(task, Prompt):
            written = _of_completion(await chat.complete(caller, task))
            return JsonResponse(_completion(written, body.model))
        answer = await operations.query(caller, task)
        return JsonResponse(
            _completion(_of_answer(answer), body.model), headers=cache_headers(answer)
        )


def _of_answer(answer: Answer) -> _Written:
    return _Written(
        answer.answer,
        answer.finish_reason,
        answer.engine,
        answer.usage,
        answer.trace_id,
        extras_of(answer),
    )


def _of_completion(completion: Completion) -> _Written:
    return _Written(
        completion.text,
        completion.finish_reason,
        completion.engine,
        completion.usage,
        completion.trace_id,
        {},
    )


def extras_of(answer: Answer) -> dict[str, Any]:
    """Returns what OpenAI's form has no place for, under the names of our own API."""
    return {
        "citations": [render_citation(each) for each in answer.citations],
        "passages": [render_place(each) for each in answer.passages],
        "refused": answer.refused,
        "grounded": answer.grounded,
        "degraded": list(answer.degraded),
        "cached": answer.cached,
    }


def _completion(written: _Written, model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": written.text, "refusal": None, **written.extras}
    return {
        "id": f"chatcmpl-{written.trace_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": _FINISH.get(written.finish_reason, "stop"),
            }
        ],
        "usage": _usage(written.usage),
        "system_fingerprint": written.engine,
    }


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
    }


class _Chunks:
    """Makes the chunks of one stream."""

    def __init__(self, body: ChatBody) -> None:
        self._model = body.model
        self._created = int(time.time())
        self.has_usage = body.stream_options is not None and bool(body.stream_options.include_usage)
        # What surrounds the text is the same in every chunk: encoded once.
        empty = self.of({"content": ""})
        self._before, self._after = empty.split(b'"content":""')
        self._before += b'"content":'

    def text(self, text: str) -> bytes:
        """Returns a chunk with more text."""
        return self._before + encode(text) + self._after

    def of(
        self, delta: dict[str, Any], finish_reason: str | None = None, usage: Any = None
    ) -> bytes:
        """Returns one chunk; the one with the usage has no choice."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        value = {
            "id": f"chatcmpl-{current_trace_id()}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": [] if usage is not None else [choice],
            **({"usage": usage} if self.has_usage else {}),
        }
        return b"data: " + encode(value) + b"\n\n"


def _stream(
    operations: Operations,
    chat: ChatOperations,
    caller: Caller,
    task: Question | Prompt,
    body: ChatBody,
) -> Response:
    chunks = _Chunks(body)
    headers: dict[str, str] = {}

    async def work(write: SendData) -> None:
        has_begun = False

        async def begin() -> None:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                await write(chunks.of({"role": "assistant", "content": ""}))

        async def emit_text(text: str) -> None:
            await begin()
            await write(chunks.text(text))

        async def emit(found: AnswerEvent) -> None:
            tell_cache(headers, found)
            if isinstance(found, AnswerDelta):
                await emit_text(found.text)
            else:
                await begin()

        if isinstance(task, Prompt):
            written = _of_completion(await chat.complete(caller, task, emit_text))
        else:
            written = _of_answer(await operations.query(caller, task, emit))
        await begin()
        finish = _FINISH.get(written.finish_reason, "stop")
        await write(chunks.of(written.extras, finish))
        if chunks.has_usage:
            await write(chunks.of({}, usage=_usage(written.usage)))
        await write(_DONE)

    return EventStream(
        work,
        lambda error: b"data: " + encode(openai_problem(error, current_trace_id())) + b"\n\n",
        headers,
    )
