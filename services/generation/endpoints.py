"""OpenAI-compatible endpoints as settings name them, each an engine of its own."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter

from services.generation.prices import Prices

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
Price = Annotated[float, Field(ge=0)]


class TokenPrices(BaseModel):
    """Prices of a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt: Price = 0.0
    completion: Price = 0.0
    cached_prompt: Price | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"

    def prices(self) -> Prices:
        """Returns them as engines take them."""
        return Prices(self.prompt, self.completion, self.cached_prompt, self.currency)


class Endpoint(BaseModel):
    """Where an endpoint is and what it serves."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: Annotated[str, Field(pattern=r"^https?://")]
    model: Annotated[str, Field(min_length=1)]
    api_key: SecretStr = SecretStr("")
    max_context_tokens: Annotated[int, Field(ge=0)] = 0
    prices: TokenPrices | None = None


_ENDPOINTS = TypeAdapter(dict[str, Endpoint])
_PRICES = TypeAdapter(TokenPrices)


def read_endpoints(text: str, taken: tuple[str, ...]) -> dict[str, Endpoint]:
    """Returns the endpoints of a JSON object by engine name.

    Args:
        text: `{"mini": {"base_url": "https://…/v1", "model": "…", "api_key": "…"}}`.
        taken: Names that other engines have.

    Raises:
        ValueError: it is something else.
    """
    endpoints = _ENDPOINTS.validate_json(text)
    for name in endpoints:
        if name in taken or not _NAME.match(name):
            raise ValueError(
                "engine names are lower-case letters, digits, - and _, and none of "
                + ", ".join(taken)
            )
    return endpoints


def read_prices(text: str) -> Prices | None:
    """Returns the prices of a JSON object; None for an empty text.

    Raises:
        ValueError: it is something else.
    """
    return _PRICES.validate_json(text).prices() if text.strip() else None
