"""The breaker, on a clock of the test's own."""

from __future__ import annotations

from services.rpc.breaker import Breaker, BreakerCall, BreakerRules, BreakerState

RULES = BreakerRules(failures_in_row=2, pause_seconds=2, max_pause_seconds=6, slow_seconds=3)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def entered(breaker: Breaker) -> BreakerCall:
    call = breaker.enter()
    assert call is not None
    return call


def opened(clock: Clock) -> Breaker:
    breaker = Breaker("test", RULES, clock)
    for _ in range(2):
        entered(breaker).failed()
    return breaker


def test_failures_in_a_row_open_it() -> None:
    breaker = opened(Clock())

    assert breaker.state is BreakerState.OPEN
    assert breaker.enter() is None
    assert breaker.pause_left_seconds == 2


def test_one_call_probes_after_the_pause_and_its_success_closes() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 2

    assert breaker.state is BreakerState.HALF_OPEN
    probe = entered(breaker)
    assert breaker.enter() is None
    probe.succeeded()
    assert breaker.state is BreakerState.CLOSED
    assert breaker.enter() is not None


def test_a_failed_probe_doubles_the_pause_up_to_its_limit() -> None:
    clock = Clock()
    breaker = opened(clock)
    for pause in (2, 4, 6, 6):
        clock.now += pause - 0.01
        assert breaker.enter() is None
        clock.now += 0.02
        entered(breaker).failed()


def test_an_ignored_probe_leaves_room_for_the_next() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 2
    entered(breaker).ignored()

    assert breaker.enter() is not None


def test_a_slow_probe_does_not_close_it() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 2
    probe = entered(breaker)
    clock.now += 3.5
    probe.succeeded()

    assert breaker.state is BreakerState.OPEN


def test_an_answer_from_before_it_opened_does_not_close_it() -> None:
    clock = Clock()
    breaker = Breaker("test", RULES, clock)
    late = entered(breaker)
    for _ in range(2):
        entered(breaker).failed()
    late.succeeded()

    assert breaker.state is BreakerState.OPEN


def test_a_high_share_of_failures_opens_it_without_a_row() -> None:
    breaker = Breaker("test", BreakerRules(failures_in_row=5, failure_share=0.5), Clock())
    for _ in range(9):
        entered(breaker).failed()
        entered(breaker).succeeded()
    entered(breaker).failed()
    assert breaker.state is BreakerState.CLOSED

    entered(breaker).failed()

    assert breaker.state is BreakerState.OPEN


def test_old_failures_are_forgotten() -> None:
    clock = Clock()
    breaker = Breaker("test", BreakerRules(failures_in_row=100, window_seconds=30), clock)
    for _ in range(19):
        entered(breaker).failed()
    clock.now += 31

    entered(breaker).failed()

    assert breaker.state is BreakerState.CLOSED


def test_a_high_share_of_slow_answers_opens_it() -> None:
    clock = Clock()
    breaker = Breaker("test", BreakerRules(slow_seconds=3, hanging_calls=100), clock)
    calls = [entered(breaker) for _ in range(20)]
    clock.now += 3.1
    for call in calls[:-1]:
        call.succeeded()
    assert breaker.state is BreakerState.CLOSED

    calls[-1].succeeded()

    assert breaker.state is BreakerState.OPEN


def test_calls_that_all_wait_open_it_before_any_of_them_ends() -> None:
    clock = Clock()
    breaker = Breaker("test", RULES, clock)
    entered(breaker).succeeded()
    clock.now += 1
    waiting = [entered(breaker) for _ in range(3)]
    clock.now += 2.9
    assert breaker.state is BreakerState.CLOSED
    clock.now += 0.2

    assert breaker.state is BreakerState.OPEN
    assert breaker.enter() is None
    for call in waiting:
        call.failed()
    clock.now += 2
    entered(breaker).succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_slow_calls_beside_quick_ones_do_not_look_like_a_hang() -> None:
    clock = Clock()
    breaker = Breaker("test", RULES, clock)
    for _ in range(3):
        breaker.enter()
    clock.now += 5
    # Another call was answered after these began.
    quick = Breaker("other", RULES, clock)
    for _ in range(3):
        quick.enter()
    clock.now += 1
    entered(quick).succeeded()
    clock.now += 5

    assert breaker.state is BreakerState.OPEN
    assert quick.state is BreakerState.CLOSED


def test_saying_twice_how_a_call_ended_counts_once() -> None:
    breaker = Breaker("test", RULES, Clock())
    call = entered(breaker)
    call.failed()
    call.failed()

    assert breaker.state is BreakerState.CLOSED
