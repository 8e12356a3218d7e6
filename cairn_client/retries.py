"""When a call is tried again, and when not."""

from __future__ import annotations

import random
from dataclasses import dataclass

from cairn_client.errors import CairnError, RateLimitedError, UnavailableError, UnreachableError


@dataclass(frozen=True, slots=True)
class Retry:
    """Budget of repeats: whichever of the two is used up first ends them."""

    max_attempts: int = 4
    """Calls at most, the first one included."""
    total_seconds: float = 30.0
    """Time for the call with all its repeats."""
    first_wait_seconds: float = 0.25
    """Longest wait before the second call; each further one is up to twice as long."""

    def wait_seconds(
        self, error: CairnError, attempt: int, elapsed_seconds: float, *, is_repeatable: bool
    ) -> float | None:
        """Returns how long to wait before trying again; None: not at all.

        Args:
            error: What went wrong.
            attempt: How many calls were made.
            elapsed_seconds: Time since the first began.
            is_repeatable: Whether doing it twice is as doing it once.
        """
        if attempt >= self.max_attempts:
            return None
        if isinstance(error, RateLimitedError | UnavailableError):
            told = error.retry_after_seconds  # refused before anything was done: always repeatable
        elif isinstance(error, UnreachableError) and is_repeatable:
            told = None
        else:
            return None
        # Full jitter: clients that failed together do not come back together.
        wait = random.uniform(0, self.first_wait_seconds * 2 ** (attempt - 1))  # noqa: S311 - spread, not secrecy
        wait = max(wait, told or 0.0)
        return wait if elapsed_seconds + wait < self.total_seconds else None
