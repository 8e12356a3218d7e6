"""What tokens of an engine cost."""

from __future__ import annotations

from dataclasses import dataclass

from services.generation.engine import Cost, TokenUsage


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a million tokens of one model."""

    prompt: float = 0.0
    completion: float = 0.0
    cached_prompt: float | None = None
    """Prompt tokens that the endpoint had in its cache; None: as other prompt tokens."""
    currency: str = "USD"
    """ISO 4217 code."""

    def cost(self, usage: TokenUsage) -> Cost:
        """Returns what the tokens cost."""
        cached_price = self.prompt if self.cached_prompt is None else self.cached_prompt
        fresh = max(0, usage.prompt_tokens - usage.cached_prompt_tokens)
        total = (
            fresh * self.prompt
            + usage.cached_prompt_tokens * cached_price
            + usage.completion_tokens * self.completion
        )
        return Cost(total / 1e6, self.currency)
