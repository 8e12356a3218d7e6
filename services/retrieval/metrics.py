"""Figures of the retrieval service beyond those of its calls."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from services.rpc import instruments

VIEWS = Gauge("cairn_retrieval_views", "Collections held in memory.")
VIEW_BYTES = Gauge("cairn_retrieval_view_bytes", "Bytes of the collections held in memory.")
ROWS = Gauge("cairn_retrieval_rows", "Rows of the collections held in memory that can be found.")
DEAD_ROWS = Gauge(
    "cairn_retrieval_dead_rows",
    "Rows of deleted and replaced documents that the collections held in memory still carry.",
)
SEGMENTS = Gauge("cairn_retrieval_segments", "Closed segments of the collections held in memory.")
QUERIES = instruments.Counter(
    "cairn_retrieval_queries_total", "Queries answered, by whether anything was found.", ["outcome"]
)
QUERIES_FOUND, QUERIES_EMPTY = QUERIES.labels("found"), QUERIES.labels("empty")
RECALL_EXPECTED = Counter(
    "cairn_retrieval_recall_expected_total",
    "Passages that exact searches found, over a sample of real ones (ten of each at most).",
)
RECALL_FOUND = Counter(
    "cairn_retrieval_recall_found_total",
    "Those of them that the same searches found as they were made.",
)
SEARCHES_REPEATED = Counter(
    "cairn_retrieval_searches_repeated_total",
    "Searches repeated because documents they found were replaced meanwhile.",
)
VIEWS_REBUILT = Counter(
    "cairn_retrieval_views_rebuilt_total", "Views loaded anew because too many rows were dead."
)
SEGMENTS_BUILT = Counter(
    "cairn_retrieval_segments_built_total",
    "Segments of vectors built: from the newest rows, or by merging others.",
    ["by"],
)
FILTERS_DISTRUSTED = Gauge(
    "cairn_retrieval_filters_distrusted",
    "Indexes that ignored a filter at start-up and are not searched under one.",
)
VIEWS_SAVED = Counter("cairn_retrieval_views_saved_total", "Views whose files were saved.")
VIEWS_MOVED = Counter(
    "cairn_retrieval_views_moved_total", "Views moved between memory and disk.", ["tier"]
)
VIEW_FILES_DAMAGED = Counter(
    "cairn_retrieval_view_files_damaged_total",
    "Saved states of views that were not what was written, and were thrown away.",
)
VIEWS_DIFFERENT = Counter(
    "cairn_retrieval_views_different_total",
    "Views that held other documents than the store, and were loaded anew.",
)
SNAPSHOTS = Counter(
    "cairn_retrieval_snapshots_total", "Snapshots created, restored and deleted.", ["done"]
)
SNAPSHOTS_DAMAGED = Counter(
    "cairn_retrieval_snapshots_damaged_total",
    "Snapshots whose files were not what was written, found when they were to be restored.",
)
