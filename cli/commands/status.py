"""`cairn status`: what runs where, and how it is."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import typer
from rich.measure import Measurement
from rich.table import Table

from cli.connection import running_state
from cli.errors import NotRunningError
from cli.metrics_page import MetricsPage, read_metrics
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.probes import grpc_health
from cli.process_table import rss_bytes
from cli.suite_state import ProcessState, SuiteState
from cli.terminal import megabytes, out, write_json

_COLUMNS: dict[str, Literal["left", "right"]] = {
    "process": "left",
    "health": "left",
    "pid": "right",
    "address": "left",
    "HTTP": "left",
    "metrics": "left",
    "memory": "right",
    "up": "right",
    "restarts": "right",
}
_EXPENDABLE = ("metrics", "HTTP", "pid", "restarts", "up", "address")
"""What a narrow terminal goes without, in this order; the last line tells the HTTP address."""


def status(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Shows every process and what waits. Exits with 1 unless all processes serve."""
    try:
        state = running_state(data_dir.resolve())
    except NotRunningError:
        if as_json:
            write_json(json.dumps({"is_running": False}))
        raise
    report = asyncio.run(_report(state))
    if as_json:
        write_json(json.dumps(report, indent=2))
    else:
        _show(report)
    if not report["is_healthy"]:
        raise typer.Exit(1)


async def _report(state: SuiteState) -> dict[str, Any]:
    processes, pages = await asyncio.gather(
        asyncio.gather(*(_process(state, process) for process in state.processes)),
        asyncio.gather(*(read_metrics(process.metrics_address) for process in state.processes)),
    )
    supervisor_bytes = _own_rss_bytes(state, processes)
    return {
        "is_running": True,
        "is_healthy": all(process["health"] == "SERVING" for process in processes),
        "phase": state.phase,
        "version": state.version,
        "data_dir": state.data_dir,
        "http_url": state.http_url,
        "grpc_target": state.grpc_target,
        "started_at": state.started_at,
        "supervisor": {"pid": state.supervisor_pid, "rss_bytes": supervisor_bytes},
        "rss_bytes": supervisor_bytes + sum(process["rss_bytes"] for process in processes),
        "queues": queues([page for page in pages if page]),
        "processes": processes,
    }


def queues(pages: Sequence[MetricsPage]) -> dict[str, float]:
    """Returns what waits and how far behind what is searchable is, over all processes.

    Every ingestion process tells of the whole queue, so that the greatest figure counts; the others
    tell of themselves.
    """

    def greatest(name: str) -> float:
        return max((page.total(name) for page in pages), default=0.0)

    return {
        "documents_queued": greatest("cairn_ingestion_queued_jobs"),
        "documents_running": greatest("cairn_ingestion_running_jobs"),
        "documents_dead_letter": greatest("cairn_ingestion_dead_letter_jobs"),
        "oldest_document_age_seconds": greatest("cairn_ingestion_oldest_job_age_seconds"),
        "mean_freshness_seconds": _mean("cairn_ingestion_freshness_seconds", pages),
        "embedding_tokens_queued": sum(
            page.total("cairn_embedding_queue_tokens") for page in pages
        ),
        "calls_in_flight": sum(page.total("cairn_rpc_server_in_flight") for page in pages),
    }


async def _process(state: SuiteState, process: ProcessState) -> dict[str, Any]:
    if process.service == "valkey":  # its password is not ours to use: the supervisor asks it
        health = "SERVING" if process.state == "ready" else "NOT_SERVING"
    else:
        health = await grpc_health(process.address)
    memory = await asyncio.to_thread(rss_bytes, process.pid) if process.pid else 0
    return asdict(process) | {"health": health, "rss_bytes": memory, "version": state.version}


def _own_rss_bytes(state: SuiteState, processes: list[dict[str, Any]]) -> int:
    """Returns the memory of the supervisor and its sweeper, without the services."""
    below = sum(process["rss_bytes"] for process in processes)
    return max(0, rss_bytes(state.supervisor_pid) - below)


def _show(report: dict[str, Any]) -> None:
    out.print(overview(report["processes"], out.width))
    out.print(
        f"Cairn {report['version']} is {report['phase']}: {report['http_url']}, "
        f"gRPC {report['grpc_target']}, {megabytes(report['rss_bytes'])} in all, "
        f"data in {report['data_dir']}"
    )
    out.print(waiting(report["queues"]))


def _mean(histogram: str, pages: Sequence[MetricsPage]) -> float:
    """Returns the mean of what a histogram has seen since the processes began; 0 for nothing."""
    count = sum(page.total(f"{histogram}_count") for page in pages)
    return sum(page.total(f"{histogram}_sum") for page in pages) / count if count else 0.0


def waiting(figures: dict[str, float]) -> str:
    """Returns a sentence about what waits."""
    said = (
        f"{figures['documents_queued']:.0f} documents wait, "
        f"{figures['documents_running']:.0f} are in work"
    )
    if age := figures["oldest_document_age_seconds"]:
        said += f" (the oldest for {age:.0f} s)"
    if failed := figures["documents_dead_letter"]:
        said += f", [red]{failed:.0f} failed for good[/]"
    if lag := figures["mean_freshness_seconds"]:
        said += f"; documents were searchable after {lag:.1f} s on average"
    return said + f"; {figures['embedding_tokens_queued']:.0f} tokens wait for embedding."


def overview(processes: list[dict[str, Any]], width: int) -> Table:
    """Returns the table with as many columns as fit: the least needed ones leave first."""
    rows = [_cells(process) for process in processes]
    unbounded = out.options.update(max_width=1000)
    table = _table_without((), rows)
    for count in range(1, len(_EXPENDABLE) + 1):
        if Measurement.get(out, unbounded, table).maximum <= width:
            break
        table = _table_without(_EXPENDABLE[:count], rows)
    return table


def _table_without(left_out: Sequence[str], rows: list[dict[str, str]]) -> Table:
    shown = [name for name in _COLUMNS if name not in left_out]
    table = Table(show_edge=False, pad_edge=False)
    for name in shown:
        table.add_column(name, justify=_COLUMNS[name])
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    return table


def _cells(process: dict[str, Any]) -> dict[str, str]:
    colour = "green" if process["health"] == "SERVING" else "red"
    return {
        "process": process["name"],
        "health": f"[{colour}]{process['health']}[/]",
        "pid": str(process["pid"] or "–"),
        "address": process["address"],
        "HTTP": process["http_address"],
        "metrics": process["metrics_address"],
        "memory": megabytes(process["rss_bytes"]),
        "up": _age(process["started_at"]),
        "restarts": str(process["restart_count"]),
    }


def _age(started_at: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(started_at)).total_seconds())
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"
