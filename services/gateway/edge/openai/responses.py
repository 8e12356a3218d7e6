"""Responses: answers with file_search and file_citation, whole or as semantic events."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answer import Answer, AnswerDelta, AnswerEvent, PassagesFound
from services.gateway.chat_operations import ChatOperations, Completion
from services.gateway.edge.cache_headers import cache_headers, tell_cache
from services.gateway.edge.openai.chat import extras_of
from services.gateway.edge.openai.ranking import file_name_of, render_hit
from services.gateway.edge.openai.response_bodies import ResponseBody
from services.gateway.edge.openai.views import ResponseView
from services.gateway.edge.problem import openai_problem
from services.gateway.edge.routing import CallerDependency, JsonResponse
from services.gateway.edge.sse import EVENTS, EventStream, SendData, event
from services.gateway.identity import Caller
from services.gateway.operations import Operations
from services.gateway.passages import ScoredPassage
from services.gateway.pipeline.ports import Prompt
from services.gateway.requests import Question
from services.gateway.usage import Usage
from services.rpc.errors import ServiceError
from services.rpc.telemetry import current_trace_id

_MARKER = re.compile(r"\[(\d{1,5})\]")
_INCOMPLETE = frozenset({"length", "deadline", "interrupted"})

Json = dict[str, Any]


def add_response_routes(router: APIRouter, operations: Operations, chat: ChatOperations) -> None:
    """Adds the route."""

    @router.post(
        "/responses",
        operation_id="openai_create_response",
        responses={
            200: {
                "model": ResponseView,
                "content": EVENTS,
            }
        },
    )
    async def create(body: ResponseBody, caller: CallerDependency) -> Response:
        """Answers: with file_search from a vector store, else as the model's name says."""
        task = body.task()
        if body.stream:
            return _stream(operations, chat, caller, task, body)
        draft = _Draft(body, current_trace_id())
        if isinstance(task, Prompt):
            return JsonResponse(draft.of_completion(await chat.complete(caller, task)))
        answer = await operations.query(caller, task)
        return JsonResponse(draft.of_answer(answer, task), headers=cache_headers(answer))


@dataclass(frozen=True, slots=True)
class _Draft:
    """Makes the response object from the request and what came of it."""

    body: ResponseBody
    trace_id: str

    def empty(self, status: str) -> Json:
        """Returns the response before there is anything in it."""
        body = self.body
        return {
            "id": f"resp_{self.trace_id}",
            "object": "response",
            "created_at": int(time.time()),
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": dict(body.metadata or {}),
            "model": body.model,
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "store": False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [tool.model_dump(exclude_none=True) for tool in body.tools or ()],
            "top_p": body.top_p,
            "truncation": "disabled",
            "usage": None,
        }

    def search_item(self, question: Question, passages: tuple[ScoredPassage, ...] | None) -> Json:
        """Returns the file_search_call; None: still searching."""
        results = None
        if passages is not None and self.body.has_results:
            results = [{**render_hit(each), "text": each.passage.text} for each in passages]
        return {
            "id": f"fs_{self.trace_id}",
            "type": "file_search_call",
            "status": "in_progress" if passages is None else "completed",
            "queries": [question.query],
            "results": results,
        }

    def message_item(self, status: str, content: list[Json]) -> Json:
        """Returns the message."""
        return {
            "id": f"msg_{self.trace_id}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }

    def of_answer(self, answer: Answer, question: Question) -> Json:
        """Returns the response of an answer from documents."""
        part = text_part(answer.answer, annotations_of(answer))
        status = "incomplete" if answer.finish_reason in _INCOMPLETE else "completed"
        return self._whole(
            answer.finish_reason,
            [
                self.search_item(question, answer.passages),
                self.message_item(status, [part]),
            ],
            answer.usage,
        ) | extras_of(answer)

    def of_completion(self, completion: Completion) -> Json:
        """Returns the response of a model alone."""
        status = "incomplete" if completion.finish_reason in _INCOMPLETE else "completed"
        part = text_part(completion.text, [])
        return self._whole(
            completion.finish_reason, [self.message_item(status, [part])], completion.usage
        )

    def failed(self, error: ServiceError) -> Json:
        """Returns the response of a stream that broke off."""
        detail = openai_problem(error, self.trace_id)["error"]
        return self.empty("failed") | {
            "error": {"code": "server_error", "message": detail["message"]}
        }

    def _whole(self, finish_reason: str, output: list[Json], usage: Usage) -> Json:
        is_incomplete = finish_reason in _INCOMPLETE
        return self.empty("incomplete" if is_incomplete else "completed") | {
            "incomplete_details": {"reason": "max_output_tokens"} if is_incomplete else None,
            "output": output,
            "usage": _usage(usage),
        }


def text_part(text: str, annotations: list[Json]) -> Json:
    """Returns the content of a message."""
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def annotations_of(answer: Answer) -> list[Json]:
    """Returns a file_citation for each marker in the text; the lower fields are ours."""
    known = {each.marker: each for each in answer.citations}
    annotations: list[Json] = []
    for found in _MARKER.finditer(answer.answer):
        citation = known.get(int(found.group(1)))
        if citation is None:
            continue
        annotations.append(
            {
                "type": "file_citation",
                "file_id": citation.document_id,
                "filename": file_name_of(citation.uri, citation.title, citation.document_id),
                "index": found.start(),
                "marker": citation.marker,
                "chunk_id": citation.chunk_id,
                "start": citation.start,
                "end": citation.end,
                "text": citation.text,
            }
        )
    return annotations


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class _Events:
    """Writes the events of one response, numbered."""

    def __init__(self, draft: _Draft) -> None:
        self._draft = draft
        self._number = 0
        self._has_message = False
        self._message_index = 0
        self.has_begun = False

    def one(self, kind: str, **data: Any) -> bytes:
        """Returns one event."""
        self._number += 1
        return event(kind, {"type": kind, "sequence_number": self._number - 1, **data})

    def begin(self) -> bytes:
        """Returns the first events."""
        self.has_begun = True
        empty = self._draft.empty("in_progress")
        return self.one("response.created", response=empty) + self.one(
            "response.in_progress", response=empty
        )

    def searched(self, question: Question, passages: tuple[ScoredPassage, ...]) -> bytes:
        """Returns the events of the search."""
        item = self._draft.search_item(question, None)
        place = {"output_index": 0, "item_id": item["id"]}
        self._message_index = 1
        return b"".join(
            (
                self.one("response.output_item.added", output_index=0, item=item),
                self.one("response.file_search_call.in_progress", **place),
                self.one("response.file_search_call.searching", **place),
                self.one("response.file_search_call.completed", **place),
                self.one(
                    "response.output_item.done",
                    output_index=0,
                    item=self._draft.search_item(question, passages),
                ),
            )
        )

    def delta(self, text: str) -> bytes:
        """Returns the events of more text."""
        return self._opened() + self.one(
            "response.output_text.delta", **self._place(), delta=text, logprobs=[]
        )

    def end(self, response: Json) -> bytes:
        """Returns the last events."""
        message = response["output"][-1]
        part = message["content"][0]
        place = self._place()
        cited = [
            self.one(
                "response.output_text.annotation.added",
                **place,
                annotation_index=index,
                annotation=annotation,
            )
            for index, annotation in enumerate(part["annotations"])
        ]
        return b"".join(
            (
                self._opened(),
                *cited,
                self.one("response.output_text.done", **place, text=part["text"], logprobs=[]),
                self.one("response.content_part.done", **place, part=part),
                self.one(
                    "response.output_item.done", output_index=self._message_index, item=message
                ),
                self.one(f"response.{response['status']}", response=response),
            )
        )

    def _place(self) -> Json:
        item = self._draft.message_item("in_progress", [])
        return {"output_index": self._message_index, "item_id": item["id"], "content_index": 0}

    def _opened(self) -> bytes:
        if self._has_message:
            return b""
        self._has_message = True
        item = self._draft.message_item("in_progress", [])
        return self.one(
            "response.output_item.added", output_index=self._message_index, item=item
        ) + self.one("response.content_part.added", **self._place(), part=text_part("", []))


def _stream(
    operations: Operations,
    chat: ChatOperations,
    caller: Caller,
    task: Question | Prompt,
    body: ResponseBody,
) -> Response:
    draft = _Draft(body, current_trace_id())
    events = _Events(draft)
    headers: dict[str, str] = {}

    async def answer(write: SendData, question: Question) -> None:
        async def emit(found: AnswerEvent) -> None:
            tell_cache(headers, found)
            match found:
                case PassagesFound(passages=passages):
                    await write(events.begin() + events.searched(question, passages))
                case AnswerDelta(text=text):
                    await write(events.delta(text))
                case _:
                    pass

        whole = await operations.query(caller, question, emit)
        if not events.has_begun:
            await write(events.begin() + events.searched(question, whole.passages))
        await write(events.end(draft.of_answer(whole, question)))

    async def complete(write: SendData, prompt: Prompt) -> None:
        async def emit(text: str) -> None:
            await write((b"" if events.has_begun else events.begin()) + events.delta(text))

        completion = await chat.complete(caller, prompt, emit)
        first = b"" if events.has_begun else events.begin()
        await write(first + events.end(draft.of_completion(completion)))

    async def work(write: SendData) -> None:
        if isinstance(task, Prompt):
            await complete(write, task)
        else:
            await answer(write, task)

    return EventStream(
        work, lambda error: events.one("response.failed", response=draft.failed(error)), headers
    )
