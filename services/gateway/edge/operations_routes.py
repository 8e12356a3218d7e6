"""What page Operations shows: state and recent requests of this gateway; read only."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.render import render_time
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.views import CostView, ReadyView, View

if TYPE_CHECKING:
    from services.gateway.overview import Overview, OverviewDesk
    from services.gateway.trace_figures import RequestTrace

MAX_TRACES = 200


class LoadView(View):
    """What this gateway is doing."""

    version: str
    uptime_seconds: float
    requests_in_flight: int


class QueueView(View):
    """Ingestion's jobs of the tenant."""

    queued_count: int
    running_count: int
    dead_letter_count: int
    ready_count: int
    oldest_job_age_seconds: float
    """Of the oldest job that has not ended; 0: there is none."""


class CacheView(View):
    """A cache of this gateway, since its start."""

    name: str
    hit_count: int
    miss_count: int
    entry_count: int
    size_bytes: int


class CostTodayView(View):
    """What the tenant used today, UTC."""

    today: CostView
    request_count: int


class StageLatencyView(View):
    """How long a stage took, over the tenant's last requests here."""

    operation: str
    stage: str
    """A stage, or "total"."""
    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


class OverviewView(View):
    """The state of this gateway."""

    health: ReadyView
    load: LoadView
    queue: QueueView | None
    """Null: ingestion does not answer."""
    caches: list[CacheView]
    cost: CostTodayView
    latency: list[StageLatencyView]


class StepView(View):
    """One thing that was done for a request."""

    name: str
    kind: str
    """"stage" for work of this gateway, "call" for a call to another service."""
    begin_ms: float
    """After the request's begin."""
    duration_ms: float
    depth: int
    """Steps it is a part of."""
    is_failed: bool


class RequestTraceView(View):
    """One request that has ended; names and times, no texts."""

    trace_id: str
    name: str
    status: str
    began_at: str
    duration_ms: float
    is_failed: bool
    marks: list[str]
    """What was less than asked for."""
    steps: list[StepView]


class RequestTracesView(View):
    """The last requests, newest first; reads that went well are left out."""

    traces: list[RequestTraceView]


class TracesParameters(Parameters):
    """How many requests."""

    limit: int = Field(default=50, ge=1, le=MAX_TRACES)


def operations_routes(desk: OverviewDesk) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["operations"], route_class=StrictRoute, responses=error_responses()
    )

    @router.get(
        "/operations", operation_id="get_operations", responses={200: {"model": OverviewView}}
    )
    async def overview(caller: CallerDependency) -> Response:
        """Returns health, load, queue, caches, cost and latency of this gateway."""
        return JsonResponse(render_overview(await desk.overview(caller)))

    @router.get(
        "/operations/traces",
        operation_id="list_recent_traces",
        responses={200: {"model": RequestTracesView}},
    )
    async def traces(
        caller: CallerDependency, parameters: Annotated[TracesParameters, Query()]
    ) -> Response:
        """Returns the tenant's last requests at this gateway with their steps."""
        found = desk.traces(caller, parameters.limit)
        return JsonResponse({"traces": [_trace(each) for each in found]})

    return router


def render_overview(overview: Overview) -> dict[str, Any]:
    """Returns an `OverviewView`."""
    return {
        "health": dict(overview.health),
        "load": {
            "version": overview.version,
            "uptime_seconds": round(overview.uptime_seconds, 1),
            "requests_in_flight": overview.requests_in_flight,
        },
        "queue": asdict(overview.queue) if overview.queue is not None else None,
        "caches": [asdict(each) for each in overview.caches],
        "cost": {
            "today": asdict(overview.cost_today),
            "request_count": overview.request_count_today,
        },
        "latency": [asdict(each) for each in overview.latencies],
    }


def _trace(trace: RequestTrace) -> dict[str, Any]:
    return asdict(trace) | {
        "began_at": render_time(trace.began_at),
        "marks": list(trace.marks),
        "steps": [asdict(step) for step in trace.steps],
    }
