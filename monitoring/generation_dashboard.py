"""The dashboard of the engines that write answers."""

from __future__ import annotations

from monitoring.alerts import threshold
from monitoring.model import Dashboard, Section
from monitoring.panels import lines, quantiles, rate

GENERATION = Dashboard(
    "cairn-generation",
    "Cairn generation",
    "Engines that write answers: queue, first token, throughput, failures.",
    (
        Section(
            "Answers",
            (
                lines(
                    "Requests by engine and result",
                    "reqps",
                    (
                        rate("cairn_generation_requests_total", by="engine, result"),
                        "{{engine}} {{result}}",
                    ),
                ),
                quantiles(
                    "Time to first token",
                    "cairn_generation_time_to_first_token_seconds",
                    by="engine",
                ),
                quantiles("Duration", "cairn_generation_duration_seconds", by="engine"),
                lines(
                    "Tokens",
                    "short",
                    (
                        rate("cairn_generation_tokens_total", by="engine, kind"),
                        "{{engine}} {{kind}}",
                    ),
                ),
                lines(
                    "Running",
                    "short",
                    ("sum by (engine) (cairn_generation_running)", "{{engine}}"),
                ),
                lines(
                    "Tokens charged by tenant",
                    "short",
                    (rate("cairn_generation_tenant_tokens_total", by="tenant"), "{{tenant}}"),
                ),
                lines(
                    "Breakers of engines",
                    "short",
                    ("max by (engine) (cairn_generation_breaker_state)", "{{engine}}"),
                    note="0 closed, 1 half open, 2 open.",
                ),
                lines(
                    "Failovers",
                    "reqps",
                    (
                        rate("cairn_generation_failovers_total", by="engine, reason"),
                        "{{engine}} {{reason}}",
                    ),
                ),
                lines(
                    "Queue",
                    "short",
                    ("sum (cairn_generation_queue_requests)", "waiting"),
                    ("sum (cairn_generation_reserved_tokens)", "reserved tokens"),
                ),
                lines(
                    "Age of the oldest waiting",
                    "s",
                    ("max (cairn_generation_queue_age_seconds)", "oldest"),
                    threshold=threshold("CairnGenerationQueueSlow"),
                ),
                quantiles("Waiting in the queue", "cairn_generation_queue_wait_seconds"),
                lines(
                    "Refused by the queue",
                    "reqps",
                    (rate("cairn_generation_queue_refused_total", by="reason"), "{{reason}}"),
                ),
                quantiles("Waiting in the engine", "cairn_generation_engine_queue_seconds"),
                quantiles("Prefill", "cairn_generation_prefill_seconds"),
                quantiles("Decode", "cairn_generation_decode_seconds"),
                quantiles("Between two tokens", "cairn_generation_inter_token_seconds"),
                lines(
                    "KV cache",
                    "percentunit",
                    (
                        "max by (instance) (cairn_generation_kv_cache_used_ratio)",
                        "used {{instance}}",
                    ),
                    (
                        rate("cairn_generation_prefix_cache_tokens_total", where='kind="hit"')
                        + " / "
                        + rate(
                            "cairn_generation_prefix_cache_tokens_total", where='kind="queried"'
                        ),
                        "prefix hits",
                    ),
                ),
                lines(
                    "vLLM's own queue",
                    "short",
                    ("sum by (model_name) (vllm:num_requests_running)", "running {{model_name}}"),
                    ("sum by (model_name) (vllm:num_requests_waiting)", "waiting {{model_name}}"),
                    note="Behind the tenants' queue, which holds most of what waits.",
                ),
                lines(
                    "Preemptions",
                    "short",
                    (rate("cairn_generation_preemptions_total"), "a second"),
                ),
                lines(
                    "Cost by engine",
                    "short",
                    (
                        "sum by (engine, currency) (increase(cairn_generation_cost_total[1h]))",
                        "{{engine}} {{currency}} an hour",
                    ),
                ),
                lines(
                    "Placement",
                    "reqps",
                    (rate("cairn_placements_total", by="how"), "{{how}}"),
                    note="Whether a request went to the replica that may have its prefix.",
                ),
                lines(
                    "Passages left out",
                    "short",
                    (rate("cairn_generation_dropped_passages_total"), "context was full"),
                ),
            ),
        ),
    ),
)
