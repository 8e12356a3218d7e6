"""How tokens are picked and what form they take, as OpenAI's requests state it."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field

from services.gateway.edge.openai.bodies import OpenAiBody
from services.gateway.pipeline.ports import Sampling
from services.rpc.errors import InvalidArgumentError

MAX_SCHEMA_CHARACTERS = 65_536
_ANY_OBJECT = '{"type": "object"}'


class JsonSchema(OpenAiBody):
    """A named schema."""

    name: str = ""
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """JSON Schema that the answer is valid under."""


class ResponseFormat(OpenAiBody):
    """Form of the answer."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    """Of the Responses API, which has it here."""

    def structure(self, path: str) -> str:
        """Returns the JSON Schema; empty: free text.

        Raises:
            InvalidArgumentError: there is none where there must be one.
        """
        if self.type == "text":
            return ""
        if self.type == "json_object":
            return _ANY_OBJECT
        named = self.json_schema.schema_ if self.json_schema is not None else None
        schema = named if named is not None else self.schema_
        if schema is None:
            raise InvalidArgumentError.for_field(path, "needs a schema")
        text = json.dumps(schema)
        if len(text) > MAX_SCHEMA_CHARACTERS:
            raise InvalidArgumentError.for_field(
                path, f"the schema is over {MAX_SCHEMA_CHARACTERS} characters"
            )
        return text


class SamplingBody(OpenAiBody):
    """Fields that chat completions and responses share."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), le=2**63 - 1)
    stop: str | list[str] | None = None
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)

    def sampling(self, structure: str) -> Sampling:
        """Returns how a plain chat picks its tokens."""
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(stop) > 4 or any(not 1 <= len(text) <= 256 for text in stop):
            raise InvalidArgumentError.for_field("stop", "must be at most 4 short texts")
        return Sampling(
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(stop),
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            json_schema=structure,
        )
