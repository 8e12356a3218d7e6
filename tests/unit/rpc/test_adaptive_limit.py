"""The limit falls when calls are late and rises when it is in use and all is well."""

from __future__ import annotations

import pytest

from services.rpc.adaptive_limit import AdaptiveLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def windows(limit: AdaptiveLimit, clock: Clock, count: int, *, late: int, of: int = 10) -> None:
    for _ in range(count):
        limit.began(limit.limit)
        for number in range(of - 1):
            limit.ended(is_late=number < late)
        clock.now += 0.6
        limit.ended(is_late=late == of)


def test_late_calls_make_it_smaller_down_to_its_least() -> None:
    clock = Clock()
    limit = AdaptiveLimit(least=8, start=100, clock=clock)
    windows(limit, clock, 1, late=2)
    assert limit.limit == 80
    windows(limit, clock, 50, late=10)

    assert limit.limit == 8


def test_it_comes_back_within_ten_seconds() -> None:
    clock = Clock()
    limit = AdaptiveLimit(least=8, start=64, most=128, clock=clock)
    windows(limit, clock, 50, late=10)
    began = clock.now
    while limit.limit < 32:
        windows(limit, clock, 1, late=0)

    assert clock.now - began < 10


def test_one_late_call_among_many_changes_nothing_for_the_worse() -> None:
    clock = Clock()
    limit = AdaptiveLimit(start=100, clock=clock)
    windows(limit, clock, 1, late=1)

    assert limit.limit >= 100


def test_a_limit_nobody_came_near_does_not_rise() -> None:
    clock = Clock()
    limit = AdaptiveLimit(start=100, clock=clock)
    limit.began(3)
    clock.now += 1
    limit.ended(is_late=False)

    assert limit.limit == 100


def test_bounds_must_rise() -> None:
    with pytest.raises(ValueError, match="rise"):
        AdaptiveLimit(least=10, start=5)
