"""Requests in outline: how many are recorded whole, and what an outline keeps."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from services.rpc.detail import Detail
from services.rpc.errors import NotFoundError, Reason, UnavailableError
from services.rpc.spans import PassingSpan
from services.rpc.telemetry import Telemetry, current_span, current_trace_id, span, start_span
from services.rpc.trace_headers import headers_of

SAMPLED = {"traceparent": f"00-{7:032x}-{8:016x}-01"}


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def chosen(detail: Detail, clock: Clock, requests_a_second: int) -> list[int]:
    """Returns the ids chosen in two seconds at that rate, the first of which sets the share."""
    ids = random.Random(3)
    for _ in range(requests_a_second):
        clock.now += 1 / requests_a_second
        detail.includes(ids.getrandbits(128))
    found = []
    for _ in range(requests_a_second):
        clock.now += 1 / requests_a_second
        each = ids.getrandbits(128)
        if detail.includes(each):
            found.append(each)
    return found


@pytest.mark.parametrize(("rate", "low", "high"), [(20, 20, 20), (500, 30, 70), (5000, 30, 70)])
def test_about_so_many_are_whole(rate: int, low: int, high: int) -> None:
    clock = Clock()
    assert low <= len(chosen(Detail(50.0, clock), clock, rate)) <= high


def test_processes_as_busy_as_each_other_choose_the_same() -> None:
    one, other = Clock(), Clock()
    first = chosen(Detail(50.0, one), one, 1000)
    assert first == chosen(Detail(50.0, other), other, 1000)
    fewer = chosen(Detail(20.0, other), other, 1000)
    assert fewer
    assert set(fewer) < set(first)


def test_a_quiet_process_records_all_again() -> None:
    clock = Clock()
    detail = Detail(50.0, clock)
    chosen(detail, clock, 1000)
    clock.now += 60
    assert all(detail.includes(each) for each in range(40))


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def busy(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Telemetry]:
    """Telemetry of a process that records nothing whole that it need not."""
    telemetry = Telemetry("x", exporter, 0.0, slow_seconds=5.0, keeps_recent=True)
    monkeypatch.setattr(Detail, "includes", lambda *_: False)
    yield telemetry
    telemetry.shutdown()


def names(telemetry: Telemetry, exporter: InMemorySpanExporter) -> list[str]:
    telemetry.flush()
    return [each.name for each in exporter.get_finished_spans()]


def test_an_outline_has_what_was_called_and_stages_with_a_goal(
    busy: Telemetry, exporter: InMemorySpanExporter
) -> None:
    with busy.serving("root", {}, {}) as root, span("search", slow_seconds=-1.0) as search:
        with span("plan") as plan:
            plan.set_attribute("rows", 3)
            assert current_span() is search
            assert headers_of(plan) == headers_of(search)
            with span("call", kind=SpanKind.CLIENT) as call:
                assert call.parent_id == search.span_id
        made = start_span("queue")
        made.end()
        assert current_span() is search
    assert root.local.verdict == "slow"
    assert names(busy, exporter) == ["call", "search", "root"]
    assert len(busy.recent.list()) == 1


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (ValueError("secret"), True),
        (UnavailableError(Reason.NOT_READY, "index is away"), True),
        (NotFoundError(Reason.MODEL_NOT_FOUND, "no such model"), False),
    ],
)
def test_a_stage_that_fails_keeps_the_trace(
    busy: Telemetry, exporter: InMemorySpanExporter, error: Exception, is_kept: bool
) -> None:
    with busy.serving("root", {}, {}), pytest.raises(type(error)), span("plan"):
        raise error
    assert names(busy, exporter) == (["root"] if is_kept else [])
    assert len(busy.recent.list()) == int(is_kept)


def test_what_is_in_the_share_is_whole(busy: Telemetry, exporter: InMemorySpanExporter) -> None:
    with busy.serving("root", SAMPLED, {}), span("plan"):
        pass
    assert names(busy, exporter) == ["plan", "root"]


CALL = {"traceparent": f"00-{7:032x}-{8:016x}-00"}


def test_of_a_call_that_ends_well_a_busy_process_records_nothing(
    busy: Telemetry, exporter: InMemorySpanExporter
) -> None:
    with busy.serving("call", CALL, {}, may_pass=True) as passing:
        assert isinstance(passing, PassingSpan)
        assert current_trace_id() == f"{7:032x}"
        assert headers_of(current_span()) == [("traceparent", CALL["traceparent"])]
        with span("plan", slow_seconds=60.0) as plan, span("below") as below:
            plan.set_attribute("rows", 3)
            assert below is current_span()
        with span("call", kind=SpanKind.CLIENT) as client:
            client.set_status(Status(StatusCode.ERROR, "NOT_FOUND"))
            assert headers_of(client) == [("traceparent", CALL["traceparent"])]
    assert not busy.is_bad(passing, seconds=1.0)
    assert busy.is_bad(passing, seconds=5.1)
    assert names(busy, exporter) == []


@pytest.mark.parametrize("how", ["fails", "slow", "asked", "callee"])
def test_of_a_call_that_ends_badly_there_is_a_span(
    busy: Telemetry, exporter: InMemorySpanExporter, how: str
) -> None:
    with busy.serving("call", CALL, {}, may_pass=True) as passing:
        if how == "fails":
            with pytest.raises(ZeroDivisionError), span("plan"):
                raise ZeroDivisionError
        elif how == "slow":
            with span("plan", slow_seconds=-1.0):
                pass
        elif how == "asked":
            busy.tail.keep((7).to_bytes(16, "big"))
        else:
            with span("call", kind=SpanKind.CLIENT) as client:
                client.set_status(Status(StatusCode.ERROR, "UNAVAILABLE"))
    assert isinstance(passing, PassingSpan)
    assert busy.is_bad(passing, seconds=1.0)
    busy.served_badly(passing, "call", 1.0, {"rows": 3}).end()
    assert names(busy, exporter) == ["call"]
    (kept,) = exporter.get_finished_spans()
    assert kept.parent is not None
    assert (kept.context.trace_id, kept.parent.span_id) == (7, 8)
    assert kept.attributes == {"rows": 3}
    assert kept.end_time - kept.start_time >= 1e9
