"""Every dashboard."""

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
                    "Models elsewhere",
                    "reqps",
                    (rate("cairn_embedding_remote_attempts_total", by="outcome"), "{{outcome}}"),
                    (rate("cairn_embedding_shared_cache_failures_total"), "shared cache failed"),
                ),
            ),
        ),
    ),
)

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

INGESTION = Dashboard(
    "cairn-ingestion",
    "Cairn ingestion",
    "From a document's submission to the moment when it can be found.",
    (
        Section(
            "Queue",
            (
                lines(
                    "Jobs",
                    "short",
                    ("max (cairn_ingestion_queued_jobs)", "waiting"),
                    ("max (cairn_ingestion_running_jobs)", "in work"),
                    ("max (cairn_ingestion_dead_letter_jobs)", "dead letters"),
                    note="Every replica reports the same table: the maximum is the queue's.",
                    threshold=threshold("CairnQueueLong"),
                ),
                lines(
                    "Age of the oldest",
                    "s",
                    ("max (cairn_ingestion_oldest_job_age_seconds)", "oldest"),
                    threshold=threshold("CairnDocumentsStuck"),
                ),
                quantiles(
                    "Freshness",
                    "cairn_ingestion_freshness_seconds",
                    note="From submission to searchable.",
                ),
                lines(
                    "Submitted",
                    "reqps",
                    (rate("cairn_ingestion_submissions_total", by="outcome"), "{{outcome}}"),
                ),
                lines(
                    "Attempts ended",
                    "reqps",
                    (
                        rate("cairn_ingestion_jobs_total", by="outcome, reason"),
                        "{{outcome}} {{reason}}",
                    ),
                ),
                quantiles("Stages", "cairn_ingestion_stage_seconds", by="stage"),
                lines(
                    "Chunks",
                    "short",
                    (rate("cairn_ingestion_chunks_total", by="source"), "{{source}}"),
                ),
            ),
        ),
    ),
)

TENANTS = Dashboard(
    "cairn-tenants",
    "Cairn tenants and cost",
    "Who uses how much, what it costs, who is held back. The first hundred tenants are named.",
    (
        Section(
            "Use",
            (
                lines(
                    "Requests metered",
                    "reqps",
                    (rate("cairn_gateway_metered_requests_total", by="operation"), "{{operation}}"),
                ),
                lines(
                    "Tokens by tenant",
                    "short",
                    (rate("cairn_gateway_tenant_tokens_total", by="tenant"), "{{tenant}}"),
                ),
                lines(
                    "Tokens by kind",
                    "short",
                    (rate("cairn_gateway_tenant_tokens_total", by="kind"), "{{kind}}"),
                ),
            ),
        ),
        Section(
            "Cost",
            (
                lines(
                    "Cost an hour by tenant",
                    "short",
                    (
                        "sum by (tenant, currency) (increase(cairn_gateway_tenant_cost_total[1h]))",
                        "{{tenant}} {{currency}}",
                    ),
                ),
                lines(
                    "Against the day before",
                    "short",
                    (
                        "sum(rate(cairn_gateway_tenant_cost_total[1h]))"
                        " / sum(rate(cairn_gateway_tenant_cost_total[1d] offset 1h))",
                        "cost",
                    ),
                    (
                        "sum(rate(cairn_gateway_tenant_tokens_total[1h]))"
                        " / sum(rate(cairn_gateway_tenant_tokens_total[1d] offset 1h))",
                        "tokens",
                    ),
                    threshold=threshold("CairnTokenCostSpike"),
                ),
                lines(
                    "Cache hits",
                    "percentunit",
                    (
                        rate("cairn_gateway_cache_lookups_total", by="cache", where='outcome="hit"')
                        + " / "
                        + rate("cairn_gateway_cache_lookups_total", by="cache"),
                        "{{cache}}",
                    ),
                    threshold=threshold("CairnCacheHitsLow"),
                ),
            ),
        ),
        Section(
            "Caches",
            (
                lines(
                    "Bytes",
                    "bytes",
                    ("sum by (cache) (cairn_gateway_cache_bytes)", "{{cache}}"),
                ),
                lines(
                    "Entries",
                    "short",
                    ("sum by (cache) (cairn_gateway_cache_entries)", "{{cache}}"),
                ),
                lines(
                    "Evicted",
                    "short",
                    (
                        rate("cairn_gateway_cache_evicted_total", by="cache, reason"),
                        "{{cache}} {{reason}}",
                    ),
                ),
            ),
        ),
        Section(
            "Limits",
            (
                lines(
                    "Credentials refused",
                    "reqps",
                    (rate("cairn_gateway_credentials_refused_total", by="kind"), "{{kind}}"),
                ),
                lines(
                    "Limits kept per replica",
                    "short",
                    ("max by (instance) (cairn_gateway_limiter_is_local)", "{{instance}}"),
                    note="1 while Valkey is away, or was never given.",
                ),
                lines(
                    "Held back",
                    "reqps",
                    (
                        rate("cairn_gateway_limited_total", by="limit, scope, mode"),
                        "{{limit}} of {{scope}} ({{mode}})",
                    ),
                ),
                lines(
                    "Budget and spike alerts",
                    "short",
                    ("sum by (kind) (increase(cairn_gateway_usage_alerts_total[1h]))", "{{kind}}"),
                ),
                lines(
                    "Ledger",
                    "short",
                    ("sum (cairn_gateway_ledger_pending_events)", "not yet written"),
                    (rate("cairn_gateway_journal_errors_total"), "journal errors"),
                ),
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, RETRIEVAL, GENERATION, INGESTION, TENANTS)
