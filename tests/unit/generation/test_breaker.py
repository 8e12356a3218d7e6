"""The breaker, on a clock of the test's own."""

from __future__ import annotations

from services.generation.breaker import Breaker, BreakerState


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def opened(clock: Clock) -> Breaker:
    breaker = Breaker(failures_in_row=2, pause_seconds=2, max_pause_seconds=6, clock=clock)
    for _ in range(2):
        assert breaker.allow()
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened(Clock())

    assert breaker.state is BreakerState.OPEN
    assert not breaker.allow()


def test_one_request_probes_after_the_pause_and_its_success_closes() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 2

    assert breaker.state is BreakerState.HALF_OPEN
    assert breaker.allow()
    assert not breaker.allow()
    breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.allow()


def test_a_failed_probe_doubles_the_pause_up_to_its_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    for pause in (2, 4, 6, 6):
        clock.now += pause - 0.01
        assert not breaker.allow()
        clock.now += 0.01
        assert breaker.allow()
        breaker.failed()


def test_an_ignored_probe_leaves_room_for_the_next() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 2
    assert breaker.allow()
    breaker.ignored()

    assert breaker.allow()


def test_a_high_rate_of_failures_opens_it_without_a_row() -> None:
    breaker = Breaker(failures_in_row=5, failure_rate=0.5, clock=Clock())
    for _ in range(5):
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED

    breaker.failed()

    assert breaker.state is BreakerState.OPEN
