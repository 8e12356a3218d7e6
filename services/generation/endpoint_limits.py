"""What an endpoint says of its rate limits, in its headers: when to come back, and not before.

Read are `retry-after` (seconds or a date), `retry-after-ms`, OpenAI's
`x-ratelimit-{remaining,reset}-{requests,tokens}` ("6m0s", "20ms") and `ratelimit-{remaining,reset}`
in seconds (draft-ietf-httpapi-ratelimit-headers-07).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_WAIT_SECONDS = 60.0
"""A longer wait is asked for again: endpoints err, and limits are raised."""

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_KINDS = (
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", False),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens", True),
    ("ratelimit-remaining", "ratelimit-reset", False),
)
"""Headers of what is left and of when it is whole again, and whether it is tokens."""


class EndpointLimits:
    """Remembers what the endpoint said last.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._closed_until = 0.0
        self._tokens_left: float | None = None
        self._tokens_reset_at = 0.0

    def note(self, headers: Mapping[str, str]) -> None:
        """Takes the headers of an answer, whatever its status."""
        now = self._clock()
        for remaining_name, reset_name, is_tokens in _KINDS:
            remaining = _number(headers.get(remaining_name))
            if remaining is None:
                continue
            reset_seconds = min(_duration(headers.get(reset_name)) or 0.0, MAX_WAIT_SECONDS)
            if is_tokens:
                self._tokens_left = remaining
                self._tokens_reset_at = now + reset_seconds
            elif remaining < 1:
                self._closed_until = max(self._closed_until, now + reset_seconds)

    def refused(self, retry_after_seconds: float | None) -> None:
        """The endpoint had no room, and said for how long, if it did."""
        if retry_after_seconds is not None:
            self._closed_until = max(self._closed_until, self._clock() + retry_after_seconds)

    def wait_seconds(self, tokens: float) -> float:
        """Returns how long a request of so many tokens has to wait; 0: not at all."""
        now = self._clock()
        wait = self._closed_until - now
        if self._tokens_left is not None and tokens > self._tokens_left:
            wait = max(wait, self._tokens_reset_at - now)
        return max(0.0, wait)

    def sent(self, tokens: float) -> None:
        """Counts a request's tokens, until the endpoint says what is left."""
        if self._tokens_left is not None:
            self._tokens_left = max(0.0, self._tokens_left - tokens)


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Returns how long the endpoint wants to be left alone; None: it does not say."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return _bounded(milliseconds / 1000)
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return _bounded(seconds)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return _bounded((at - datetime.now(UTC)).total_seconds())


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_SECONDS)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _duration(text: str | None) -> float | None:
    """Returns the seconds of "6m0s", "20ms", "1.5s" or "12"."""
    if (seconds := _number(text)) is not None:
        return seconds
    parts = _PART.findall(text or "")
    return sum(float(size) * _UNIT_SECONDS[unit] for size, unit in parts) if parts else None
