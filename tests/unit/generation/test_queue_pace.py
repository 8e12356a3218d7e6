"""When a turn and an answer come, by what was seen."""

from __future__ import annotations

from services.generation.queue_pace import Pace


def test_nothing_seen_says_nothing() -> None:
    pace = Pace()

    assert pace.wait_seconds(10, 5.0) == 0
    assert pace.answer_seconds(100, 4, 5.0) == 0


def test_bursts_of_turns_count_as_their_mean() -> None:
    pace = Pace()
    for burst in range(5):
        for _ in range(20):
            pace.took_turn(float(burst))

    assert 0.5 <= pace.wait_seconds(10, 4.5) <= 2.0


def test_a_slow_engine_is_known_by_few_turns() -> None:
    pace = Pace()
    for number in range(20):
        pace.took_turn(10.0 * number)

    assert pace.wait_seconds(1, 200.0) >= 10.0


def test_answers_take_by_their_length_and_longer_when_the_engine_slows_down() -> None:
    pace = Pace()
    for _ in range(100):
        pace.answered(2.0, 100)
    short, long = pace.answer_seconds(50, 0, 0.0), pace.answer_seconds(200, 0, 0.0)
    for number in range(10):
        pace.took_turn(float(number))
    slowed = pace.answer_seconds(50, 20, 10.0)

    assert 1.0 <= short <= 2.0
    assert 3.9 <= long / short <= 4.1
    assert slowed >= 20.0


def test_after_a_rest_old_turns_are_forgotten() -> None:
    pace = Pace()
    for number in range(10):
        pace.took_turn(float(number))
    pace.rest()
    pace.took_turn(3600.0)

    assert pace.wait_seconds(5, 3600.1) == 0
