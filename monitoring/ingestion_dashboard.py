"""The dashboard of the way from a document to the index."""

from __future__ import annotations

from monitoring.alerts import threshold
from monitoring.model import Dashboard, Section
from monitoring.panels import lines, quantiles, rate

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
