"""Metrics of the queue and of the work on documents."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from services.rpc.metrics import STAGE_SECONDS as STAGE_SECONDS_BOUNDS

QUEUED = Gauge("cairn_ingestion_queued_jobs", "Jobs that wait.")
RUNNING = Gauge("cairn_ingestion_running_jobs", "Jobs that workers hold.")
DEAD_LETTERS = Gauge("cairn_ingestion_dead_letter_jobs", "Jobs that failed for good.")
OLDEST_AGE = Gauge(
    "cairn_ingestion_oldest_job_age_seconds", "Age of the oldest job that has not ended."
)
ACCEPTED = Counter("cairn_ingestion_submissions_total", "Documents submitted.", ["outcome"])
JOBS = Counter("cairn_ingestion_jobs_total", "Attempts on jobs that ended.", ["outcome", "reason"])
STAGE_SECONDS = Histogram(
    "cairn_ingestion_stage_seconds",
    "Duration of the stages of a job.",
    ["stage"],
    buckets=(*STAGE_SECONDS_BOUNDS, 120.0),
)
FRESHNESS_SECONDS = Histogram(
    "cairn_ingestion_freshness_seconds",
    "From a document's submission to the moment when searches find it.",
    buckets=(0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 3600.0),
)
CHUNKS = Counter("cairn_ingestion_chunks_total", "Chunks indexed.", ["source"])
