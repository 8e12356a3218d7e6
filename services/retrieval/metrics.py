"""Figures of the retrieval service beyond those of its calls."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

VIEWS = Gauge("cairn_retrieval_views", "Collections held in memory.")
VIEW_BYTES = Gauge("cairn_retrieval_view_bytes", "Bytes of the collections held in memory.")
SEARCHES_REPEATED = Counter(
    "cairn_retrieval_searches_repeated_total",
    "Searches repeated because documents they found were replaced meanwhile.",
)
VIEWS_REBUILT = Counter(
    "cairn_retrieval_views_rebuilt_total", "Views loaded anew because too many rows were dead."
)
GRAPHS_BUILT = Counter("cairn_retrieval_graphs_built_total", "Graphs built over views' rows.")
