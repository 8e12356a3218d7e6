"""Alerts on how long answers take and how good they are."""

from __future__ import annotations

from monitoring.model import Alert

QUALITY = (
    Alert(
        name="CairnSearchSlow",
        group="quality",
        severity="page",
        expr="""histogram_quantile(0.95, sum by (le) (rate(cairn_rpc_server_duration_seconds_bucket{
            service="cairn.retrieval.v1.RetrievalService", method="Search"}[5m]))) > THRESHOLD""",
        threshold=0.15,
        unit="s",
        for_="5m",
        summary="95 % of searches take up to {{ $value | humanizeDuration }}",
        meaning="The 95th percentile of searches of the index exceeds 150 ms.",
        impact="Slow answers, later degraded ones.",
        look_at=(
            "`explain: true` on a search shows the plan and the rows of each segment.",
            "Retrieval's CPU and memory; whether views are moved between memory and disk:"
            " `rate(cairn_retrieval_views_moved_total[5m])`.",
            "Traces of searches above 150 ms are always kept.",
        ),
        do=(
            "Add retrieval replicas; give them more memory when views move.",
            "Narrow searches by filters; have large collections optimised (`cairn collections optimize`).",
        ),
    ),
    Alert(
        name="CairnAnswersSlow",
        group="quality",
        severity="page",
        expr="""histogram_quantile(0.95, sum by (le) (rate(
            cairn_gateway_query_seconds_bucket{operation="query"}[5m]))) > THRESHOLD""",
        threshold=5,
        unit="s",
        for_="5m",
        summary="95 % of answers take up to {{ $value | humanizeDuration }}",
        meaning="The 95th percentile of whole answers exceeds 5 s.",
        impact="People wait, or leave.",
        look_at=(
            "`histogram_quantile(0.95, sum by (le, stage) (rate(cairn_gateway_stage_seconds_bucket[5m])))`.",
            "`cairn_generation_running` and the time to the first token.",
        ),
        do=(
            "If `generate` leads, the engine is the limit: add replicas, or choose a smaller model.",
            "Otherwise see the runbook of the stage's own service.",
        ),
    ),
    Alert(
        name="CairnEmbeddingSlow",
        group="quality",
        severity="ticket",
        expr="""histogram_quantile(0.95, sum by (le) (rate(
            cairn_gateway_stage_seconds_bucket{stage="embed"}[5m]))) > THRESHOLD""",
        threshold=0.5,
        unit="s",
        for_="10m",
        summary="95 % of queries wait up to {{ $value | humanizeDuration }} for their vector",
        meaning="The 95th percentile of embedding a query exceeds 500 ms.",
        impact="Every search that needs a vector is late; near the deadline it falls back to words.",
        look_at=(
            "`cairn_embedding_queue_tokens` by lane: queries go in the interactive one.",
            "`cairn_embedding_inference_seconds` and the CPU or GPU of the service.",
        ),
        do=(
            "Add embedding replicas, or give bulk work replicas of its own.",
            "Check that the cache works: see CairnCacheHitsLow.",
        ),
    ),
    Alert(
        name="CairnRecallLow",
        group="quality",
        severity="page",
        expr="""sum(rate(cairn_retrieval_recall_found_total[30m]))
            / sum(rate(cairn_retrieval_recall_expected_total[30m])) < THRESHOLD""",
        threshold=0.9,
        unit="percentunit",
        for_="10m",
        summary="Searches find {{ $value | humanizePercentage }} of what an exact one finds",
        meaning="recall@10, measured on a sample of real searches that are run again exactly, is below"
        " 0.9.",
        impact="Answers miss passages that are there: they get worse without any error.",
        look_at=(
            "`GET /v1/collections/{name}`: `recall_loss` of its parts.",
            "Whether a collection grew or changed much since it was optimised.",
        ),
        do=(
            "Optimise the collection (`cairn collections optimize NAME`).",
            "Ask for more care with `recall: high` (slower), or use an index kind with less loss.",
        ),
    ),
    Alert(
        name="CairnZeroResults",
        group="quality",
        severity="ticket",
        expr="""sum(rate(cairn_retrieval_queries_total{outcome="empty"}[30m]))
            / sum(rate(cairn_retrieval_queries_total[30m])) > THRESHOLD""",
        threshold=0.05,
        unit="percentunit",
        for_="30m",
        summary="{{ $value | humanizePercentage }} of searches find nothing",
        meaning="More than 5 % of searches come back empty.",
        impact="Questions are refused for want of passages.",
        look_at=(
            "Whether documents are missing: `cairn_retrieval_rows`, the dashboard *Cairn ingestion*.",
            "Whether filters or permissions leave nothing: a search with `explain: true`.",
        ),
        do=(
            "Bring missing documents in; mend failed sources.",
            "If callers ask for collections or fields that do not exist, tell them.",
        ),
    ),
    Alert(
        name="CairnCacheHitsLow",
        group="quality",
        severity="ticket",
        expr="""(label_replace(
              sum(rate(cairn_embedding_cache_lookups_total{outcome="hit"}[30m]))
              / sum(rate(cairn_embedding_cache_lookups_total{tier="local"}[30m])),
              "cache", "embedding", "", "") < THRESHOLD
              and on () sum(rate(cairn_embedding_cache_lookups_total{tier="local"}[30m])) > 1)
            or (sum by (cache) (rate(cairn_gateway_cache_lookups_total{outcome="hit"}[30m]))
              / sum by (cache) (rate(cairn_gateway_cache_lookups_total{outcome=~"hit|miss"}[30m]))
              < THRESHOLD and on (cache)
              sum by (cache) (rate(cairn_gateway_cache_lookups_total{outcome=~"hit|miss"}[30m])) > 1)""",
        threshold=0.4,
        unit="percentunit",
        for_="30m",
        summary="Cache {{ $labels.cache }}: {{ $value | humanizePercentage }} of lookups are hits",
        meaning="Less than 40 % of lookups in a cache hit, at more than one lookup a second.",
        impact="Work is done again that was done before: higher latency and cost.",
        look_at=(
            "Whether a process was just restarted: caches in memory begin empty.",
            "`cairn_embedding_shared_cache_failures_total`: whether Valkey answers.",
            "Whether the questions really repeat: a bulk load of new texts cannot hit.",
        ),
        do=(
            "Give the cache more memory (`CAIRN_EMBEDDING_CACHE_BYTES`), and replicas a shared Valkey.",
            "If the traffic does not repeat, this alert is of no use to you: silence it.",
        ),
    ),
    Alert(
        name="CairnAnswersDegraded",
        group="quality",
        severity="ticket",
        expr="sum by (step) (rate(cairn_gateway_degraded_total[10m])) > THRESHOLD",
        threshold=0.05,
        unit="short",
        for_="10m",
        summary="Answers are less than asked for: {{ $labels.step }}",
        meaning="Answers have been less than asked for; the label `step` says in what way"
        " ([the entries](../api.md)).",
        impact="Worse answers, not wrong ones.",
        look_at=(
            "The service that the step names: its error rate, latency and breaker.",
            "Traces of such requests are always kept.",
        ),
        do=("Look after that service.",),
    ),
)
