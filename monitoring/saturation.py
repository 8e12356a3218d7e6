"""Alerts on what is full, waits, or costs more than it should."""

from __future__ import annotations

from monitoring.model import Alert

SATURATION = (
    Alert(
        name="CairnOverloaded",
        group="saturation",
        severity="ticket",
        expr="sum by (job, name) (rate(cairn_admission_refused_total[5m])) > THRESHOLD",
        threshold=0.1,
        unit="reqps",
        for_="10m",
        summary="{{ $labels.job }} refuses {{ $value | humanize }} requests a second at the door of"
        " {{ $labels.name }}",
        meaning="A service has refused calls for ten minutes because as much as it admits was in"
        " flight.",
        impact="Callers get 429 with a time to try again.",
        look_at=("`cairn_admission_cost / cairn_admission_limit_cost` by name.",),
        do=(
            "Add replicas.",
            "When one tenant sends most of it (dashboard *Cairn tenants and cost*), lower its limits.",
        ),
    ),
    Alert(
        name="CairnBreakerOpen",
        group="saturation",
        severity="ticket",
        expr="max by (job, dependency) (cairn_breaker_state) == 2",
        for_="2m",
        summary="{{ $labels.job }} does not ask {{ $labels.dependency }} any more: its breaker is open",
        meaning="So many calls of a service failed, or were slow, that it is left alone but for a probe"
        " now and then.",
        impact="Answers go down a rung: another engine, words instead of vectors, no reranking.",
        look_at=(
            "The dependency's own error rate, latency and log.",
            "`cairn_breaker_opened_total`: whether it opens again and again.",
        ),
        do=("Mend or restart the dependency; the breaker closes by itself within seconds.",),
    ),
    Alert(
        name="CairnRetryBudgetSpent",
        group="saturation",
        severity="ticket",
        expr="sum by (job, budget) (rate(cairn_retry_budget_exhausted_total[5m])) > THRESHOLD",
        threshold=0.1,
        unit="reqps",
        for_="10m",
        summary="{{ $labels.job }}: {{ $value | humanize }} retries a second of {{ $labels.budget }} are not made",
        meaning="More calls fail than may be tried again: retries are held to about a tenth of the calls.",
        impact="Failures that a retry would have hidden are seen.",
        look_at=("The error rate of what the budget names.",),
        do=("Mend that; the budget only keeps retries from making it worse.",),
    ),
    Alert(
        name="CairnGenerationQueueSlow",
        group="saturation",
        severity="ticket",
        expr="max by (job, instance) (cairn_generation_queue_age_seconds) > THRESHOLD",
        threshold=5,
        unit="s",
        for_="5m",
        summary="A request has waited {{ $value | humanizeDuration }} for the model on {{ $labels.instance }}",
        meaning="For five minutes a request has waited longer than 5 s before the engine began on it.",
        impact="Answers come late; those whose deadline is near come from a simpler engine.",
        look_at=(
            "`cairn_generation_queue_requests`, `cairn_generation_kv_cache_used_ratio`.",
            "Dashboard *Cairn tenants and cost*: whether one tenant fills the queue.",
        ),
        do=("Add generation replicas, or a smaller model; lower a tenant's limit.",),
    ),
    Alert(
        name="CairnMemoryHigh",
        group="saturation",
        severity="ticket",
        expr="""max by (job, instance) (cairn_memory_used_bytes)
            / max by (job, instance) (cairn_memory_limit_bytes) > THRESHOLD""",
        threshold=0.8,
        unit="percentunit",
        for_="15m",
        summary="{{ $labels.job }} on {{ $labels.instance }} uses {{ $value | humanizePercentage }}"
        " of its memory",
        meaning="A process uses more than 80 % of the memory that its container (or machine) has.",
        impact="At 100 % the kernel kills it: its requests fail, and its work begins again elsewhere.",
        look_at=(
            "Retrieval: `cairn_retrieval_view_bytes` against `CAIRN_RETRIEVAL_MAX_VIEW_BYTES`.",
            "Embedding: `cairn_embedding_cache_bytes`, the number of loaded models.",
            "Whether it grows steadily (a leak) or follows the load.",
        ),
        do=(
            "Raise the limit, or lower the setting that bounds the largest part.",
            "A steady growth without load is a fault worth reporting; restart the replica meanwhile.",
        ),
    ),
    Alert(
        name="CairnDiskFull",
        group="saturation",
        severity="page",
        expr="""1 - min by (job, instance) (cairn_disk_free_bytes)
            / max by (job, instance) (cairn_disk_size_bytes) > THRESHOLD""",
        threshold=0.8,
        unit="percentunit",
        for_="15m",
        summary="The data disk of {{ $labels.job }} on {{ $labels.instance }} is"
        " {{ $value | humanizePercentage }} full",
        meaning="The disk of a process's data directory is more than 80 % full.",
        impact="On a full disk nothing is written (507 with `STORAGE_FULL`); reads and deletes work.",
        look_at=(
            "What fills it: snapshots and files of views under the data directory; documents.",
        ),
        do=(
            "Delete old snapshots, or documents that are not needed.",
            "Make the volume larger.",
        ),
    ),
    Alert(
        name="CairnQueueLong",
        group="ingestion",
        severity="ticket",
        # Every replica reports the same table: the largest value is the queue's.
        expr="max(cairn_ingestion_queued_jobs) > THRESHOLD",
        threshold=1000,
        unit="short",
        for_="10m",
        summary="{{ $value }} documents wait for a worker",
        meaning="More than 1,000 documents wait.",
        impact="New documents become searchable late; questions are not slowed down, they have a lane"
        " of their own.",
        look_at=("The dashboard *Cairn ingestion*: how fast the queue shrinks.",),
        do=(
            "Wait when it is a bulk load.",
            "Otherwise add ingestion and embedding replicas.",
        ),
    ),
    Alert(
        name="CairnDocumentsStuck",
        group="ingestion",
        severity="page",
        expr="max(cairn_ingestion_oldest_job_age_seconds) > THRESHOLD",
        threshold=600,
        unit="s",
        for_="5m",
        summary="A document has waited for {{ $value | humanizeDuration }} to become searchable",
        meaning="The oldest unfinished document is more than ten minutes old.",
        impact="New documents are not found.",
        look_at=(
            "`GET /v1/documents?state=queued` and `?state=running`: attempts and last failures.",
            "`cairn_ingestion_stage_seconds` by stage.",
        ),
        do=(
            "When attempts fail, mend what the failure names (mostly embedding or retrieval).",
            "When jobs only wait, add ingestion replicas.",
        ),
    ),
    Alert(
        name="CairnDeadLetters",
        group="ingestion",
        severity="ticket",
        expr="""max(cairn_ingestion_dead_letter_jobs)
            - max(cairn_ingestion_dead_letter_jobs offset 15m) > THRESHOLD""",
        threshold=10,
        unit="short",
        for_="0m",
        summary="{{ $value }} documents failed for good in a quarter of an hour",
        meaning="More than ten documents failed for good within a quarter of an hour.",
        impact="These documents are not found.",
        look_at=("`GET /v1/documents?state=dead_letter`: `failure_reason` and `failure_message`.",),
        do=("Mend the cause, then `POST /v1/documents/{id}/retry`.",),
    ),
    Alert(
        name="CairnTokenCostSpike",
        group="cost",
        severity="ticket",
        # Without a day to compare with, which offset 25h asks for, any use at all would be a spike.
        expr="""(label_replace(sum(rate(cairn_gateway_tenant_cost_total[1h]))
              / sum(rate(cairn_gateway_tenant_cost_total[1d] offset 1h)), "of", "cost", "", "") > THRESHOLD
              and on () count(cairn_gateway_tenant_cost_total offset 25h) > 0)
            or (label_replace(sum(rate(cairn_gateway_tenant_tokens_total[1h]))
              / sum(rate(cairn_gateway_tenant_tokens_total[1d] offset 1h)), "of", "tokens", "", "") > THRESHOLD
              and on () count(cairn_gateway_tenant_tokens_total offset 25h) > 0)""",
        threshold=1.5,
        unit="times",
        for_="30m",
        summary="The {{ $labels.of }} of the last hour is {{ $value | humanize }} times that of the day before",
        meaning="Tokens, or what they cost, have risen by more than half against the mean of the last day.",
        impact="The bill; budgets of tenants are spent early and then refuse.",
        look_at=(
            "Dashboard *Cairn tenants and cost*: which tenant, which kind of tokens.",
            "`cairn usage`, or page Usage of the console, for operations and collections.",
            "Cache hits (CairnCacheHitsLow): a cache that was lost costs tokens.",
        ),
        do=(
            "When it is one tenant, talk to it, or set a budget.",
            "When it is all, look for a change of prompt, model or passages per answer.",
        ),
    ),
    Alert(
        name="CairnUsageNotKept",
        group="cost",
        severity="page",
        expr="sum by (job, instance) (increase(cairn_gateway_journal_errors_total[15m])) > 0",
        for_="0m",
        summary="{{ $labels.instance }} could not keep what was used",
        meaning="A gateway failed to write its journal of usage.",
        impact="Usage may be lost when this process dies; budgets count too little.",
        look_at=("The gateway's log; the disk of its data directory.",),
        do=("Free space, or mend the disk; the journal goes on by itself.",),
    ),
)
