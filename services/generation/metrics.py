"""Metrics of the generation service. Labels are engine names and enums: bounded."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
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
