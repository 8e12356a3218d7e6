"""Alerts on what does not answer, fails or is not measured."""

from __future__ import annotations

from monitoring.model import Alert

SERVICES = ("gateway", "embedding", "retrieval", "generation", "ingestion")

_FAULTS = "INTERNAL|UNKNOWN|DATA_LOSS|UNAVAILABLE"

WATCHED = (
    "cairn_gateway_dependency_is_ready",
    "cairn_embedding_cache_bytes",
    "cairn_retrieval_rows",
    "cairn_generation_dropped_passages_total",
    "cairn_ingestion_queued_jobs",
    "cairn_memory_limit_bytes",
)
"""Metrics that are there from a process's first second; their absence means that alerts are blind."""

_ABSENT_JOBS = " or ".join(f'absent(up{{job="cairn-{service}"}})' for service in SERVICES)
_ABSENT_METRICS = " or ".join(
    f'label_replace(absent({metric}), "metric", "{metric}", "", "")' for metric in WATCHED
)

AVAILABILITY = (
    Alert(
        name="CairnServiceDown",
        group="availability",
        severity="page",
        expr='up{job=~"cairn-.*"} == 0',
        for_="2m",
        summary="{{ $labels.job }} on {{ $labels.instance }} does not answer",
        meaning="Prometheus has not reached a process's metrics port for two minutes.",
        impact="Less capacity. With the last replica of retrieval there is no search, with that of the"
        " gateway no request at all.",
        look_at=(
            "`kubectl get pods -n cairn`, or `cairn status` on one host.",
            "The end of the process's log.",
        ),
        do=(
            "A start that ends with status 2 names the wrong setting in its last lines: correct it.",
            "A process that was killed (exit 137) needs more memory: raise its limit.",
            "A process that runs and does not answer: look for a full CPU; restart it.",
        ),
    ),
    Alert(
        name="CairnServiceAbsent",
        group="availability",
        severity="page",
        expr=_ABSENT_JOBS,
        for_="5m",
        summary="Prometheus knows no target of {{ $labels.job }}",
        meaning="A scrape job has lost its last target, or was never found: there is nobody who could"
        " be down.",
        impact="As when the service is down; and no other alert on it can fire.",
        look_at=(
            "Prometheus: Status, Targets and Service discovery.",
            "`kubectl get servicemonitor,pods -n cairn`.",
        ),
        do=(
            "Bring the service's replicas back, or remove the service from the monitoring of an"
            " installation that does without it.",
            "Job names must be `cairn-<service>`.",
        ),
    ),
    Alert(
        name="CairnMetricsAbsent",
        group="availability",
        severity="ticket",
        expr=_ABSENT_METRICS,
        for_="10m",
        summary="No process exports {{ $labels.metric }}",
        meaning="A metric that alerts depend on, and that is exported from a process's first second,"
        " is missing.",
        impact="Alerts that use it stay quiet whatever happens.",
        look_at=(
            "`/metrics` of the service that the name says.",
            "Whether another version runs than these alerts were made for: `cairn status`.",
        ),
        do=(
            "Install the alerts of the version that runs (`monitoring/` of its release).",
            "If `/metrics` has the metric, look at relabelling rules that drop it.",
        ),
    ),
    Alert(
        name="CairnErrorRateHigh",
        group="availability",
        severity="page",
        expr=f"""sum by (service) (rate(cairn_rpc_server_duration_seconds_count{{code=~"{_FAULTS}"}}[5m]))
            / sum by (service) (rate(cairn_rpc_server_duration_seconds_count[5m])) > THRESHOLD""",
        threshold=0.01,
        unit="percentunit",
        for_="2m",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of calls fail through no"
        " fault of the caller",
        meaning="More than 1 % of a service's calls fail through no fault of the caller.",
        impact="Failed or degraded answers.",
        look_at=(
            "`sum by (method, code) (rate(cairn_rpc_server_duration_seconds_count[5m]))`.",
            'Log lines with `"level": "error"`; their `trace_id` leads to the whole request.',
        ),
        do=(
            "`UNAVAILABLE` points to something the service needs: its database, another service.",
            "`INTERNAL` is a fault of Cairn, worth reporting with its log line.",
            "`DATA_LOSS` means that stored data failed its checksum: restore it from a snapshot.",
        ),
    ),
    Alert(
        name="CairnHttpErrorRateHigh",
        group="availability",
        severity="page",
        expr="""sum(rate(cairn_http_request_duration_seconds_count{status=~"5.."}[5m]))
            / sum(rate(cairn_http_request_duration_seconds_count[5m])) > THRESHOLD""",
        threshold=0.01,
        unit="percentunit",
        for_="2m",
        summary="{{ $value | humanizePercentage }} of HTTP requests fail through a fault of ours",
        meaning="More than 1 % of HTTP requests are answered with a status of 500 or above.",
        impact="Users see errors.",
        look_at=(
            "`sum by (route, status) (rate(cairn_http_request_duration_seconds_count[5m]))`.",
            "`cairn_gateway_dependency_is_ready`: the service that is missing.",
            "The gateway's log lines `http served` of level warning and error.",
        ),
        do=(
            "503: look after the service that is not ready.",
            "504: see CairnDeadlinesMissed.",
            "500: a fault of Cairn, worth reporting with its log line.",
        ),
    ),
    Alert(
        name="CairnDeadlinesMissed",
        group="availability",
        severity="ticket",
        expr="""sum by (service) (rate(cairn_rpc_server_duration_seconds_count{code="DEADLINE_EXCEEDED"}[5m]))
            / sum by (service) (rate(cairn_rpc_server_duration_seconds_count[5m])) > THRESHOLD""",
        threshold=0.05,
        unit="percentunit",
        for_="5m",
        summary="{{ $labels.service }}: {{ $value | humanizePercentage }} of calls run out of time",
        meaning="More than 5 % of a service's calls run out of the time their callers gave.",
        impact="Degraded answers, retries, load that helps nobody.",
        look_at=(
            "The stage that takes the time: `cairn_gateway_stage_seconds`, or a trace.",
            "CPU of the service.",
        ),
        do=(
            "Add replicas of the slow service.",
            "Look for other work on its node.",
        ),
    ),
    Alert(
        name="CairnDependencyNotReady",
        group="availability",
        severity="page",
        expr="min by (dependency) (cairn_gateway_dependency_is_ready) == 0",
        for_="5m",
        summary="A gateway has not reached {{ $labels.dependency }} for five minutes",
        meaning="A replica of the gateway finds no healthy replica of a service.",
        impact="Without retrieval that gateway answers nothing; without the others its answers are"
        " degraded, and without ingestion nothing can be handed in.",
        look_at=(
            "`/readyz` of the gateways, which names what is missing.",
            "The service's own readiness and log.",
        ),
        do=(
            "If all gateways miss it, look after the service.",
            "If one does, look at its network (policies, name resolution); restart it.",
        ),
    ),
    Alert(
        name="CairnSpansLost",
        group="availability",
        severity="ticket",
        expr="sum by (job) (rate(cairn_telemetry_lost_spans_total[10m])) > THRESHOLD",
        threshold=0.1,
        unit="short",
        for_="15m",
        summary="{{ $labels.job }} loses {{ $value | humanize }} spans a second",
        meaning="The trace collector does not take what a service sends it.",
        impact="Traces have holes, or there are none. Requests are not affected.",
        look_at=(
            "The collector: does it run, is its queue full, does it refuse?",
            "The service's setting `OTLP_ENDPOINT`.",
        ),
        do=("Mend the collector, or lower `TRACE_SAMPLE_RATIO`.",),
    ),
)
