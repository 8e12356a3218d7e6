"""RED metrics of calls, and the endpoint that serves every metric of the process."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from services.rpc.errors import StartupError

# The bounds .1, .12 and .15 make alerts on 100, 120 and 150 ms exact.
_SECONDS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.12, 0.15, 0.2, 0.25, 0.5, 0.75,
    1.0, 2.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip

SERVER_DURATION = Histogram(
    "cairn_rpc_server_duration_seconds",
    "Duration of calls served, from the first byte to the last.",
    ["service", "method", "code"],
    buckets=_SECONDS,
)
SERVER_IN_FLIGHT = Gauge("cairn_rpc_server_in_flight", "Calls being served.", ["service", "method"])
CLIENT_DURATION = Histogram(
    "cairn_rpc_client_duration_seconds",
    "Duration of calls made to other services.",
    ["service", "method", "code"],
    buckets=_SECONDS,
)
ADMISSION_COST = Gauge("cairn_admission_cost", "Cost admitted and not yet finished.", ["name"])
ADMISSION_LIMIT = Gauge("cairn_admission_limit_cost", "Most cost admitted at once.", ["name"])
ADMISSION_REFUSED = Counter(
    "cairn_admission_refused_total", "Requests refused because of the cost in flight.", ["name"]
)


def serve_metrics(host: str, port: int) -> int:
    """Serves `/metrics` from a thread and returns its port (a free one for port 0).

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
    return server.server_port
