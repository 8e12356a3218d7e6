"""When an endpoint may be asked again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from services.generation.endpoint_limits import EndpointLimits, retry_after_seconds


class Clock:
    def __init__(self) -> None:
        self.now = 5.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("text", "seconds"), [("20ms", 0.02), ("1.5s", 1.5), ("0m12s", 12), ("45", 45), ("1h", 60)]
)
def test_times_are_read_in_every_form_and_bounded(text: str, seconds: float) -> None:
    limits = EndpointLimits(Clock())
    limits.note({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": text})

    assert limits.wait_seconds(1) == pytest.approx(seconds)


def test_the_wait_ends() -> None:
    clock = Clock()
    limits = EndpointLimits(clock)
    limits.refused(3)
    clock.now += 2
    assert limits.wait_seconds(1) == 1
    clock.now += 2
    assert limits.wait_seconds(1) == 0


def test_tokens_are_counted_down_between_answers() -> None:
    limits = EndpointLimits(Clock())
    limits.note({"x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "10s"})
    limits.sent(60)

    assert limits.wait_seconds(40) == 0
    assert limits.wait_seconds(41) == 10


@pytest.mark.parametrize("text", ["", "soon", "-3", "nan", "inf"])
def test_nonsense_is_no_limit(text: str) -> None:
    limits = EndpointLimits(Clock())
    limits.note({"x-ratelimit-remaining-requests": text, "x-ratelimit-reset-requests": text})

    assert limits.wait_seconds(1) == 0


def test_retry_after_may_be_seconds_milliseconds_or_a_date() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    assert retry_after_seconds({"retry-after": "7"}) == 7
    assert retry_after_seconds({"retry-after-ms": "250"}) == 0.25
    assert 25 < (retry_after_seconds({"retry-after": later}) or 0) <= 30
    assert retry_after_seconds({"retry-after": "9999"}) == 60
    assert retry_after_seconds({"retry-after": "tomorrow"}) is None
    assert retry_after_seconds({}) is None
