"""RED metrics of calls, and the endpoint that serves every metric of the process."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TypeVar

import prometheus_client
from prometheus_client import REGISTRY, Gauge, disable_created_metrics, start_http_server

from services.rpc.errors import StartupError
from services.rpc.instruments import Counter, Histogram, InFlight
from services.rpc.resources import Resources

STAGE_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.12, 0.15, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0,
    60.0,
)  # fmt: skip
"""Bounds of every histogram of durations. A quantile is exact at a bound and a guess between two:
.1, .12, .15, .2, .5, 1, 2 and 5 s are those that alerts and objectives name."""

M = TypeVar("M", prometheus_client.Counter, Gauge, prometheus_client.Histogram)

MAX_TENANTS = 100
"""Tenants that metrics name; the others are counted together."""
OTHER_TENANTS = "other"

SERVER_DURATION = Histogram(
    "cairn_rpc_server_duration_seconds",
    "Duration of calls served, from the first byte to the last.",
    ["service", "method", "code"],
    buckets=STAGE_SECONDS,
)
SERVER_IN_FLIGHT = Gauge("cairn_rpc_server_in_flight", "Calls being served.", ["service", "method"])
CLIENT_DURATION = Histogram(
    "cairn_rpc_client_duration_seconds",
    "Duration of calls made to other services.",
    ["service", "method", "code"],
    buckets=STAGE_SECONDS,
)
ADMISSION_COST = Gauge("cairn_admission_cost", "Cost admitted and not yet finished.", ["name"])
ADMISSION_LIMIT = Gauge("cairn_admission_limit_cost", "Most cost admitted at once.", ["name"])
ADMISSION_REFUSED = Counter(
    "cairn_admission_refused_total", "Requests refused because of the cost in flight.", ["name"]
)


class TenantLabels:
    """Bounds the tenants that metrics name: each is a series for as long as the process runs.

    Args:
        most: Tenants named at most, first come, first named.
    """

    def __init__(self, most: int = MAX_TENANTS) -> None:
        self._most = most
        self._named: set[str] = set()

    def label(self, tenant: str) -> str:
        """Returns the tenant, or "other" once there are too many. Only for labels of counters."""
        if tenant in self._named:
            return tenant
        if len(self._named) >= self._most:
            return OTHER_TENANTS
        self._named.add(tenant)
        return tenant


TENANTS = TenantLabels()
"""Those of this process, so that every metric names the same."""


@functools.cache
def series(metric: M, *labels: str) -> M:
    """Returns a metric's series; looking it up by its labels costs more than counting in it."""
    return metric.labels(*labels)


@functools.cache
def server_in_flight(service: str, method: str) -> InFlight:
    """Returns the calls of a method that are being served."""
    return InFlight(SERVER_IN_FLIGHT.labels(service, method))


@functools.cache
def client_duration(method: str, code: str) -> Histogram:
    """Returns the histogram of a method, "cairn.x.v1.XService/Do", and a code's name."""
    service, _, name = method.rpartition("/")
    return CLIENT_DURATION.labels(service, name, code)


BREAKER_STATE = Gauge("cairn_breaker_state", "0 closed, 1 half open, 2 open.", ["dependency"])
BREAKER_OPENED = Counter(
    "cairn_breaker_opened_total", "Times a closed breaker opened.", ["dependency"]
)
RETRIES = Counter("cairn_retries_total", "Calls that were repeated.", ["budget"])
RETRY_BUDGET_EXHAUSTED = Counter(
    "cairn_retry_budget_exhausted_total",
    "Calls that were not repeated because the budget was spent.",
    ["budget"],
)
BULKHEAD_LIMIT = Gauge(
    "cairn_bulkhead_limit_calls", "Most calls on their way to a service at once.", ["dependency"]
)
BULKHEAD_REFUSED = Counter(
    "cairn_bulkhead_refused_total",
    "Calls not made because too many were on their way.",
    ["dependency"],
)
REPLICAS_USABLE = Gauge(
    "cairn_replicas_usable", "Replicas that requests are placed on.", ["dependency"]
)
PLACEMENTS = Counter(
    "cairn_placements_total",
    "Requests placed on replicas: new keys, remembered ones, and requests without one.",
    ["dependency", "how"],
)


def serve_metrics(host: str, port: int, data_dir: Path | None = None) -> int:
    """Serves `/metrics` from a thread and returns its port (a free one for port 0).

    Args:
        host: Address to listen on.
        port: Its port.
        data_dir: Directory whose disk is watched.

    Raises:
        StartupError: The address cannot be bound.
    """
    try:
        server, _ = start_http_server(port, addr=host)
    except OSError as error:
        raise StartupError(
            f"cannot serve metrics on {host}:{port}: {error.strerror or error}; "
            "is another process using the port? Change METRICS_PORT"
        ) from error
    disable_created_metrics()  # a second series for each, of the time when it began
    REGISTRY.register(Resources(data_dir))
    return server.server_port
