"""The pages that people read: a runbook for each alert, the list of them, the metrics."""

from __future__ import annotations

from monitoring.alerts import ALERTS
from monitoring.catalogue import catalogue
from monitoring.model import Alert
from monitoring.objectives import OBJECTIVES

_MADE = "<!-- Made from monitoring/ by `make monitoring`: edit there. -->\n\n"


def runbook(alert: Alert) -> str:
    """Returns the page of an alert."""
    kind = "wakes somebody" if alert.severity == "page" else "a ticket: can wait for the morning"
    limit = "" if alert.threshold is None else f" Threshold: {_figure(alert)}."
    lasting = "at once" if alert.for_ == "0m" else f"after {alert.for_}"
    return (
        f"{_MADE}# {alert.name}\n\n"
        f"Severity **{alert.severity}** ({kind}); fires {lasting}.{limit}\n\n"
        f"## Meaning\n{alert.meaning}\n\n"
        f"## Impact\n{alert.impact}\n\n"
        f"## Look at\n{_list(alert.look_at)}\n\n"
        f"## Do\n{_list(alert.do)}\n\n"
        f"## Expression\n```promql\n{alert.query}\n```\n"
    )


def index() -> str:
    """Returns the list of objectives and alerts."""
    lines = [
        f"{_MADE}# Runbooks",
        "",
        "## Objectives",
        "Over 30 days; the rest is the error budget.",
        "",
        "| objective | share of | target |",
        "|---|---|---|",
        *(f"| `{each.name}` | {each.title} | {each.target * 100:g} % |" for each in OBJECTIVES),
        "",
        "## Alerts",
        "| alert | severity | threshold | meaning |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| [{each.name}]({each.name}.md) | {each.severity} | {_figure(each)} | {each.meaning} |"
        for each in ALERTS
    ]
    return "\n".join(lines) + "\n"


def metrics_page() -> str:
    """Returns the list of metrics."""
    lines = [
        f"{_MADE}# Metrics",
        "",
        "Every process serves `/metrics` on its metrics port. Durations are in seconds; histograms also",
        "have `_bucket`, `_count` and `_sum`. A `tenant` is one of the first hundred that the process",
        'saw, else "other".',
        "",
        "| metric | kind | labels | what it says |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{each.name}` | {each.kind} | {', '.join(f'`{name}`' for name in each.labels)} |"
        f" {each.help} |"
        for each in sorted(catalogue().values(), key=lambda each: each.name)
    ]
    return "\n".join(lines) + "\n"


def _list(entries: tuple[str, ...]) -> str:
    return "\n".join(f"- {each}" for each in entries)


def _figure(alert: Alert) -> str:
    if alert.threshold is None:
        return "–"
    if alert.unit == "percentunit":
        return f"{alert.threshold * 100:g} %"
    unit = {"s": " s", "reqps": " a second", "times": " times"}.get(alert.unit, "")
    return f"{alert.threshold:g}{unit}"
