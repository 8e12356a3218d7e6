"""Which values each label of each metric may have: series stay bounded whatever callers send.

Nearly all are closed sets, read from the code where it enumerates them. A label that is not named
here has no bound, and is told of as a fault.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

import grpc
import httpx
from cairn.embedding.v1 import embedding_service_pb2
from cairn.gateway.v1 import gateway_service_pb2
from cairn.generation.v1 import generation_service_pb2
from cairn.ingestion.v1 import ingestion_service_pb2
from cairn.retrieval.v1 import retrieval_service_pb2
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.embedding.options import Lane
from services.gateway.edge.mcp.tools import DESCRIPTIONS
from services.gateway.identity.permissions import Operation
from services.gateway.limits.rules import Mode, Period, Resource, Subject
from services.gateway.pipeline.untrusted import SIGNALS
from services.generation.engine import FinishReason
from services.ingestion.failures import FailureReason
from services.languages.telling import LANGUAGES
from services.retrieval.vectors import Tier
from services.rpc.errors import Reason
from services.rpc.metrics import MAX_TENANTS, OTHER_TENANTS
from services.rpc.scope import TenantClass
from tests.kit.suite import Suite

FOREIGN = ("python_", "process_", "vllm:")
"""Families of others."""
_CONTRACTS = (
    embedding_service_pb2,
    retrieval_service_pb2,
    generation_service_pb2,
    ingestion_service_pb2,
    gateway_service_pb2,
)
_SERVICES = [
    each for contract in _CONTRACTS for each in contract.DESCRIPTOR.services_by_name.values()
]
_METHODS = {method.name for service in _SERVICES for method in service.methods}
_HTTP_METHODS = {"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS", "_OTHER"}
_STATUSES = {
    *(str(each) for each in (200, 201, 202, 204, 206, 304, 307, 400, 401, 403, 404, 405, 406, 408)),
    *(str(each) for each in (409, 413, 415, 422, 429, 499, 500, 501, 503, 504, 507)),
}
_CODES = {code.name for code in grpc.StatusCode}
_REASONS = {reason.value for reason in Reason}
_ENGINES = {"extractive", "vllm", "openai", "silent"}
_DEPENDENCIES = {"embedding", "retrieval", "generation", "ingestion"}
_GUARDED = _DEPENDENCIES | _ENGINES | {f"generation_{slot}" for slot in range(64)}
_LANES = {lane.name.lower() for lane in Lane}
_LIMITS = {f"{resource}_{period}" for resource in Resource for period in Period}
_CURRENCIES = re.compile(r"[A-Z]{3}")
_NUMBERS = re.compile(r"[0-9]{1,2}")
_TENANTS = MAX_TENANTS + 1

Bound = Collection[str] | re.Pattern[str] | int
"""The values; a pattern that few match; or how many there may be at most."""

_BOUNDS: Mapping[str, Mapping[str, Bound]] = {
    "cairn_admission_cost": {
        "name": {
            "embedding_tokens",
            "generation_requests",
            "http_requests",
            "http_upload_bytes",
            "ingestion_bytes",
            "retrieval_queries",
            "retrieval_write_bytes",
        }
    },
    "cairn_breaker_state": {"dependency": _GUARDED},
    "cairn_bulkhead_limit_calls": {"dependency": _GUARDED},
    "cairn_embedding_batch_fill_ratio": {"lane": _LANES},
    "cairn_embedding_cache_lookups": {"tier": {"local", "shared"}, "outcome": {"hit", "miss"}},
    "cairn_embedding_dropped_texts": {"why": {"expired", "cancelled"}},
    "cairn_embedding_failed_texts": {"reason": _REASONS},
    "cairn_embedding_reranked_passages": {"source": {"stored", "computed", "unusable"}},
    "cairn_embedding_remote_attempts": {
        "outcome": {"ok", "unreachable", "refused", "failed", "malformed"}
    },
    "cairn_gateway_answers": {"outcome": {"answered", "refused", "empty"}},
    "cairn_gateway_audit_entries": {"surface": {"http", "grpc", "none"}},
    "cairn_gateway_cache_bytes": {"cache": {"exact", "semantic", "retrieval"}},
    "cairn_gateway_cache_evicted": {
        "cache": {"exact", "semantic", "retrieval"},
        "reason": {"age", "replaced", "space", "changed", "cleared"},
    },
    "cairn_gateway_cache_lookups": {
        "cache": {"exact", "semantic", "retrieval"},
        "outcome": {"hit", "miss", "joined", "bypass", "error"},
    },
    "cairn_gateway_citations_removed": {"reason": {"unknown", "unsupported", "invalid_span"}},
    "cairn_gateway_credentials_refused": {"kind": {"key", "token"}},
    "cairn_gateway_degraded": {
        "step": {
            "dense_unavailable",
            "keyword_unavailable",
            "rerank_skipped",
            "generation_unavailable",
            "generation_truncated",
            "generation_fallback",
            "grounding_by_words",
            "instructions_left_out",
            "neighbours_unavailable",
            "rewrite_unavailable",
            "other",
        }
    },
    "cairn_gateway_dependency_is_ready": {"dependency": _DEPENDENCIES},
    "cairn_gateway_feedback": {"rating": {"up", "down"}},
    "cairn_gateway_grounding_sentences": {"way": {"words", "meaning"}},
    "cairn_gateway_injection_signals": {"signal": set(SIGNALS)},
    "cairn_gateway_limited": {
        "limit": _LIMITS,
        "scope": {each.value for each in Subject},
        "mode": {each.value for each in Mode},
    },
    "cairn_gateway_metered_requests": {"operation": {each.label for each in Operation}},
    "cairn_gateway_queries": {"language": {*LANGUAGES, "unknown"}},
    "cairn_gateway_query_seconds": {"operation": {"query", "search"}},
    "cairn_gateway_searches": {"outcome": {"found", "empty"}},
    "cairn_gateway_shed": {"tenant_class": {each.name.lower() for each in TenantClass}},
    "cairn_gateway_stage_seconds": {
        "stage": {
            "history",
            "neighbours",
            "rewrite",
            "understand",
            "embed",
            "retrieve",
            "rerank",
            "assemble",
            "generate",
            "verify",
        }
    },
    "cairn_gateway_tenant_cost": {"tenant": _TENANTS, "currency": _CURRENCIES},
    "cairn_gateway_tenant_tokens": {
        "tenant": _TENANTS,
        "kind": {"embedding", "rerank", "prompt", "cached_prompt", "completion"},
    },
    "cairn_gateway_usage_alerts": {"kind": {"budget", "spike"}},
    "cairn_generation_cost": {"engine": _ENGINES, "currency": _CURRENCIES},
    "cairn_generation_failovers": {
        "engine": _ENGINES,
        "reason": {"breaker_open", "first_text_late", *(each.lower() for each in _REASONS)},
    },
    "cairn_generation_prefix_cache_tokens": {"kind": {"queried", "hit"}},
    "cairn_generation_queue_refused": {"reason": {"requests", "tokens", "too_late"}},
    "cairn_generation_requests": {
        "engine": _ENGINES,
        "result": {
            "cancelled",
            "internal",
            *(each.value for each in FinishReason),
            *(each.lower() for each in _REASONS),
        },
    },
    "cairn_generation_running": {"engine": _ENGINES},
    "cairn_generation_tenant_tokens": {
        "tenant": _TENANTS,
        "kind": {"prompt", "cached_prompt", "completion"},
    },
    "cairn_generation_tokens": {
        "engine": _ENGINES,
        "kind": {"prompt", "cached_prompt", "completion"},
    },
    "cairn_gpu_memory_bytes": {"gpu": _NUMBERS},
    "cairn_http_request_duration_seconds": {"method": _HTTP_METHODS, "status": _STATUSES},
    "cairn_ingestion_chunks": {"source": {"reused", "embedded"}},
    "cairn_ingestion_jobs": {
        "outcome": {"ready", "lost", "postponed", "retried", "dead_letter"},
        "reason": {"", *_DEPENDENCIES, *(each.value for each in FailureReason)},
    },
    "cairn_ingestion_stage_seconds": {"stage": {"parse", "chunk", "embed", "index"}},
    "cairn_ingestion_submissions": {"outcome": {"refused", "unchanged", "duplicate", "accepted"}},
    "cairn_mcp_tool_calls": {
        "tool": {each.name for each in DESCRIPTIONS},
        "outcome": {"ok", "error"},
    },
    "cairn_placements": {
        "dependency": {"generation"},
        "how": {"new", "remembered", "keyless"},
    },
    "cairn_replicas_usable": {"dependency": {"generation"}},
    "cairn_retrieval_queries": {"outcome": {"found", "empty"}},
    "cairn_retrieval_segments_built": {"by": {"sealing", "merging"}},
    "cairn_retrieval_snapshots": {"done": {"created", "restored", "deleted"}},
    "cairn_retrieval_views_moved": {"tier": {str(each) for each in Tier}},
    "cairn_retries": {"budget": {"gateway", *_ENGINES}},
    "cairn_rpc_client_duration_seconds": {
        "service": {"grpc.health.v1.Health", *(each.full_name for each in _SERVICES)},
        "method": {"Check", *_METHODS},
        "code": _CODES,
    },
    "cairn_rpc_callers_refused": {"reason": _REASONS},
    "cairn_rpc_server_duration_seconds": {
        "service": {each.full_name for each in _SERVICES},
        "method": _METHODS,
        "code": _CODES,
    },
    "cairn_telemetry_traces": {
        "decision": {"sampled", "error", "slow", "asked", "held", "outlined", "limited"}
    },
}
_LIKE = {
    "cairn_admission_limit_cost": "cairn_admission_cost",
    "cairn_admission_refused": "cairn_admission_cost",
    "cairn_breaker_opened": "cairn_breaker_state",
    "cairn_bulkhead_refused": "cairn_bulkhead_limit_calls",
    "cairn_embedding_inference_seconds": "cairn_embedding_batch_fill_ratio",
    "cairn_embedding_queue_age_seconds": "cairn_embedding_batch_fill_ratio",
    "cairn_embedding_queue_tokens": "cairn_embedding_batch_fill_ratio",
    "cairn_embedding_texts": "cairn_embedding_batch_fill_ratio",
    "cairn_embedding_tokens": "cairn_embedding_batch_fill_ratio",
    "cairn_gateway_cache_entries": "cairn_gateway_cache_bytes",
    "cairn_generation_breaker_state": "cairn_generation_running",
    "cairn_generation_deltas": "cairn_generation_running",
    "cairn_generation_duration_seconds": "cairn_generation_running",
    "cairn_generation_time_to_first_token_seconds": "cairn_generation_running",
    "cairn_gpu_busy_ratio": "cairn_gpu_memory_bytes",
    "cairn_gpu_memory_used_bytes": "cairn_gpu_memory_bytes",
    "cairn_retry_budget_exhausted": "cairn_retries",
    "cairn_rpc_server_in_flight": "cairn_rpc_server_duration_seconds",
}
"""Metrics whose labels are those of another one."""


def bound(metric: str, label: str, routes: Collection[str] = ()) -> Bound | None:
    """Returns the bound of a metric's label; None: there is none.

    Args:
        metric: Its name, without the `_total` of counters.
        label: A label of it.
        routes: Those that the gateway serves.
    """
    if (metric, label) == ("cairn_http_request_duration_seconds", "route"):
        return {"unmatched", *routes}
    return _BOUNDS.get(_LIKE.get(metric, metric), {}).get(label)


def unbounded(families: list[Metric], routes: Collection[str]) -> list[str]:
    """Returns what is wrong with labels' values, a line for each."""
    return [
        f"{family.name}: {fault}"
        for family in families
        if not family.name.startswith(FOREIGN)
        for fault in _faults(family, routes)
    ]


def _faults(family: Metric, routes: Collection[str]) -> Iterator[str]:
    values: dict[str, set[str]] = {}
    for sample in family.samples:
        for label, value in sample.labels.items():
            if label != "le":
                values.setdefault(label, set()).add(value)
    for label, seen in values.items():
        allowed = bound(family.name, label, routes)
        if allowed is None:
            yield f"{label} has no bound"
        elif isinstance(allowed, int):
            if len(seen) > allowed or (len(seen) == allowed and OTHER_TENANTS not in seen):
                yield f"{label} has {len(seen)} values, more than {allowed}"
        elif isinstance(allowed, re.Pattern):
            yield from (f"{label} is {value}" for value in seen if not allowed.fullmatch(value))
        else:
            yield from (f"{label} is {value}" for value in seen - set(allowed))


def scraped(suite: Suite) -> dict[str, str]:
    """Returns what each process of a suite exports; of replicas the first."""
    pages: dict[str, str] = {}
    for each in suite.state().processes:
        if each.metrics_address and each.service not in pages:
            url = f"http://{each.metrics_address}/metrics"
            pages[each.service] = httpx.get(url, trust_env=False).text
    return pages


def families_of(page: str) -> list[Metric]:
    """Returns the metrics of a `/metrics` page."""
    return list(text_string_to_metric_families(page))


def series_of(families: list[Metric]) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """Returns our series: name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items()))
        for family in families
        if not family.name.startswith(FOREIGN)
        for sample in family.samples
    }
