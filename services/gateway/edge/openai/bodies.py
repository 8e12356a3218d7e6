"""What the bodies of OpenAI's API share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.requests import MAX_QUERY_CHARACTERS, MAX_TURN_CHARACTERS, Speaker, Turn
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason

MODEL = "cairn"
MAX_HISTORY = 50

AttributeValue = str | bool | int | float
Attributes = Annotated[dict[str, AttributeValue], Field(max_length=64)]
StringMap = Annotated[dict[str, str], Field(max_length=16)]


class OpenAiBody(BaseModel):
    """A body of OpenAI's API: fields that mean nothing here are passed over, as its servers do."""

    model_config = ConfigDict(extra="ignore", strict=True, use_attribute_docstrings=True)


class OpenAiParameters(BaseModel):
    """Query parameters; unknown ones are passed over."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)


class ListOrder(OpenAiParameters):
    """Page of a list."""

    limit: int = Field(default=20, ge=1, le=100)
    """Entries at most."""
    order: Literal["asc", "desc"] = "desc"
    """By time of creation."""
    after: str = Field(default="", max_length=1_024)
    """Identifier of the last entry of the page before."""


class ContentPart(OpenAiBody):
    """Part of a message."""

    type: str
    text: str = ""


class Message(OpenAiBody):
    """A message."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None

    def plain(self, path: str, allowed: frozenset[str]) -> str:
        """Returns the message's text.

        Raises:
            InvalidArgumentError: it holds something else than text.
        """
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        for part in self.content:
            if part.type not in allowed:
                raise InvalidArgumentError.for_field(
                    f"{path}.content", f"parts of type {part.type[:40]!r} are not supported"
                )
        return "\n".join(part.text for part in self.content)


class Conversation:
    """A conversation as the pipeline takes it: the last user message is the question.

    Args:
        messages: Oldest first.
        path: Where they are in the request.
        allowed: Types of content parts that are text.
    """

    def __init__(self, messages: list[Message], path: str, allowed: frozenset[str]) -> None:
        if not messages or messages[-1].role != "user":
            raise InvalidArgumentError.for_field(path, "the last one must be the user's")
        turns: list[Turn] = []
        instructions: list[str] = []
        for index, message in enumerate(messages[:-1]):
            text = message.plain(f"{path}[{index}]", allowed)
            if message.role in {"system", "developer"}:
                instructions.append(text)
            else:
                turns.append(Turn(Speaker(message.role), text))
        last = f"{path}[{len(messages) - 1}]"
        self._question_path = f"{last}.content"
        self.question = messages[-1].plain(last, allowed)
        self.history = turns[-MAX_HISTORY:]
        self.instructions = "\n\n".join(instructions)

    def limit(self, collection: str | None) -> int:
        """Returns how long the question may be: texts to work on are longer than what is asked.

        Args:
            collection: That answers; None: a model by itself.

        Raises:
            InvalidArgumentError: it is longer, empty, or no text; by its place in this request.
        """
        limit = 4 * MAX_TURN_CHARACTERS if collection is None else MAX_QUERY_CHARACTERS
        check_text(self._question_path, self.question, limit=limit, required=True)
        return limit


def collection_of(model: str) -> str | None:
    """Returns the collection that a model's name stands for; None: it is a model of its own.

    Raises:
        NotFoundError: it names no collection.
    """
    if model == MODEL:
        return ""
    prefix, slash, collection = model.partition("/")
    if prefix != MODEL or not slash:
        return None
    if not collection:
        raise NotFoundError(
            Reason.MODEL_NOT_FOUND, f"there is no such model: use {MODEL!r} or '{MODEL}/COLLECTION'"
        )
    return collection


def no_model(model: str) -> NotFoundError:
    """Returns the error for a name that is no model."""
    return NotFoundError(
        Reason.MODEL_NOT_FOUND,
        f"there is no model {model[:80]!r}: use {MODEL!r} or '{MODEL}/COLLECTION' for answers from "
        "documents, or one that GET /openai/v1/models lists",
    )


def epoch_seconds(moment: datetime | None) -> int:
    """Returns whole seconds since 1970; times without a zone are UTC."""
    if moment is None:
        return 0
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp())


def page_of(entries: list[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """Returns a page as OpenAI's clients read it."""
    return {
        "object": "list",
        "data": entries,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
        "has_more": has_more,
    }
