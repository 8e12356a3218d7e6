"""Events that are booked together are all there for whoever reads."""

from __future__ import annotations

import threading

import pytest
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from services.rpc import instruments
from services.rpc.instruments import Counter, Histogram, InFlight


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_whoever_reads_sees_every_event(registry: CollectorRegistry) -> None:
    counter = Counter("things", "Things.", ["kind"], registry=registry)
    histogram = Histogram("took_seconds", "Time.", registry=registry, buckets=(0.1, 1.0))
    counter.labels("a").inc()
    counter.labels("a").inc(2.5)
    counter.labels("b").inc(0)
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    assert registry.get_sample_value("things_total", {"kind": "a"}) == 3.5
    assert registry.get_sample_value("things_total", {"kind": "b"}) == 0
    text = generate_latest(registry).decode()
    for line in (
        'took_seconds_bucket{le="0.1"} 2.0',
        'took_seconds_bucket{le="1.0"} 3.0',
        'took_seconds_bucket{le="+Inf"} 4.0',
        "took_seconds_count 4.0",
        "took_seconds_sum 7.65",
    ):
        assert line in text


def test_notes_are_bounded_and_none_is_lost_between_threads(registry: CollectorRegistry) -> None:
    counter = Counter("events", "Events.", registry=registry)
    threads = [
        threading.Thread(target=lambda: [counter.inc() for _ in range(5_000)]) for _ in range(4)
    ]
    for each in threads:
        each.start()
    while any(each.is_alive() for each in threads):
        registry.get_sample_value("events_total")
    assert len(instruments._notes) <= instruments._MOST_NOTES
    assert registry.get_sample_value("events_total") == 20_000


def test_an_example_is_kept_and_a_counter_never_goes_down(registry: CollectorRegistry) -> None:
    counter = Counter("events", "Events.", registry=registry)
    counter.inc(1, {"trace_id": "abc"})
    with pytest.raises(ValueError, match="never goes down"):
        counter.inc(-1)
    (sample,) = [
        each
        for metric in registry.collect()
        for each in metric.samples
        if each.name == "events_total"
    ]
    assert sample.value == 1
    assert sample.exemplar is not None


def test_a_gauge_shows_what_is_under_way(registry: CollectorRegistry) -> None:
    in_flight = InFlight(Gauge("working", "Working.", registry=registry))
    in_flight.now += 2
    assert registry.get_sample_value("working") == 2
    in_flight.now -= 1
    assert registry.get_sample_value("working") == 1
