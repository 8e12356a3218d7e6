"""Which traces are kept, and that the parts of one trace agree."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import REGISTRY

from services.rpc import tail as tail_module
from services.rpc.spans import MAX_SPANS, LocalTrace, RecordedSpan
from services.rpc.tail import HOLD_SECONDS, RecentTraces, Tail
from services.rpc.telemetry import Telemetry, span
from services.rpc.trace_headers import headers_of, received


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Process:
    """The tail of one process and what it exported."""

    def __init__(self, clock: Clock, slow_seconds: float = 5.0) -> None:
        self.exported: list[RecordedSpan] = []
        self.tail = Tail(self.exported.append, slow_seconds, clock=clock)

    def serve(
        self,
        trace_id: int,
        *,
        is_sampled: bool = False,
        fails: bool = False,
        seconds: float = 0.01,
        slow_seconds: float | None = None,
        is_whole: bool = True,
    ) -> LocalTrace:
        local = LocalTrace(
            trace_id, is_sampled, self.tail.ended, is_whole=is_whole, slow_seconds=slow_seconds
        )
        root = local.root = RecordedSpan("root", local, 0, SpanKind.SERVER, None)
        stage = RecordedSpan("stage", local, root.span_id, SpanKind.INTERNAL, None)
        if fails:
            stage.set_status(Status(StatusCode.ERROR, "INTERNAL"))
        stage.end()
        root.end(root.start_ns + round(seconds * 1e9))
        return local

    @property
    def kept(self) -> set[int]:
        return {each.local.trace_id for each in self.exported}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        ({"is_sampled": True}, "sampled"),
        ({"fails": True}, "error"),
        ({"seconds": 5.1}, "slow"),
        ({"seconds": 0.3, "slow_seconds": 0.2}, "slow"),
        ({"seconds": 6.0, "slow_seconds": 60.0}, ""),
        ({}, ""),
    ],
)
def test_what_is_kept(clock: Clock, how: dict, kept: str) -> None:
    process = Process(clock)
    assert process.serve(1, **how).verdict == kept
    assert len(process.exported) == (2 if kept else 0)


def test_a_part_that_ended_well_is_kept_when_another_process_asks(clock: Clock) -> None:
    caller, callee = Process(clock), Process(clock)
    callee.serve(7)
    callee.serve(8)
    caller.serve(7, fails=True)
    callee.tail.keep(caller.tail.news())
    assert callee.kept == {7}
    callee.serve(7)
    assert len(callee.exported) == 4, "a later part of the same trace is kept at once"


def test_an_outline_that_ended_well_is_kept_only_when_it_was_asked_for_before(
    clock: Clock,
) -> None:
    process = Process(clock)
    process.serve(1, is_whole=False)
    process.tail.keep((1).to_bytes(16, "big") + (2).to_bytes(16, "big"))
    assert process.kept == set()
    process.serve(2, is_whole=False)
    process.serve(3, is_whole=False, fails=True)
    process.serve(4, is_whole=False, seconds=6.0)
    assert process.kept == {2, 3, 4}


def test_work_that_goes_on_behind_the_answer_belongs_to_what_is_kept(clock: Clock) -> None:
    process = Process(clock)
    for trace_id, fails in ((1, True), (2, False)):
        local = LocalTrace(trace_id, False, process.tail.ended)
        root = local.root = RecordedSpan("root", local, 0, SpanKind.SERVER, None)
        late = RecordedSpan("late", local, root.span_id, SpanKind.INTERNAL, None)
        if fails:
            root.set_status(Status(StatusCode.ERROR, "INTERNAL"))
        root.end()
        late.end()
    assert [each.name for each in process.exported] == ["root", "late"]


def test_the_news_passes_through_a_process_in_between_once(clock: Clock) -> None:
    caller, between, last = Process(clock), Process(clock), Process(clock)
    between.serve(7)
    last.serve(7)
    caller.serve(7, seconds=9)
    between.tail.keep(caller.tail.news())
    last.tail.keep(between.tail.news())
    assert last.kept == {7}
    before = between.tail.news()
    between.tail.keep(caller.tail.news())
    assert between.tail.news() == before


def test_what_nobody_asks_for_is_forgotten(clock: Clock) -> None:
    process = Process(clock)
    process.serve(7)
    clock.now += HOLD_SECONDS + 1
    process.serve(8)
    process.tail.keep((7).to_bytes(16, "big"))
    assert process.kept == set()
    assert process.tail.news(), "though whoever is below may still have it"
    clock.now += HOLD_SECONDS + 1
    assert process.tail.news() == b""


def test_memory_is_bounded(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MAX_HELD_SPANS", 10)
    process = Process(clock)
    for trace_id in range(1, 101):
        process.serve(trace_id)
    assert process.tail._held_spans <= 12
    assert len(process.tail._held) <= 6
    process.tail.keep((1).to_bytes(16, "big") + (100).to_bytes(16, "big"))
    assert process.kept == {100}


def test_one_request_cannot_record_without_end(clock: Clock) -> None:
    process = Process(clock)
    local = LocalTrace(1, True, process.tail.ended)
    root = local.root = RecordedSpan("root", local, 0, SpanKind.SERVER, None)
    for _ in range(MAX_SPANS + 50):
        RecordedSpan("stage", local, 0, SpanKind.INTERNAL, None).end()
    assert len(process.exported) == MAX_SPANS
    root.end()
    assert process.exported[-1] is root, "without it the others hang in the air"


def test_an_outage_is_no_flood_of_spans(clock: Clock) -> None:
    process = Process(clock)
    before = REGISTRY.get_sample_value("cairn_telemetry_traces_total", {"decision": "limited"}) or 0
    for trace_id in range(1, 201):
        process.serve(trace_id, fails=True)
    assert len(process.kept) == 50
    after = REGISTRY.get_sample_value("cairn_telemetry_traces_total", {"decision": "limited"})
    assert after == before + 150
    clock.now += 1
    for trace_id in range(201, 301):
        process.serve(trace_id, fails=True)
    assert len(process.kept) == 60


def test_a_service_that_serves_nobody_remembers_ids_for_a_while_only(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "_MAX_KNOWN", 50)
    tail = Process(clock).tail
    for trace_id in range(1, 201):
        tail.keep(trace_id.to_bytes(16, "big"))
    assert len(tail._known) == 50
    assert tail.asks_for(200)
    clock.now += HOLD_SECONDS + 1
    tail.keep((300).to_bytes(16, "big"))
    assert list(tail._known) == [300]


def test_ids_that_nobody_sent_in_earnest_do_no_harm(clock: Clock) -> None:
    process = Process(clock)
    process.tail.keep(b"")
    process.tail.keep(b"short")
    process.tail.keep(b"x" * 100_000)
    assert process.kept == set()
    assert len(process.tail.news()) <= 32 * 16


def test_a_callers_mistake_is_no_fault_and_a_callees_is() -> None:
    for description, is_faulty in (("NOT_FOUND", False), ("UNAVAILABLE", True)):
        local = LocalTrace(1, False, lambda *_: None)
        client = RecordedSpan("call", local, 0, SpanKind.CLIENT, None)
        client.set_status(Status(StatusCode.ERROR, description))
        assert local.is_faulty is is_faulty


def test_a_stage_with_a_goal_of_its_own_makes_the_trace_slow() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("x", exporter, 0.0)
    with telemetry.serving("root", {}, {}), span("stage", slow_seconds=-1.0):
        pass
    telemetry.flush()
    assert {each.name for each in exporter.get_finished_spans()} == {"root", "stage"}
    telemetry.shutdown()


def test_the_callers_word_goes_first_and_its_state_is_handed_on() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("x", exporter, 0.0)
    carrier = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01", "tracestate": "vendor=value"}
    with telemetry.serving("root", carrier, {}) as root:
        assert dict(headers_of(root))["traceparent"].startswith(f"00-{'ab' * 16}-")
        assert dict(headers_of(root))["traceparent"].endswith("-01")
        assert dict(headers_of(root))["tracestate"] == "vendor=value"
    telemetry.shutdown()
    (ended,) = exporter.get_finished_spans()
    assert f"{ended.parent.span_id:016x}" == "cd" * 8


@pytest.mark.parametrize(
    "traceparent",
    ["", "00-zz-cd-01", f"00-{'0' * 32}-{'cd' * 8}-01", f"ff-{'ab' * 16}-{'cd' * 8}-01", "x" * 500],
)
def test_a_broken_traceparent_begins_a_trace(traceparent: str) -> None:
    assert not received({"traceparent": traceparent}).is_valid


@given(
    st.from_regex(r"\A[0-9a-fA-F]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-[0-9a-z]{0,4})?\Z")
    | st.text("0f-", max_size=60),
    st.sampled_from(["", "vendor=value", "a=1,b=2", "=", "no state"]),
)
def test_headers_are_read_as_the_sdk_reads_them(traceparent: str, state: str) -> None:
    carrier = {"traceparent": traceparent} | ({"tracestate": state} if state else {})
    context = TraceContextTextMapPropagator().extract(carrier, context=Context())
    theirs = get_current_span(context).get_span_context()
    ours = received(carrier)
    assert ours.is_valid == theirs.is_valid
    if ours.is_valid:
        assert ours == theirs


def test_the_last_requests_are_shown_but_for_reads_that_went_well() -> None:
    telemetry = Telemetry("gateway", None, 0.0, keeps_recent=True)
    for name in ("POST /v1/query", "GET /v1/usage", "cairn.gateway.v1.GatewayService/ListKeys"):
        with telemetry.serving(name, {}, {"cairn.tenant": "acme"}), span("stage"):
            pass
    with telemetry.serving("GET /v1/me", {}, {}) as failed:
        failed.set_status(Status(StatusCode.ERROR))
    newest, older = telemetry.recent.list()
    assert (newest.name, newest.status) == ("GET /v1/me", "ERROR")
    assert older.name == "POST /v1/query"
    root, stage = older.spans
    assert stage.parent_id == root.span_id
    assert 0 <= stage.start_ms <= stage.start_ms + stage.duration_ms <= root.duration_ms + 0.001


def test_work_in_the_background_has_no_span_where_none_is_wanted() -> None:
    exporter = InMemorySpanExporter()
    telemetry = Telemetry("x", exporter, 1.0)
    with span("read sqlite", begins_trace=False) as nothing:
        assert not nothing.get_span_context().is_valid
    with telemetry.serving("root", {}, {}), span("read sqlite", begins_trace=False):
        pass
    telemetry.flush()
    assert [each.name for each in exporter.get_finished_spans()] == ["read sqlite", "root"]
    telemetry.shutdown()


@pytest.mark.parametrize("is_sampled", [False, True])
def test_traces_that_nobody_keeps_leave_nothing_for_the_collector(
    clock: Clock, *, is_sampled: bool
) -> None:
    process = Process(clock)
    process.tail = Tail(lambda _: None, 5.0, RecentTraces(), clock=clock)
    gc.disable()
    try:
        before = _live_traces()
        for trace_id in range(1, 1001):
            process.serve(trace_id, is_sampled=is_sampled)
        clock.now += HOLD_SECONDS + 1
        process.serve(2001, is_sampled=is_sampled)
        # Some hundred are kept for the page that shows them, and no more.
        assert _live_traces() - before <= tail_module._RECENT
    finally:
        gc.enable()


def _live_traces() -> int:
    return sum(type(each) is LocalTrace for each in gc.get_objects())
