"""What the service tells Prometheus of its queue, batches and cache."""

from __future__ import annotations

from prometheus_client import Gauge

from services.rpc.instruments import Counter, Histogram
from services.rpc.metrics import STAGE_SECONDS

QUEUE_TOKENS = Gauge("cairn_embedding_queue_tokens", "Tokens that wait for the model.", ["lane"])
QUEUE_AGE_SECONDS = Gauge(
    "cairn_embedding_queue_age_seconds",
    "How long the text has waited for the model that waits longest.",
    ["lane"],
)
BATCH_FILL = Histogram(
    "cairn_embedding_batch_fill_ratio",
    "Tokens of a batch over its budget.",
    ["lane"],
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0),
)
INFERENCE_SECONDS = Histogram(
    "cairn_embedding_inference_seconds",
    "Duration of a forward pass.",
    ["lane"],
    buckets=STAGE_SECONDS,
)
TOKENS = Counter("cairn_embedding_tokens_total", "Tokens encoded by a model.", ["lane"])
TEXTS = Counter("cairn_embedding_texts_total", "Texts encoded by a model.", ["lane"])
DROPPED = Counter(
    "cairn_embedding_dropped_texts_total",
    "Texts dropped before their forward pass.",
    ["why"],
)
COALESCED = Counter(
    "cairn_embedding_coalesced_texts_total", "Texts that shared the pass of an equal one."
)
FAILED = Counter(
    "cairn_embedding_failed_texts_total", "Texts answered with an error of their own.", ["reason"]
)
TRUNCATED = Counter("cairn_embedding_truncated_texts_total", "Texts of which tokens were dropped.")
CACHE_LOOKUPS = Counter(
    "cairn_embedding_cache_lookups_total", "Lookups in the embedding cache.", ["tier", "outcome"]
)
SHARED_CACHE_FAILURES = Counter(
    "cairn_embedding_shared_cache_failures_total", "Times that the shared cache did not answer."
)
REMOTE_ATTEMPTS = Counter(
    "cairn_embedding_remote_attempts_total",
    "Requests to endpoints of models elsewhere.",
    ["outcome"],
)
RERANKED = Counter(
    "cairn_embedding_reranked_passages_total",
    "Passages scored by late interaction: by stored token codes, or by what was computed for the "
    "request because they had none, or unusable ones.",
    ["source"],
)
CACHE_BYTES = Gauge("cairn_embedding_cache_bytes", "Memory held by the embedding cache.")
MODELS = Gauge("cairn_embedding_models", "Loaded models.")
