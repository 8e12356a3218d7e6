"""Requests of the Responses API."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from services.gateway.edge.openai.attribute_filters import attribute_filter
from services.gateway.edge.openai.bodies import (
    Conversation,
    Message,
    OpenAiBody,
    StringMap,
    collection_of,
)
from services.gateway.edge.openai.chat import plain_prompt
from services.gateway.edge.openai.ranking import RankingOptions
from services.gateway.edge.openai.sampling import ResponseFormat, SamplingBody
from services.gateway.pipeline.ports import Prompt
from services.gateway.requests import Question
from services.gateway.texts import check_collection
from services.rpc.errors import InvalidArgumentError

RESULTS = "file_search_call.results"
_TEXT_PARTS = frozenset({"input_text", "output_text", "text"})
_PASSED_OVER = frozenset({"file_search_call", "reasoning"})


class FileSearchTool(OpenAiBody):
    """Answers come from a vector store."""

    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1, max_length=20)
    """One: a collection by its name or identifier."""
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    """Passages to answer from; absent: 5."""
    filters: dict[str, Any] | None = None
    """Comparison or compound filter on attributes."""
    ranking_options: RankingOptions | None = None


class InputItem(OpenAiBody):
    """A message, or what an earlier response put out."""

    type: str = "message"
    role: Literal["system", "developer", "user", "assistant"] | None = None
    content: Any = None


class TextOptions(OpenAiBody):
    """Form of the text."""

    format: ResponseFormat | None = None


class ResponseBody(SamplingBody):
    """A response to create."""

    model: str
    """"cairn" or "cairn/NAME" for answers from a collection; any other model answers by itself,
    unless `tools` has file_search."""
    input: str | list[InputItem]
    """A question, or the conversation with the question last."""
    instructions: str | None = None
    tools: list[FileSearchTool] | None = Field(default=None, max_length=1)
    include: list[str] | None = Field(default=None, max_length=20)
    """"file_search_call.results" adds the passages."""
    max_output_tokens: int | None = Field(default=None, ge=1, le=32_768)
    stream: bool | None = None
    text: TextOptions | None = None
    metadata: StringMap | None = None
    previous_response_id: str | None = None
    background: bool | None = None

    @property
    def has_results(self) -> bool:
        """Whether the passages are asked for."""
        return RESULTS in (self.include or ())

    def task(self) -> Question | Prompt:
        """Returns a question to a collection, or a prompt for a model.

        Raises:
            ServiceError: the request asks for what is not offered.
        """
        if self.previous_response_id:
            raise InvalidArgumentError.for_field(
                "previous_response_id",
                "responses are not kept; send the earlier turns in `input`",
            )
        if self.background:
            raise InvalidArgumentError.for_field("background", "is not supported")
        talk = Conversation(self._messages(), "input", _TEXT_PARTS)
        tool = self.tools[0] if self.tools else None
        collection = collection_of(self.model)
        parts = [part for part in (self.instructions or "", talk.instructions) if part]
        question = Question.checked(
            talk.question,
            collection=_store(tool) if tool is not None else collection or "",
            history=talk.history,
            top_k=(tool.max_num_results or 0) if tool is not None else 0,
            model="" if collection is not None else self.model,
            max_tokens=self.max_output_tokens or 0,
            temperature=self.temperature,
            instructions="\n\n".join(parts),
            query_limit=talk.limit("" if tool is not None else collection),
        )
        form = (self.text.format if self.text is not None else None) or ResponseFormat()
        structure = form.structure("text.format")
        sampling = self.sampling(structure)
        if tool is None and collection is None:
            return plain_prompt(question, sampling)
        if structure:
            raise InvalidArgumentError.for_field(
                "text.format", "must be text for answers from documents, which carry citations"
            )
        return question if tool is None else _searching(question, tool)

    def _messages(self) -> list[Message]:
        if isinstance(self.input, str):
            return [Message(role="user", content=self.input)]
        messages: list[Message] = []
        for index, item in enumerate(self.input):
            if item.type in _PASSED_OVER:
                continue
            if item.type != "message" or item.role is None:
                raise InvalidArgumentError.for_field(
                    f"input[{index}]", "only messages with a role are supported"
                )
            messages.append(_message(item, index))
        return messages


def _message(item: InputItem, index: int) -> Message:
    try:
        return Message.model_validate({"role": item.role, "content": item.content})
    except ValueError:
        raise InvalidArgumentError.for_field(
            f"input[{index}].content", "must be a text or a list of text parts"
        ) from None


def _store(tool: FileSearchTool) -> str:
    if len(tool.vector_store_ids) > 1:
        raise InvalidArgumentError.for_field(
            "tools[0].vector_store_ids", "name one: an answer comes from one collection"
        )
    return check_collection(tool.vector_store_ids[0], "tools[0].vector_store_ids[0]")


def _searching(question: Question, tool: FileSearchTool) -> Question:
    options = tool.ranking_options or RankingOptions()
    if options.score_threshold:
        raise InvalidArgumentError.for_field(
            "tools[0].ranking_options.score_threshold",
            "is for vector_stores/{id}/search; answers are held to their passages instead",
        )
    return replace(
        question,
        filter=attribute_filter(tool.filters, "tools[0].filters"),
        mode=options.mode(),
        rerank=options.ranker is None or options.rerank,
    )
