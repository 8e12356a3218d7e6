"""What a request may hold. Every refusal names the field and says what would be right."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from services.generation.engine import (
    GenerationRequest,
    OutputForm,
    Passage,
    Role,
    Sampling,
    StructuredOutput,
)
from services.generation.prompt import find_template
from services.rpc.errors import InvalidArgumentError, Reason

MAX_MESSAGES = 256
MAX_PASSAGES = 100
MAX_CHARACTERS = 2_000_000
"""Over all messages and passages: about 500,000 tokens, more than models read."""
MAX_OUTPUT_TOKENS = 65_536
MAX_TOP_K = 1_000_000
MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_LOGPROBS = 20
MAX_STRUCTURE_CHARACTERS = 65_536
MAX_STRUCTURE_DEPTH = 64
MAX_CHOICES = 1000
MAX_NAME_CHARACTERS = 256
MAX_TEXTS = 1024
"""Texts in one CountTokens."""

_NAME = re.compile(r"[\w][\w.:@/-]*\Z")
_invalid = InvalidArgumentError.for_field


def check_request(request: GenerationRequest) -> None:
    """Checks a request before any engine sees it.

    Raises:
        InvalidArgumentError: A field is wrong.
    """
    _check_messages(request)
    _check_passages(request.passages)
    characters = sum(len(each.content) for each in request.messages)
    characters += sum(len(each.text) + len(each.title) for each in request.passages)
    if characters > MAX_CHARACTERS:
        raise InvalidArgumentError(
            Reason.TOO_LARGE,
            f"together they have {characters} characters, at most {MAX_CHARACTERS} are read",
            metadata={"limit": str(MAX_CHARACTERS), "size": str(characters)},
        )
    _check_sampling(request.sampling)
    if request.structured_output is not None:
        _check_structured_output(request.structured_output)
    for field, value in (("model", request.model), ("request_id", request.request_id)):
        if len(value) > MAX_NAME_CHARACTERS:
            raise _invalid(field, f"at most {MAX_NAME_CHARACTERS} characters", Reason.TOO_LARGE)
    if request.adapter:
        check_name("adapter", request.adapter)
    find_template(request.prompt_template)
    if request.min_support is not None and not 0 <= request.min_support <= 1:
        raise _invalid("min_support", "must be between 0 and 1")


def check_name(field: str, name: str) -> None:
    """Checks the name of an adapter.

    Raises:
        InvalidArgumentError: It is empty, too long or holds other characters.
    """
    if not name:
        raise _invalid(field, "must not be empty", Reason.EMPTY_TEXT)
    if len(name) > MAX_NAME_CHARACTERS:
        raise _invalid(field, f"at most {MAX_NAME_CHARACTERS} characters", Reason.TOO_LARGE)
    if not _NAME.match(name):
        raise _invalid(field, "letters, digits and . : @ / - _ only, a letter or digit first")


def _check_messages(request: GenerationRequest) -> None:
    messages = request.messages
    if not messages:
        raise _invalid("messages", "at least one message is needed, the question last")
    if len(messages) > MAX_MESSAGES:
        raise _too_many("messages", len(messages), MAX_MESSAGES)
    for number, message in enumerate(messages):
        if not message.content.strip():
            raise _invalid(
                f"messages[{number}].content", "must not be empty or blank", Reason.EMPTY_TEXT
            )
    if messages[-1].role is not Role.USER:
        raise _invalid(
            f"messages[{len(messages) - 1}].role",
            "the last message is the question: its role must be ROLE_USER",
        )


def _check_passages(passages: tuple[Passage, ...]) -> None:
    if len(passages) > MAX_PASSAGES:
        raise _too_many("passages", len(passages), MAX_PASSAGES)
    for number, passage in enumerate(passages):
        if not passage.text.strip():
            raise _invalid(
                f"passages[{number}].passage.text", "must not be empty or blank", Reason.EMPTY_TEXT
            )


def _check_sampling(sampling: Sampling) -> None:
    _check_range("sampling.max_tokens", sampling.max_tokens, 1, MAX_OUTPUT_TOKENS)
    _check_range("sampling.temperature", sampling.temperature, 0.0, 2.0)
    _check_range("sampling.top_p", sampling.top_p, 0.0, 1.0)
    if sampling.top_p is not None and sampling.top_p <= 0:
        raise _invalid("sampling.top_p", "must be greater than 0 and at most 1")
    _check_range("sampling.top_k", sampling.top_k, 0, MAX_TOP_K)
    _check_range("sampling.presence_penalty", sampling.presence_penalty, -2.0, 2.0)
    _check_range("sampling.frequency_penalty", sampling.frequency_penalty, -2.0, 2.0)
    _check_range("sampling.logprobs", sampling.logprobs, 0, MAX_LOGPROBS)
    if len(sampling.stop) > MAX_STOPS:
        raise _too_many("sampling.stop", len(sampling.stop), MAX_STOPS)
    for number, stop in enumerate(sampling.stop):
        if not 1 <= len(stop) <= MAX_STOP_CHARACTERS:
            raise _invalid(
                f"sampling.stop[{number}]", f"must have 1 to {MAX_STOP_CHARACTERS} characters"
            )


def _check_range(field: str, value: float | None, least: float, most: float) -> None:
    if value is None:
        return
    if not math.isfinite(value) or not least <= value <= most:
        raise _invalid(field, f"must be a number from {least} to {most}")


def _check_structured_output(output: StructuredOutput) -> None:
    field = f"structured_output.{output.form.value}"
    if output.form is OutputForm.CHOICES:
        if not output.choices:
            raise _invalid(f"{field}.values", "at least one text is needed")
        if len(output.choices) > MAX_CHOICES:
            raise _too_many(f"{field}.values", len(output.choices), MAX_CHOICES)
        if not all(output.choices) or len(set(output.choices)) != len(output.choices):
            raise _invalid(f"{field}.values", "texts must be distinct and not empty")
        characters = sum(map(len, output.choices))
    else:
        if not output.text.strip():
            raise _invalid(field, "must not be empty", Reason.EMPTY_TEXT)
        characters = len(output.text)
    if characters > MAX_STRUCTURE_CHARACTERS:
        raise _invalid(field, f"at most {MAX_STRUCTURE_CHARACTERS} characters", Reason.TOO_LARGE)
    if output.form is OutputForm.JSON_SCHEMA:
        _check_schema(field, output.text)


def _check_schema(field: str, text: str) -> None:
    try:
        schema = json.loads(text)
    except json.JSONDecodeError as error:
        raise _invalid(field, f"is not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise _invalid(field, f"is nested deeper than {MAX_STRUCTURE_DEPTH} levels") from error
    if not isinstance(schema, dict):
        raise _invalid(field, "a JSON Schema is a JSON object")
    level: list[Any] = [schema]
    for _ in range(MAX_STRUCTURE_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    if level:
        raise _invalid(field, f"is nested deeper than {MAX_STRUCTURE_DEPTH} levels")


def _too_many(field: str, count: int, limit: int) -> InvalidArgumentError:
    error = _invalid(field, f"{count} given, at most {limit} allowed", Reason.TOO_LARGE)
    error.metadata.update(limit=str(limit), size=str(count))
    return error
