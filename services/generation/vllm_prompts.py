"""Requests to tokens: the chat template, the passages that fit, and room for the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.generation import metrics
from services.generation.engine import GenerationRequest, Message, Passage, Role
from services.generation.prompt import RenderedPrompt, clean, fit, render
from services.rpc.errors import InvalidArgumentError, Reason

_DEFAULT_OUTPUT_TOKENS = 512
_MANY_CHARACTERS = 16_000
"""Longer prompts are split into tokens in a thread: the loop must not wait for milliseconds."""
_MAX_WHY_CHARACTERS = 200
_PLAIN_NAMES = {"system": "Instructions", "user": "User", "assistant": "Assistant"}


@dataclass(frozen=True, slots=True)
class PreparedPrompt:
    """A prompt as an engine reads it."""

    token_ids: list[int]
    markers: tuple[int, ...]
    """As `RenderedPrompt.markers`."""
    max_tokens: int
    """Tokens the answer may have."""


class ModelPrompts:
    """Prompts for one model.

    Args:
        tokenizer: The model's, of `transformers`.
        max_context_tokens: Prompt and answer together.
        gives_documents: Whether passages go to the chat template as `documents`, as models that
            were trained for it expect, instead of into the user's turn.
    """

    def __init__(
        self, tokenizer: Any, max_context_tokens: int, *, gives_documents: bool = False
    ) -> None:
        self._tokenizer = tokenizer
        self._max_context_tokens = max_context_tokens
        self._gives_documents = gives_documents
        self._has_template = bool(getattr(tokenizer, "chat_template", None))
        self._has_system = self._has_template and self._shows_system()
        """Whether the chat template has a place for instructions; some refuse or forget them."""

    async def prepare(self, request: GenerationRequest) -> PreparedPrompt:
        """Returns the prompt with as many passages as fit beside the answer.

        Raises:
            InvalidArgumentError: The messages do not fit.
        """
        wanted = request.sampling.max_tokens
        reserved = wanted or min(_DEFAULT_OUTPUT_TOKENS, self._max_context_tokens // 4)
        budget = self._max_context_tokens - reserved
        if budget < 1:
            raise InvalidArgumentError(
                Reason.CONTEXT_TOO_LONG,
                f"sampling.max_tokens: {wanted} leaves no room for the prompt; prompt and answer "
                f"have {self._max_context_tokens} tokens together",
                metadata={"limit_tokens": str(self._max_context_tokens)},
            )
        size = sum(len(each.content) for each in request.messages)
        size += sum(len(each.text) for each in request.passages)
        if size > _MANY_CHARACTERS:
            prompt, ids = await asyncio.to_thread(self._fit, request, budget)
        else:
            prompt, ids = self._fit(request, budget)
        dropped = len(request.passages) - len(prompt.markers)
        if dropped:
            metrics.DROPPED_PASSAGES.inc(dropped)
        return PreparedPrompt(ids, prompt.markers, reserved)

    def _fit(self, request: GenerationRequest, budget: int) -> tuple[RenderedPrompt, list[int]]:
        shown: list[RenderedPrompt] = []
        encoded: dict[int, list[int]] = {}

        def render_with(request: GenerationRequest, *, keep: int | None = None) -> RenderedPrompt:
            shown.append(render(request, keep=keep, is_fenced=not self._gives_documents))
            return shown[-1]

        def count(_messages: Sequence[Message]) -> int:
            ids = self.encode(shown[-1], request.passages)
            encoded[len(shown) - 1] = ids
            return len(ids)

        prompt = fit(request, budget, count, render_with=render_with)
        ids = encoded.get(len(shown) - 1)
        return prompt, self.encode(prompt, request.passages) if ids is None else ids

    def encode(self, prompt: RenderedPrompt, passages: Sequence[Passage] = ()) -> list[int]:
        """Returns a prompt's tokens, by the model's chat template or a plain one."""
        if not self._has_template:
            lines = [f"{_PLAIN_NAMES[each.role.value]}: {each.content}" for each in prompt.messages]
            return self._tokenizer.encode("\n\n".join([*lines, "Assistant:"]))
        options: dict[str, Any] = {}
        if self._gives_documents and prompt.markers:
            options["documents"] = _documents([passages[i] for i in prompt.markers])
        messages = prompt.messages if self._has_system else _without_system(prompt.messages)
        try:
            return self._tokenizer.apply_chat_template(
                _turns(messages),
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **options,
            )
        except Exception as error:
            # Templates are the model's own code and raise what they like, of roles mostly.
            raise InvalidArgumentError.for_field(
                "messages",
                f"the model's chat template does not take them: {str(error)[:_MAX_WHY_CHARACTERS]}",
            ) from error

    def _shows_system(self) -> bool:
        probe = (Message(Role.SYSTEM, "instructions"), Message(Role.USER, "question"))
        try:
            text = self._tokenizer.apply_chat_template(
                _turns(probe), add_generation_prompt=True, tokenize=False
            )
        except Exception:  # noqa: BLE001 - the model's own code, see `encode`
            return False
        return probe[0].content in text

    def count(self, texts: Sequence[str]) -> list[int]:
        """Counts the tokens of each text, without special tokens."""
        return [len(self._tokenizer.encode(text, add_special_tokens=False)) for text in texts]


def _without_system(messages: Sequence[Message]) -> list[Message]:
    """Returns messages whose first, the instructions, begins the first question instead."""
    system, *turns = messages
    if turns[0].role is not Role.USER:
        return [Message(Role.USER, system.content), *turns]
    first = Message(Role.USER, f"{system.content}\n\n{turns[0].content}")
    return [first, *turns[1:]]


def _turns(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": each.role.value, "content": each.content} for each in messages]


def _documents(passages: Sequence[Passage]) -> list[dict[str, str]]:
    """Returns passages as chat templates take them: some read `text`, some `content`."""
    return [
        {
            "doc_id": str(number),
            "title": f"[{number}] {clean(passage.title)}".rstrip(),
            "text": clean(passage.text),
            "content": clean(passage.text),
        }
        for number, passage in enumerate(passages, start=1)
    ]
