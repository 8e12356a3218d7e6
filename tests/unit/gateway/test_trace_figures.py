"""Requests as steps: whose they are, how deep, how long stages take."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.gateway.trace_figures import latencies, request_trace
from services.rpc.spans import EndedSpan, RecentTrace


def span(span_id: str, parent_id: str, name: str, start: float, took: float, **more: Any) -> Any:
    given: dict[str, Any] = {"kind": "INTERNAL", "status": "UNSET", "attributes": {}, **more}
    return EndedSpan(span_id, parent_id, name, start_ms=start, duration_ms=took, **given)


def query(took: float = 40.0, tenant: str = "acme", **more: Any) -> RecentTrace:
    given: dict[str, Any] = {"status": "UNSET", "kept": "", **more}
    return RecentTrace(
        trace_id="ab" * 16,
        name="POST /v1/query",
        started_unix_ms=1_700_000_000_000,
        seconds=took / 1e3,
        spans=(
            span("1", "far", "POST /v1/query", 0, took, attributes=STATUS),
            span("2", "1", "auth", 0.1, 1.0, attributes={"cairn.tenant": tenant}),
            span("3", "1", "rag.query", 2, took - 2, attributes={"cairn.degraded": ("a", "b")}),
            span("4", "3", "retrieve", 3, took / 2),
            span("5", "4", "cairn.retrieval.v1.RetrievalService/Search", 4, 1, kind="CLIENT"),
            span("6", "3", "retrieve", 30, 1.0, status="ERROR"),
        ),
        **given,
    )


STATUS = {"http.response.status_code": 200}


def test_steps_know_kind_depth_and_failure() -> None:
    trace = request_trace(query(), "acme")
    assert trace is not None
    assert [(step.name, step.kind, step.depth, step.is_failed) for step in trace.steps] == [
        ("auth", "stage", 0, False),
        ("rag.query", "stage", 0, False),
        ("retrieve", "stage", 1, False),
        ("cairn.retrieval.v1.RetrievalService/Search", "call", 2, False),
        ("retrieve", "stage", 1, True),
    ]
    assert (trace.status, trace.marks, trace.duration_ms) == ("200", ("a", "b"), 40.0)
    assert trace.began_at.isoformat() == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize("tenant", ["other", ""])
def test_another_tenants_request_is_not_shown(tenant: str) -> None:
    assert request_trace(query(), tenant) is None


def test_request_without_a_tenant_is_shown_to_nobody() -> None:
    trace = query()
    unknown = replace(trace, spans=tuple(replace(each, attributes={}) for each in trace.spans))
    assert request_trace(unknown, "acme") is None
    assert request_trace(unknown, "") is None


def test_latencies_add_up_repeated_stages_and_leave_failures_out() -> None:
    traces = [request_trace(query(took), "acme") for took in (20.0, 40.0, 60.0, 80.0)]
    failed = request_trace(query(1_000.0, status="ERROR"), "acme")
    refused = replace(failed, is_failed=False, status="429") if failed else None
    known = [each for each in (*traces, failed, refused) if each is not None]
    assert len(known) == 6
    figures = {each.stage: each for each in latencies(known)}
    assert set(figures) == {"total", "auth", "retrieve"}
    total = figures["total"]
    assert (total.operation, total.count) == ("POST /v1/query", 4)
    assert (total.p50_ms, total.p95_ms, total.p99_ms) == (60.0, 80.0, 80.0)
    assert figures["retrieve"].p50_ms == 31.0
