"""Metrics of the generation service. Labels are engine names and enums: bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.rpc.metrics import STAGE_SECONDS

_SECONDS = STAGE_SECONDS
_TOKEN_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0,
)  # fmt: skip

REQUESTS = Counter(
    "cairn_generation_requests_total",
    "Requests ended, by engine and how: a finish reason, or an error's reason.",
    ["engine", "result"],
)
RUNNING = Gauge("cairn_generation_running", "Requests an engine works on.", ["engine"])
TTFT_SECONDS = Histogram(
    "cairn_generation_time_to_first_token_seconds",
    "From the engine's start on a request to its first text.",
    ["engine"],
    buckets=_SECONDS,
)
DURATION_SECONDS = Histogram(
    "cairn_generation_duration_seconds",
    "From the engine's start on a request to its end, for requests that ended well.",
    ["engine"],
    buckets=_SECONDS,
)
TOKENS = Counter(
    "cairn_generation_tokens_total",
    "Tokens of requests that ended well: prompt (cached ones included), cached_prompt, completion.",
    ["engine", "kind"],
)
COST = Counter(
    "cairn_generation_cost_total",
    "What tokens cost by the engine's prices, in the currency's own unit.",
    ["engine", "currency"],
)
DELTAS = Counter(
    "cairn_generation_deltas_total", "Pieces of text an engine handed out.", ["engine"]
)
FAILOVERS = Counter(
    "cairn_generation_failovers_total",
    "Requests an engine of the chain did not take or lost before its first text, by why.",
    ["engine", "reason"],
)
BREAKER_STATE = Gauge(
    "cairn_generation_breaker_state", "0 closed, 1 half open, 2 open.", ["engine"]
)
DROPPED_PASSAGES = Counter(
    "cairn_generation_dropped_passages_total",
    "Passages left out because the model's context was full.",
)
PROMPT_REPEATS = Counter(
    "cairn_generation_prompt_repeats_total",
    "Repetitions of their instructions that were left out of answers from passages.",
)
QUEUE_REQUESTS = Gauge(
    "cairn_generation_queue_requests", "Requests that wait in the tenants' queue of the engine."
)
QUEUE_AGE_SECONDS = Gauge(
    "cairn_generation_queue_age_seconds", "How long the request has waited that waits longest."
)
QUEUE_WAIT_SECONDS = Histogram(
    "cairn_generation_queue_wait_seconds",
    "Waiting in the tenants' queue before the engine took the request.",
    buckets=_SECONDS,
)
QUEUE_REFUSED = Counter(
    "cairn_generation_queue_refused_total",
    "Requests the queue did not take: no room for requests or tokens, or their turn is too_late.",
    ["reason"],
)
ENGINE_QUEUE_SECONDS = Histogram(
    "cairn_generation_engine_queue_seconds",
    "Waiting inside the engine, by its own clock.",
    buckets=_SECONDS,
)
PREFILL_SECONDS = Histogram(
    "cairn_generation_prefill_seconds",
    "From the engine's start on a prompt to the first token, by its own clock.",
    buckets=_SECONDS,
)
DECODE_SECONDS = Histogram(
    "cairn_generation_decode_seconds",
    "From the first token to the last, by the engine's own clock.",
    buckets=_SECONDS,
)
INTER_TOKEN_SECONDS = Histogram(
    "cairn_generation_inter_token_seconds",
    "Mean time between two tokens of a request, by the engine's own clock.",
    buckets=_TOKEN_SECONDS,
)
TENANT_TOKENS = Counter(
    "cairn_generation_tenant_tokens_total",
    "Tokens charged by tenant, cancelled requests included: prompt, cached_prompt, completion.",
    ["tenant", "kind"],
)
RESERVED_TOKENS = Gauge(
    "cairn_generation_reserved_tokens", "Tokens that requests under way may still take."
)
KV_CACHE_USED = Gauge("cairn_generation_kv_cache_used_ratio", "Share of the KV cache in use, 0..1.")
PREFIX_TOKENS = Counter(
    "cairn_generation_prefix_cache_tokens_total",
    "Prompt tokens looked up in the prefix cache (queried) and found there (hit).",
    ["kind"],
)
PREEMPTIONS = Counter(
    "cairn_generation_preemptions_total",
    "Requests the engine put back because the KV cache was full.",
)
