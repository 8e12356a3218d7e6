"""The dashboard to look at first."""

from __future__ import annotations

from monitoring.alerts import threshold
from monitoring.model import Dashboard, Section
from monitoring.panels import figure, lines, quantiles, rate

_FAULTS = 'code=~"INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"'
_SEARCH = 'service="cairn.retrieval.v1.RetrievalService", method="Search"'

OVERVIEW = Dashboard(
    "cairn-overview",
    "Cairn overview",
    "Is it up, is it fast, is it right; and if not, where to look next.",
    (
        Section(
            "Promises",
            (
                figure("HTTP requests", "reqps", rate("cairn_http_request_duration_seconds_count")),
                figure(
                    "Failed by us",
                    "percentunit",
                    rate("cairn_http_request_duration_seconds_count", where='status=~"5.."')
                    + " / "
                    + rate("cairn_http_request_duration_seconds_count"),
                ),
                figure(
                    "Search p95",
                    "s",
                    "histogram_quantile(0.95, sum by (le) (rate("
                    f"cairn_rpc_server_duration_seconds_bucket{{{_SEARCH}}}[$__rate_interval])))",
                ),
                figure(
                    "Answer p95",
                    "s",
                    "histogram_quantile(0.95, sum by (le) (rate(cairn_gateway_query_seconds_bucket"
                    '{operation="query"}[$__rate_interval])))',
                ),
                figure(
                    "recall@10",
                    "percentunit",
                    "sum(rate(cairn_retrieval_recall_found_total[30m]))"
                    " / sum(rate(cairn_retrieval_recall_expected_total[30m]))",
                ),
                figure("Targets down", "short", 'count(up{job=~"cairn-.*"} == 0) or vector(0)'),
                lines(
                    "Bad events against the budget (1 h)",
                    "percentunit",
                    ("cairn:slo_bad:ratio_rate1h", "{{slo}}"),
                    ("cairn:slo_budget:ratio", "budget {{slo}}"),
                    width=12,
                ),
                lines(
                    "Burn rate (6 h)",
                    "short",
                    (
                        "cairn:slo_bad:ratio_rate6h / on (slo) group_left () cairn:slo_budget:ratio",
                        "{{slo}}",
                    ),
                    note="At 1 the error budget lasts exactly as long as it should.",
                    threshold=6,
                    width=12,
                ),
            ),
        ),
        Section(
            "Requests",
            (
                lines(
                    "Requests by route",
                    "reqps",
                    (rate("cairn_http_request_duration_seconds_count", by="route"), "{{route}}"),
                ),
                lines(
                    "Failures by route and status",
                    "reqps",
                    (
                        rate(
                            "cairn_http_request_duration_seconds_count",
                            by="route, status",
                            where='status=~"[45].."',
                        ),
                        "{{status}} {{route}}",
                    ),
                ),
                quantiles("Latency by route", "cairn_http_request_duration_seconds", by="route"),
                lines(
                    "Calls by service",
                    "reqps",
                    (rate("cairn_rpc_server_duration_seconds_count", by="service"), "{{service}}"),
                ),
                lines(
                    "Failed calls by service",
                    "percentunit",
                    (
                        rate("cairn_rpc_server_duration_seconds_count", by="service", where=_FAULTS)
                        + " / "
                        + rate("cairn_rpc_server_duration_seconds_count", by="service"),
                        "{{service}}",
                    ),
                    threshold=threshold("CairnErrorRateHigh"),
                ),
                quantiles("Latency by method", "cairn_rpc_server_duration_seconds", by="method"),
                quantiles("Stages of a query", "cairn_gateway_stage_seconds", by="stage"),
                lines(
                    "Degraded answers",
                    "reqps",
                    (rate("cairn_gateway_degraded_total", by="step"), "{{step}}"),
                    threshold=threshold("CairnAnswersDegraded"),
                ),
                lines(
                    "In flight",
                    "short",
                    ("sum (cairn_http_requests_in_flight)", "HTTP"),
                    ("sum by (service) (cairn_rpc_server_in_flight)", "{{service}}"),
                ),
            ),
        ),
        Section(
            "Quality of answers",
            (
                lines(
                    "Answers by outcome",
                    "reqps",
                    (rate("cairn_gateway_answers_total", by="outcome"), "{{outcome}}"),
                    (rate("cairn_gateway_searches_total", by="outcome"), "search {{outcome}}"),
                ),
                lines(
                    "Refused, and without any passage",
                    "percentunit",
                    (
                        rate("cairn_gateway_answers_total", where='outcome="refused"')
                        + " / "
                        + rate("cairn_gateway_answers_total"),
                        "refused",
                    ),
                    (
                        rate("cairn_gateway_answers_total", where='outcome="empty"')
                        + " / "
                        + rate("cairn_gateway_answers_total"),
                        "no passage",
                    ),
                ),
                lines(
                    "Support of answers by what they cite",
                    "percentunit",
                    (
                        "histogram_quantile(0.5, sum by (le) "
                        "(rate(cairn_gateway_answer_grounded_bucket[$__rate_interval])))",
                        "half of the answers have more",
                    ),
                    (
                        "histogram_quantile(0.1, sum by (le) "
                        "(rate(cairn_gateway_answer_grounded_bucket[$__rate_interval])))",
                        "nine of ten have more",
                    ),
                ),
                lines(
                    "Citations removed",
                    "percentunit",
                    (
                        rate("cairn_gateway_citations_removed_total", by="reason")
                        + " / on () group_left () ("
                        + rate("cairn_gateway_citations_removed_total")
                        + " + "
                        + rate("cairn_gateway_citations_total")
                        + ")",
                        "{{reason}}",
                    ),
                    note="Markers that no passage bears out.",
                ),
                lines(
                    "Signs of injected instructions",
                    "short",
                    (rate("cairn_gateway_injection_signals_total", by="signal"), "{{signal}}"),
                    (rate("cairn_gateway_links_removed_total"), "links removed"),
                ),
                lines(
                    "Sentences held against sources",
                    "short",
                    (rate("cairn_gateway_grounding_sentences_total", by="way"), "by {{way}}"),
                ),
                lines(
                    "Ratings of answers",
                    "short",
                    (rate("cairn_gateway_feedback_total", by="rating"), "{{rating}}"),
                ),
            ),
        ),
        Section(
            "Capacity",
            (
                lines(
                    "Memory",
                    "percentunit",
                    ("cairn_memory_used_bytes / cairn_memory_limit_bytes", "{{job}} {{instance}}"),
                    threshold=threshold("CairnMemoryHigh"),
                ),
                lines(
                    "Disk",
                    "percentunit",
                    ("1 - cairn_disk_free_bytes / cairn_disk_size_bytes", "{{job}} {{instance}}"),
                    threshold=threshold("CairnDiskFull"),
                ),
                lines(
                    "GPU memory and use",
                    "percentunit",
                    (
                        "cairn_gpu_memory_used_bytes / cairn_gpu_memory_bytes",
                        "memory {{instance}} {{gpu}}",
                    ),
                    ("cairn_gpu_busy_ratio", "busy {{instance}} {{gpu}}"),
                ),
                lines(
                    "Admitted cost",
                    "percentunit",
                    (
                        "sum by (job, name) (cairn_admission_cost)"
                        " / sum by (job, name) (cairn_admission_limit_cost)",
                        "{{job}} {{name}}",
                    ),
                ),
                lines(
                    "Refused at the door",
                    "reqps",
                    (rate("cairn_admission_refused_total", by="job, name"), "{{job}} {{name}}"),
                    threshold=threshold("CairnOverloaded"),
                ),
                lines(
                    "Dependencies of the gateways",
                    "short",
                    ("min by (dependency) (cairn_gateway_dependency_is_ready)", "{{dependency}}"),
                    ("min by (dependency) (cairn_replicas_usable)", "replicas {{dependency}}"),
                ),
                quantiles(
                    "Calls to other services", "cairn_rpc_client_duration_seconds", by="method"
                ),
                lines(
                    "Breakers",
                    "short",
                    ("max by (job, dependency) (cairn_breaker_state)", "{{job}} {{dependency}}"),
                    (rate("cairn_breaker_opened_total", by="dependency"), "opened {{dependency}}"),
                    note="0 closed, 1 half open, 2 open.",
                ),
                lines(
                    "Retries and their budgets",
                    "reqps",
                    (rate("cairn_retries_total", by="budget"), "{{budget}}"),
                    (
                        rate("cairn_retry_budget_exhausted_total", by="budget"),
                        "not made: {{budget}}",
                    ),
                    threshold=threshold("CairnRetryBudgetSpent"),
                ),
                lines(
                    "Shed and refused by bulkheads",
                    "reqps",
                    (rate("cairn_gateway_shed_total", by="tenant_class"), "shed {{tenant_class}}"),
                    (rate("cairn_bulkhead_refused_total", by="dependency"), "{{dependency}} full"),
                ),
                lines(
                    "Callers refused",
                    "reqps",
                    (
                        rate("cairn_rpc_callers_refused_total", by="job, reason"),
                        "{{job}} {{reason}}",
                    ),
                    note="Calls between services that no service of the installation signed.",
                ),
                lines(
                    "Work at once",
                    "short",
                    ("sum (cairn_gateway_concurrency)", "in work"),
                    ("sum (cairn_gateway_concurrency_limit)", "limit"),
                    note="The limit follows the latency.",
                ),
                lines(
                    "Traces",
                    "short",
                    (rate("cairn_telemetry_traces_total", by="decision"), "{{decision}}"),
                    (rate("cairn_telemetry_lost_spans_total"), "spans lost"),
                ),
            ),
        ),
    ),
)
