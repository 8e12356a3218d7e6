"""Rows of the benchmark's object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.gateway.load import percentile

OURS = "cairn gateway"


def row(case: str, metric: str, value: float, system: str = OURS) -> dict[str, Any]:
    """Returns a row."""
    return {"case": case, "system": system, "metric": metric, "value": round(value, 3)}


def latency_rows(case: str, latencies_ms: Sequence[float], system: str = OURS) -> list[Any]:
    """Returns rows with the percentiles of latencies."""
    shares = {"p50 ms": 0.5, "p95 ms": 0.95, "p99 ms": 0.99}
    return [
        row(case, name, percentile(latencies_ms, share), system) for name, share in shares.items()
    ]


def all_latencies(seen: dict[str, Any]) -> list[float]:
    """Returns the latencies of all kinds of requests together."""
    return [each for kind in seen["latencies_ms"].values() for each in kind]


def check(seen: dict[str, Any]) -> None:
    """Passes runs without a failed request.

    Raises:
        RuntimeError: a request failed.
    """
    wrong = {status: count for status, count in seen["statuses"].items() if status != "200"}
    if wrong:
        raise RuntimeError(f"answers with status {wrong}")
