"""Pauses grow, stay bounded, and differ."""

from __future__ import annotations

from services.ingestion.stages.backoff import attempt_delay_seconds, outage_delay_seconds


def test_pauses_grow_to_a_bound():
    means = [sum(attempt_delay_seconds(attempt) for _ in range(500)) / 500 for attempt in (1, 3, 5)]
    assert means[0] < means[1] < means[2]
    assert max(attempt_delay_seconds(50) for _ in range(500)) <= 60


def test_pauses_are_spread():
    assert len({round(attempt_delay_seconds(4), 3) for _ in range(50)}) > 40


def test_a_service_that_comes_back_is_found_soon():
    assert max(outage_delay_seconds(1000, None) for _ in range(500)) <= 10


def test_a_service_is_left_alone_for_as_long_as_it_asks():
    assert min(outage_delay_seconds(0, 4.0) for _ in range(100)) >= 4
    assert outage_delay_seconds(0, 1e9) <= 10
