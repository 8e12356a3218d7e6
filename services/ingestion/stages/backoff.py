"""How long to wait before trying again: full jitter, so that many jobs do not return together."""

from __future__ import annotations

import random

_ATTEMPT_BASE_SECONDS = 1.0
_ATTEMPT_MOST_SECONDS = 60.0
_OUTAGE_BASE_SECONDS = 0.5
_OUTAGE_MOST_SECONDS = 10.0
"""A service that comes back finds its jobs within this time."""
_LEAST_SECONDS = 0.05


def attempt_delay_seconds(attempt: int) -> float:
    """Returns the pause after a failed attempt, counted from 1."""
    return _jittered(_ATTEMPT_BASE_SECONDS, _ATTEMPT_MOST_SECONDS, attempt)


def outage_delay_seconds(postponed_count: int, retry_after_seconds: float | None) -> float:
    """Returns the pause before asking a service again that did not answer."""
    delay = _jittered(_OUTAGE_BASE_SECONDS, _OUTAGE_MOST_SECONDS, postponed_count + 1)
    return max(delay, min(retry_after_seconds or 0.0, _OUTAGE_MOST_SECONDS))


def _jittered(base: float, most: float, attempt: int) -> float:
    ceiling = min(most, base * 2 ** min(attempt - 1, 16))
    return random.uniform(_LEAST_SECONDS, ceiling)  # noqa: S311 - spreads load, guards nothing
