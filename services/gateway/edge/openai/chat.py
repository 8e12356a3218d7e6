"""OpenAI's API over the same core: chat completions with citations, embeddings, models."""

from __future__ import annotations

import base64
import struct
import time
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent
from services.gateway.edge.problem import encode, openai_problem
from services.gateway.edge.render import render_citation
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.sse import EventStream, SendData
from services.gateway.identity import Caller, Operation
from services.gateway.operations import Operations
from services.gateway.requests import Question, Speaker, Turn
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason
from services.rpc.telemetry import current_trace_id

MODEL = "cairn"
_DONE = b"data: [DONE]\n\n"
_FINISH = {"length": "length", "deadline": "length"}


class OpenAiBody(BaseModel):
    """A body of OpenAI's API: fields that mean nothing here are passed over, as its servers do."""

    model_config = ConfigDict(extra="ignore", strict=True, use_attribute_docstrings=True)


class ContentPart(OpenAiBody):
    """Part of a message."""

    type: str
    text: str = ""


class ChatMessage(OpenAiBody):
    """A message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None

    def plain(self, path: str) -> str:
        """Returns the message's text.

        Raises:
            InvalidArgumentError: it holds something else than text.
        """
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        for part in self.content:
            if part.type != "text":
                raise InvalidArgumentError.for_field(
                    f"{path}.content", f"parts of type {part.type[:40]!r} are not supported"
                )
        return "\n".join(part.text for part in self.content)


class StreamOptions(OpenAiBody):
    """What a stream carries."""

    include_usage: bool = False


class ChatBody(OpenAiBody):
    """A chat completion over a collection."""

    model: str
    """"cairn" for the default collection, "cairn/NAME" for another."""
    messages: list[ChatMessage] = Field(min_length=1, max_length=100)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32_768)
    temperature: float | None = Field(default=None, ge=0, le=2)
    n: int | None = None
    tools: list[Any] | None = None

    def question(self) -> Question:
        """Returns the last user message as a question and the others as its history.

        Raises:
            ServiceError: the request asks for what is not offered.
        """
        if self.n not in {None, 1}:
            raise InvalidArgumentError.for_field("n", "must be 1")
        if self.tools:
            raise InvalidArgumentError.for_field("tools", "are not supported")
        collection = _collection(self.model)
        last = self.messages[-1]
        if last.role != "user":
            raise InvalidArgumentError.for_field("messages", "the last one must be the user's")
        history: list[Turn] = []
        instructions: list[str] = []
        for index, message in enumerate(self.messages[:-1]):
            text = message.plain(f"messages[{index}]")
            if message.role in {"system", "developer"}:
                instructions.append(text)
            else:
                history.append(Turn(Speaker(message.role), text))
        return Question.checked(
            last.plain(f"messages[{len(self.messages) - 1}]"),
            collection=collection,
            history=history[-50:],
            max_tokens=self.max_completion_tokens or self.max_tokens or 0,
            temperature=self.temperature,
            instructions="\n\n".join(instructions),
        )


class EmbeddingsBody(OpenAiBody):
    """Texts to embed."""

    input: str | list[str] | list[int] | list[list[int]]
    model: str = ""
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int = Field(default=0, ge=0, le=65_536)

    def texts(self) -> list[str]:
        """Returns the texts.

        Raises:
            InvalidArgumentError: the input is token ids.
        """
        texts = [self.input] if isinstance(self.input, str) else self.input
        if not all(isinstance(each, str) for each in texts):
            raise InvalidArgumentError.for_field(
                "input", "send texts; token ids belong to other tokenizers"
            )
        return [each for each in texts if isinstance(each, str)]


def openai_routes(operations: Operations) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/openai/v1",
        tags=["openai"],
        route_class=StrictRoute,
        responses=error_responses(openai=True),
    )

    @router.get("/models", operation_id="openai_list_models")
    async def models(caller: CallerDependency) -> Response:
        """Lists a model for each collection, and the embedding models."""
        names = await _model_names(operations, caller)
        return JsonResponse({"object": "list", "data": [_model(name) for name in names]})

    @router.get("/models/{name:path}", operation_id="openai_get_model")
    async def model(name: str, caller: CallerDependency) -> Response:
        """Returns a model."""
        if name not in await _model_names(operations, caller):
            raise NotFoundError(Reason.MODEL_NOT_FOUND, "there is no such model")
        return JsonResponse(_model(name))

    @router.post(
        "/chat/completions",
        operation_id="openai_create_chat_completion",
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def chat(body: ChatBody, caller: CallerDependency) -> Response:
        """Answers the last message from a collection; `citations` are in the message."""
        question = body.question()
        if body.stream:
            return _chat_stream(operations, caller, question, body)
        answer = await operations.query(caller, question)
        return JsonResponse(_completion(answer, body.model))

    @router.post("/embeddings", operation_id="openai_create_embedding")
    async def embeddings(body: EmbeddingsBody, caller: CallerDependency) -> Response:
        """Embeds texts."""
        embedded = await operations.embed(caller, body.texts(), body.model, body.dimensions)
        return JsonResponse(
            {
                "object": "list",
                "data": [
                    {
                        "object": "embedding",
                        "index": index,
                        "embedding": _numbers(row, body.encoding_format),
                    }
                    for index, row in enumerate(embedded.rows)
                ],
                "model": embedded.model,
                "usage": {
                    "prompt_tokens": embedded.tokens,
                    "total_tokens": embedded.tokens,
                },
            }
        )

    return router


def _collection(model: str) -> str:
    if model == MODEL:
        return ""
    prefix, _, collection = model.partition("/")
    if prefix != MODEL or not collection:
        raise NotFoundError(
            Reason.MODEL_NOT_FOUND, f"there is no such model: use {MODEL!r} or '{MODEL}/COLLECTION'"
        )
    return collection


async def _model_names(operations: Operations, caller: Caller) -> list[str]:
    caller.require(Operation.READ_COLLECTIONS)
    page = await operations.list_collections(caller, page_size=1_000)
    embedding = await operations.embedding_models(caller)
    return [
        MODEL,
        *(f"{MODEL}/{each.name}" for each in page.entries),
        *(each.name for each in embedding),
    ]


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "cairn"}


def _completion(answer: Answer, model: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.trace_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": answer.answer,
                    "refusal": None,
                    **_extras(answer),
                },
                "logprobs": None,
                "finish_reason": _FINISH.get(answer.finish_reason, "stop"),
            }
        ],
        "usage": _usage(answer),
        "system_fingerprint": answer.engine,
    }


def _extras(answer: Answer) -> dict[str, Any]:
    """Returns what OpenAI's form has no place for, under the names of our own API."""
    return {
        "citations": [render_citation(each) for each in answer.citations],
        "refused": answer.refused,
        "grounded": answer.grounded,
        "degraded": list(answer.degraded),
    }


def _usage(answer: Answer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
    }


def _chat_stream(
    operations: Operations, caller: Caller, question: Question, body: ChatBody
) -> Response:
    stamp = int(time.time())
    has_usage = body.stream_options is not None and body.stream_options.include_usage

    def chunk(choices: list[Any], **more: Any) -> bytes:
        value = {
            "id": f"chatcmpl-{current_trace_id()}",
            "object": "chat.completion.chunk",
            "created": stamp,
            "model": body.model,
            "choices": choices,
            **({"usage": None} if has_usage else {}),
            **more,
        }
        return b"data: " + encode(value) + b"\n\n"

    def choice(delta: dict[str, Any], finish_reason: str | None = None) -> list[Any]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}]

    async def work(write: SendData) -> None:
        async def emit(found: AnswerEvent) -> None:
            if isinstance(found, AnswerDelta):
                await write(chunk(choice({"content": found.text})))
            else:
                await write(chunk(choice({"role": "assistant", "content": ""})))

        answer = await operations.query(caller, question, emit)
        finish = _FINISH.get(answer.finish_reason, "stop")
        await write(chunk(choice(_extras(answer), finish)))
        if has_usage:
            await write(chunk([], usage=_usage(answer)))
        await write(_DONE)

    return EventStream(
        work, lambda error: b"data: " + encode(openai_problem(error, current_trace_id())) + b"\n\n"
    )


def _numbers(row: bytes, encoding: str) -> str | list[float]:
    if encoding == "base64":
        return base64.b64encode(row).decode()
    return list(struct.unpack(f"<{len(row) // 4}f", row))
