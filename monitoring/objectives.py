"""Objectives, and the alerts on how fast their error budgets burn.

A burn rate is the share of bad events over the share that the objective allows: at 1 the budget of
30 days lasts exactly 30 days, at 14.4 it is gone in two. Each alert looks at two windows: the long
one says that it matters, the short one that it still goes on.
"""

from __future__ import annotations

from monitoring.model import Alert, Objective, Rule

_SERVER_FAULTS = "INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE|DEADLINE_EXCEEDED|UNIMPLEMENTED"

OBJECTIVES = (
    Objective(
        "availability",
        "HTTP requests that do not fail through a fault of ours (status below 500)",
        0.999,
        'sum(rate(cairn_http_request_duration_seconds_count{status=~"5.."}[WINDOW]))',
        "sum(rate(cairn_http_request_duration_seconds_count[WINDOW]))",
    ),
    Objective(
        "rpc-availability",
        "RPCs of the gateway that do not fail through a fault of ours",
        0.999,
        "sum(rate(cairn_rpc_server_duration_seconds_count"
        f'{{service="cairn.gateway.v1.GatewayService", code=~"{_SERVER_FAULTS}"}}[WINDOW]))',
        "sum(rate(cairn_rpc_server_duration_seconds_count"
        '{service="cairn.gateway.v1.GatewayService"}[WINDOW]))',
    ),
    Objective(
        "search-latency",
        "searches of the index that take 150 ms at most",
        0.95,
        "sum(rate(cairn_rpc_server_duration_seconds_count"
        '{service="cairn.retrieval.v1.RetrievalService", method="Search"}[WINDOW]))'
        " - sum(rate(cairn_rpc_server_duration_seconds_bucket"
        '{service="cairn.retrieval.v1.RetrievalService", method="Search", le="0.15"}[WINDOW]))',
        "sum(rate(cairn_rpc_server_duration_seconds_count"
        '{service="cairn.retrieval.v1.RetrievalService", method="Search"}[WINDOW]))',
    ),
    Objective(
        "answer-latency",
        "answers that take 5 s at most",
        0.95,
        'sum(rate(cairn_gateway_query_seconds_count{operation="query"}[WINDOW]))'
        ' - sum(rate(cairn_gateway_query_seconds_bucket{operation="query", le="5.0"}[WINDOW]))',
        'sum(rate(cairn_gateway_query_seconds_count{operation="query"}[WINDOW]))',
    ),
    Objective(
        "freshness",
        "documents that can be found 60 s after they were handed in",
        0.95,
        "sum(rate(cairn_ingestion_freshness_seconds_count[WINDOW]))"
        ' - sum(rate(cairn_ingestion_freshness_seconds_bucket{le="60.0"}[WINDOW]))',
        "sum(rate(cairn_ingestion_freshness_seconds_count[WINDOW]))",
    ),
)

WINDOWS = ("5m", "30m", "1h", "6h", "3d")
PAGE_BURN = 14.4
"""Two per cent of the budget in an hour."""
PAGE_SLOWER_BURN = 6.0
"""Five per cent in six hours."""
TICKET_BURN = 1.0
"""Ten per cent in three days. A second ticket at three times the rate over one day, which many
have, would never fire alone: a day at 3 is three days at 1."""


def rules() -> tuple[Rule, ...]:
    """Returns the share of bad events of each objective over each window, and the budgets."""
    recorded = [
        Rule(
            f"cairn:slo_bad:ratio_rate{window}",
            f"({each.bad}) / ({each.total})".replace("WINDOW", window),
            (("slo", each.name),),
        )
        for each in OBJECTIVES
        for window in WINDOWS
    ]
    recorded += [
        Rule("cairn:slo_budget:ratio", f"vector({each.budget:g})", (("slo", each.name),))
        for each in OBJECTIVES
    ]
    return tuple(recorded)


def _burns(rate: float, long: str, short: str) -> str:
    limit = f"on (slo) ({rate:g} * cairn:slo_budget:ratio)"
    return (
        f"(cairn:slo_bad:ratio_rate{long} > {limit}"
        f" and on (slo) cairn:slo_bad:ratio_rate{short} > {limit})"
    )


_LOOK_AT = (
    "The objective that the label `slo` names ([the list](README.md#objectives)), on the dashboard"
    " *Cairn overview*.",
    "For availability: `sum by (route, status) (rate(cairn_http_request_duration_seconds_count[5m]))`"
    " and the log lines of level error; their `trace_id` leads to the whole request.",
    "For latency: `cairn_gateway_stage_seconds` by stage; traces of slow requests are always kept.",
    "For freshness: the dashboard *Cairn ingestion*.",
)

BURN_ALERTS = (
    Alert(
        name="CairnErrorBudgetBurnsFast",
        group="objectives",
        severity="page",
        expr=f"{_burns(PAGE_BURN, '1h', '5m')} or {_burns(PAGE_SLOWER_BURN, '6h', '30m')}",
        for_="2m",
        summary="{{ $labels.slo }}: {{ $value | humanizePercentage }} of events are bad; the month's"
        " error budget is gone within days",
        meaning=f"The error budget burns {PAGE_BURN:g} times as fast as it may (over one hour, and"
        f" still in the last five minutes), or {PAGE_SLOWER_BURN:g} times (over six hours, and still"
        " in the last half hour).",
        impact="Users notice it now. At this rate the budget of 30 days is gone in two to five days.",
        look_at=_LOOK_AT,
        do=(
            "Undo the last change if the burn began with it.",
            "Follow the runbook of the more specific alert that fires beside this one.",
            "Stop risky changes until the budget has recovered.",
        ),
    ),
    Alert(
        name="CairnErrorBudgetBurnsSlowly",
        group="objectives",
        severity="ticket",
        expr=_burns(TICKET_BURN, "3d", "6h"),
        for_="15m",
        summary="{{ $labels.slo }}: {{ $value | humanizePercentage }} of events are bad, more than"
        " the objective allows",
        meaning="Over three days the error budget has burned faster than it may, and in the last six"
        " hours it still does.",
        impact="Few users notice, but the objective will be missed if nothing changes.",
        look_at=_LOOK_AT,
        do=(
            "Find the cause during working hours; the burn is too slow to wake anybody.",
            "If the objective is wrong for your users, change it in `monitoring/objectives.py`.",
        ),
    ),
)
