"""What a request consumed and what that costs."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts over all services, named as `cairn.types.v1.Usage` names them."""

    embedding_tokens: int = 0
    rerank_tokens: int = 0
    prompt_tokens: int = 0
    cached_prompt_tokens: int = 0
    completion_tokens: int = 0
    vectors_scanned: int = 0
    embedding_cache_hits: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Usage)}
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """A price."""

    amount: float
    currency: str
    """ISO 4217 code."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices per million tokens. Cached prompt tokens have their own, usually lower, price."""

    embedding: float = 0.0
    rerank: float = 0.0
    prompt: float = 0.0
    cached_prompt: float = 0.0
    completion: float = 0.0
    currency: str = "USD"

    def cost(self, usage: Usage) -> Cost:
        """Returns the price of what was consumed."""
        uncached = max(0, usage.prompt_tokens - usage.cached_prompt_tokens)
        micro = (
            usage.embedding_tokens * self.embedding
            + usage.rerank_tokens * self.rerank
            + uncached * self.prompt
            + usage.cached_prompt_tokens * self.cached_prompt
            + usage.completion_tokens * self.completion
        )
        return Cost(micro / 1e6, self.currency)
