"""What each tenant's requests take of an engine: reserved when they begin, settled when they end.

A request is booked with an estimate before it runs, so that what is under way counts; while it runs
the estimate is corrected; at its end, however it ends, only what was really read and written stays.
"""

from __future__ import annotations

import math

from services.generation import metrics
from services.generation.engine import TokenUsage
from services.rpc.metrics import TENANTS, series

_SMOOTHING = 0.05
_GENEROSITY = 1.5
"""Answers are reserved somewhat longer than they usually are."""


class TokenAccounts:
    """Reservations of one engine."""

    def __init__(self) -> None:
        self.reserved_tokens = 0
        """Tokens of requests that have not ended: what they may still take."""
        self._mean_output_tokens: float | None = None

    def expected_output(self, max_tokens: int) -> int:
        """Estimates how much a request will write, by what others have written."""
        if self._mean_output_tokens is None:
            return max_tokens
        return min(max_tokens, math.ceil(_GENEROSITY * self._mean_output_tokens))

    def reserve(self, tenant: str, tokens: int) -> Reservation:
        """Books a request that begins, with the tokens it is expected to take."""
        return Reservation(self, tenant, tokens)

    def _ended(self, usage: TokenUsage) -> None:
        written = usage.completion_tokens
        mean = self._mean_output_tokens
        self._mean_output_tokens = written if mean is None else mean + _SMOOTHING * (written - mean)

    def _book(self, tokens: int) -> None:
        self.reserved_tokens += tokens
        metrics.RESERVED_TOKENS.set(self.reserved_tokens)


class Reservation:
    """One request's booking. `settle` ends it, once."""

    def __init__(self, accounts: TokenAccounts, tenant: str, tokens: int) -> None:
        self._accounts = accounts
        self._tenant = tenant
        self._tokens = tokens
        self._is_settled = False
        accounts._book(tokens)  # noqa: SLF001 - the two are one thing

    def correct(self, usage: TokenUsage) -> None:
        """Books more where a request has outgrown its estimate."""
        used = usage.prompt_tokens + usage.completion_tokens
        if used > self._tokens:
            self._accounts._book(used - self._tokens)  # noqa: SLF001 - see above
            self._tokens = used

    def settle(self, usage: TokenUsage, *, has_ended: bool) -> None:
        """Gives back what was not used, and charges the tenant for what was.

        Args:
            usage: What the engine has read and written; nothing where it never began.
            has_ended: Whether the text came to its own end; else its length says nothing.
        """
        if self._is_settled:
            return
        self._is_settled = True
        self._accounts._book(-self._tokens)  # noqa: SLF001 - see above
        if has_ended:
            self._accounts._ended(usage)  # noqa: SLF001 - see above
        label = TENANTS.label(self._tenant)
        for kind, count in (
            ("prompt", usage.prompt_tokens - usage.cached_prompt_tokens),
            ("cached_prompt", usage.cached_prompt_tokens),
            ("completion", usage.completion_tokens),
        ):
            if count:
                series(metrics.TENANT_TOKENS, label, kind).inc(count)


def charged_tokens(usage: TokenUsage) -> int:
    """Returns the tokens an engine had to compute: cached ones cost it nothing."""
    return usage.prompt_tokens - usage.cached_prompt_tokens + usage.completion_tokens
