"""A running suite: does every part of it do what it should?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from importlib import metadata

import httpx

from cli.metrics_page import MetricsPage, read_metrics
from cli.probes import grpc_health
from cli.suite_state import ProcessState, SuiteState
from services.rpc.preflight import Finding, Level

_OLD_JOB_SECONDS = 600
_LONG_QUEUE = 1000
_FULL_RATIO = 0.8
_BREAKER_OPEN = 2
_TIMEOUT_SECONDS = 5.0


async def suite_findings(state: SuiteState) -> list[Finding]:
    """Asks every process for its health and its figures, and the gateway what it misses."""
    found = [_version(state)]
    parts = await asyncio.gather(*(_process(each) for each in state.processes))
    found += [finding for part in parts for finding in part]
    found.append(await gateway_finding(state.http_url))
    return found


def _version(state: SuiteState) -> Finding:
    mine = metadata.version("cairn-rag")
    if state.version != mine:
        text = f"the suite runs {state.version}, this program is {mine}"
        return Finding("version", Level.WARNING, text, "`cairn down`, then `cairn up`")
    return Finding("version", Level.OK, mine)


async def gateway_finding(url: str) -> Finding:
    """Asks a gateway whether it is ready, and what it misses."""
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
            view = (await client.get(f"{url}/readyz")).json()
    except (httpx.HTTPError, ValueError):
        return Finding("gateway", Level.FAILURE, f"{url} does not answer", "see its log")
    status, missing = str(view.get("status")), view.get("not_ready") or []
    if status == "ready":
        return Finding("gateway", Level.OK, f"{url} is ready")
    level = Level.WARNING if status == "degraded" else Level.FAILURE
    text = f"{url} is {status}; missing: {', '.join(missing) or 'nothing'}"
    return Finding("gateway", level, text, "look after what is missing")


async def _process(process: ProcessState) -> list[Finding]:
    found: list[Finding] = []
    if process.service == "valkey":
        health = "SERVING" if process.state == "ready" else "NOT_SERVING"
    else:
        health = await grpc_health(process.address)
    if health != "SERVING":
        text = f"{health} at {process.address}"
        found.append(Finding(process.name, Level.FAILURE, text, f"see {process.log}"))
    if process.restart_count:
        text = f"was started again {process.restart_count} times"
        found.append(Finding(process.name, Level.WARNING, text, f"see {process.log}"))
    if process.metrics_address:
        page = await read_metrics(process.metrics_address)
        if page is None:
            text = f"no metrics at {process.metrics_address}"
            found.append(Finding(process.name, Level.WARNING, text))
        else:
            found += [
                Finding(process.name, Level.WARNING, text, remedy)
                for text, remedy in figures_to_look_at(page)
            ]
    return found or [Finding(process.name, Level.OK, "serves")]


def figures_to_look_at(page: MetricsPage) -> Iterator[tuple[str, str]]:
    """Yields what a process's figures say is not well, and what to do about it."""
    for name, is_bad, text, remedy in _FIGURES:
        value = page.total(name)
        if is_bad(value):
            yield text.format(value), remedy
    for name, admitted in page.labelled("cairn_admission_cost", "name").items():
        limit = page.labelled("cairn_admission_limit_cost", "name").get(name, 0.0)
        if limit and admitted / limit > _FULL_RATIO:
            yield f"{name}: {admitted / limit:.0%} of what is admitted at once", "add replicas"
    for metric, label in _BREAKERS:
        for name, breaker in page.labelled(metric, label).items():
            if breaker >= _BREAKER_OPEN:
                yield f"calls to {name} are cut off after failures", f"look after {name}"


_Rule = tuple[str, Callable[[float], bool], str, str]
_BREAKERS = (
    ("cairn_generation_breaker_state", "engine"),
    ("cairn_breaker_state", "dependency"),
)
_FIGURES: tuple[_Rule, ...] = (
    (
        "cairn_ingestion_dead_letter_jobs",
        lambda count: count > 0,
        "{:.0f} documents failed for good",
        "`cairn documents --state dead_letter` tells why; mend it, then retry them",
    ),
    (
        "cairn_ingestion_oldest_job_age_seconds",
        lambda age: age > _OLD_JOB_SECONDS,
        "the oldest unfinished document is {:.0f} s old",
        "see its attempts and last failure; add ingestion or embedding replicas",
    ),
    (
        "cairn_ingestion_queued_jobs",
        lambda count: count > _LONG_QUEUE,
        "{:.0f} documents wait",
        "wait for a bulk load to end, or add ingestion and embedding replicas",
    ),
    (
        "cairn_retrieval_views_different_total",
        lambda count: count > 0,
        "{:.0f} views differed from the database and were loaded again",
        "worth reporting with the log",
    ),
    (
        "cairn_retrieval_view_files_damaged_total",
        lambda count: count > 0,
        "{:.0f} files of views were damaged",
        "look at the disk",
    ),
    (
        "cairn_gateway_limiter_is_local",
        lambda value: value > 0,
        "limits are counted by each gateway alone: Valkey does not answer",
        "look after Valkey",
    ),
    (
        "cairn_embedding_shared_cache_failures_total",
        lambda count: count > 0,
        "the shared cache failed to answer {:.0f} times",
        "look after Valkey",
    ),
    (
        "cairn_telemetry_lost_spans_total",
        lambda count: count > 0,
        "{:.0f} spans were lost on their way to the collector",
        "look after the collector, or lower the sampled share",
    ),
)
