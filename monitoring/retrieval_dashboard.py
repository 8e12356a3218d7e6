"""The dashboard of embedding, search and the index."""

from __future__ import annotations

from monitoring.alerts import threshold
from monitoring.model import Dashboard, Section
from monitoring.panels import lines, quantiles, rate

_SEARCH = 'service="cairn.retrieval.v1.RetrievalService", method="Search"'

RETRIEVAL = Dashboard(
    "cairn-retrieval",
    "Cairn retrieval",
    "Embedding, search and reranking: how fast, how much is found, what is held in memory.",
    (
        Section(
            "Search",
            (
                lines(
                    "Calls by method",
                    "reqps",
                    (
                        rate(
                            "cairn_rpc_server_duration_seconds_count",
                            by="method",
                            where='service="cairn.retrieval.v1.RetrievalService"',
                        ),
                        "{{method}}",
                    ),
                ),
                quantiles(
                    "Search latency",
                    "cairn_rpc_server_duration_seconds",
                    where=_SEARCH,
                    threshold=threshold("CairnSearchSlow"),
                ),
                lines(
                    "recall@10",
                    "percentunit",
                    (
                        "sum(rate(cairn_retrieval_recall_found_total[30m]))"
                        " / sum(rate(cairn_retrieval_recall_expected_total[30m]))",
                        "sampled",
                    ),
                    note="Real searches, run again exactly.",
                    threshold=threshold("CairnRecallLow"),
                ),
                lines(
                    "Searches that find nothing",
                    "percentunit",
                    (
                        rate("cairn_retrieval_queries_total", where='outcome="empty"')
                        + " / "
                        + rate("cairn_retrieval_queries_total"),
                        "empty",
                    ),
                    threshold=threshold("CairnZeroResults"),
                ),
                lines(
                    "Repeated searches",
                    "reqps",
                    (rate("cairn_retrieval_searches_repeated_total"), "repeated"),
                    note="Because documents they found were replaced meanwhile.",
                ),
            ),
        ),
        Section(
            "Index",
            (
                lines(
                    "Rows",
                    "short",
                    ("max by (instance) (cairn_retrieval_rows)", "{{instance}}"),
                    ("max by (instance) (cairn_retrieval_dead_rows)", "dead {{instance}}"),
                ),
                lines(
                    "Bytes in memory",
                    "bytes",
                    ("max by (instance) (cairn_retrieval_view_bytes)", "{{instance}}"),
                ),
                lines(
                    "Collections and segments",
                    "short",
                    ("max by (instance) (cairn_retrieval_views)", "collections {{instance}}"),
                    ("max by (instance) (cairn_retrieval_segments)", "segments {{instance}}"),
                ),
                lines(
                    "Upkeep",
                    "short",
                    (rate("cairn_retrieval_segments_built_total", by="by"), "built by {{by}}"),
                    (rate("cairn_retrieval_views_moved_total", by="tier"), "moved to {{tier}}"),
                    (rate("cairn_retrieval_views_rebuilt_total"), "rebuilt"),
                    (rate("cairn_retrieval_views_saved_total"), "saved"),
                ),
                lines(
                    "Damage found",
                    "short",
                    ("sum (increase(cairn_retrieval_view_files_damaged_total[1h]))", "files"),
                    ("sum (increase(cairn_retrieval_views_different_total[1h]))", "views"),
                    ("sum (increase(cairn_retrieval_snapshots_damaged_total[1h]))", "snapshots"),
                    ("max (cairn_retrieval_filters_distrusted)", "indexes that ignore filters"),
                    note="Each was found and thrown away; more than a few mean a failing disk.",
                ),
                lines(
                    "Snapshots",
                    "short",
                    (rate("cairn_retrieval_snapshots_total", by="done"), "{{done}}"),
                ),
            ),
        ),
        Section(
            "Embedding",
            (
                lines(
                    "Texts and tokens",
                    "short",
                    (rate("cairn_embedding_texts_total", by="lane"), "texts {{lane}}"),
                    (rate("cairn_embedding_tokens_total", by="lane"), "tokens {{lane}}"),
                ),
                quantiles("Forward pass", "cairn_embedding_inference_seconds", by="lane"),
                quantiles(
                    "A query's vector",
                    "cairn_gateway_stage_seconds",
                    where='stage="embed"',
                    threshold=threshold("CairnEmbeddingSlow"),
                ),
                lines(
                    "Waiting tokens",
                    "short",
                    ("sum by (lane) (cairn_embedding_queue_tokens)", "{{lane}}"),
                ),
                lines(
                    "Age of the oldest waiting text",
                    "s",
                    ("max by (lane) (cairn_embedding_queue_age_seconds)", "{{lane}}"),
                ),
                lines(
                    "Batch fill",
                    "percentunit",
                    (
                        rate("cairn_embedding_batch_fill_ratio_sum", by="lane")
                        + " / "
                        + rate("cairn_embedding_batch_fill_ratio_count", by="lane"),
                        "{{lane}}",
                    ),
                ),
                lines(
                    "Cache hits",
                    "percentunit",
                    (
                        rate(
                            "cairn_embedding_cache_lookups_total", by="tier", where='outcome="hit"'
                        )
                        + " / "
                        + rate("cairn_embedding_cache_lookups_total", by="tier"),
                        "{{tier}}",
                    ),
                    threshold=threshold("CairnCacheHitsLow"),
                ),
                lines(
                    "Texts not encoded",
                    "short",
                    (rate("cairn_embedding_dropped_texts_total", by="why"), "dropped: {{why}}"),
                    (rate("cairn_embedding_failed_texts_total", by="reason"), "failed: {{reason}}"),
                    (rate("cairn_embedding_coalesced_texts_total"), "shared a pass"),
                    (rate("cairn_embedding_truncated_texts_total"), "truncated"),
                ),
                lines(
                    "Passages reranked",
                    "short",
                    (rate("cairn_embedding_reranked_passages_total", by="source"), "{{source}}"),
                ),
                lines(
                    "Models elsewhere",
                    "reqps",
                    (rate("cairn_embedding_remote_attempts_total", by="outcome"), "{{outcome}}"),
                    (rate("cairn_embedding_shared_cache_failures_total"), "shared cache failed"),
                ),
            ),
        ),
    ),
)
