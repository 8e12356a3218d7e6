"""How usage and limits look in responses."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from services.gateway.edge.render import render_usage
from services.gateway.edge.views import CostView, UsageView, View
from services.gateway.limits.desk import shown
from services.gateway.limits.rules import NANOS, Resource
from services.gateway.usage import PICOS

if TYPE_CHECKING:
    from services.gateway.ledger.alerts import Alert
    from services.gateway.ledger.events import UsageEvent
    from services.gateway.ledger.sums import UsageSum
    from services.gateway.limits.desk import LimitReport, LimitState
    from services.gateway.limits.rules import Rule
    from services.gateway.usage import CostParts

    Json = dict[str, Any]


class CostPartsView(View):
    """A price by what it was for, in the currency of the whole."""

    embedding: float
    retrieval: float
    rerank: float
    generation: float


class UsageRowView(View):
    """What was used; dimensions that were not asked for are empty."""

    day: str
    operation: str
    user: str
    collection: str
    tenant: str
    request_count: int
    failed_count: int
    document_count: int
    byte_count: int
    vector_count: int
    usage: UsageView
    cost: CostView
    cost_parts: CostPartsView


class UsageRowsView(View):
    """What was used, by the dimensions asked for and over all."""

    rows: list[UsageRowView]
    total: UsageRowView


class UsageEventView(View):
    """One metered request."""

    event_id: str
    at: str
    tenant: str
    user: str
    key_id: str
    collection: str
    operation: str
    outcome: str
    """ "ok", "failed", "cancelled" or "interrupted"."""
    model: str
    trace_id: str
    document_count: int
    byte_count: int
    vector_count: int
    is_estimated: bool
    """Whether a part of the usage is estimated: the engine did not come to tell it."""
    usage: UsageView
    cost: CostView
    cost_parts: CostPartsView


class UsageEventsView(View):
    """A page of metered requests."""

    events: list[UsageEventView]
    next_page_token: str


class UsageAlertView(View):
    """Something that was noticed about usage."""

    alert_id: str
    kind: str
    """ "budget" or "spike"."""
    subject: str
    subject_id: str
    resource: str
    period: str
    window: str
    """Month or day."""
    threshold: float
    """Part of the budget that was passed; of spikes, the day in means of the days before."""
    used: float
    limit: float
    """The budget; of spikes, the mean of the days before."""
    at: str


class UsageAlertsView(View):
    """What was noticed."""

    alerts: list[UsageAlertView]


class UsageCheckView(View):
    """Whether the sums are those of the single requests."""

    is_exact: bool
    from_day: str
    """First day of which all single requests are kept."""
    differing_days: list[str]


class LimitView(View):
    """A limit and how far it is used."""

    subject: str
    subject_id: str
    resource: str
    period: str
    amount: float
    burst: float | None
    mode: str
    source: str
    """Where it was set: "tier", "tenant", "user" or "key"."""
    used: float
    remaining: float
    reset_seconds: float


class LimitsView(View):
    """The limits of a caller."""

    tenant: str
    tier: str
    limits: list[LimitView]


class LimitRuleView(View):
    """A limit as it was set."""

    tier: str
    tenant: str
    subject: str
    subject_id: str
    resource: str
    period: str
    amount: float | None
    burst: float | None
    mode: str
    updated_at: str
    updated_by: str


class LimitRulesView(View):
    """Limits that were set."""

    rules: list[LimitRuleView]


def render_usage_row(row: UsageSum, currency: str) -> Json:
    """Returns a `UsageRow`."""
    return {
        "day": row.day,
        "operation": row.operation,
        "user": row.user,
        "collection": row.collection,
        "tenant": row.tenant,
        "request_count": row.request_count,
        "failed_count": row.failed_count,
        "document_count": row.document_count,
        "byte_count": row.byte_count,
        "vector_count": row.vector_count,
        "usage": render_usage(row.usage),
        **_costs(row.cost, currency),
    }


def render_usage_event(event: UsageEvent, currency: str) -> Json:
    """Returns a `UsageEvent`."""
    return {
        "event_id": event.event_id,
        "at": event.at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "tenant": event.payer.tenant,
        "user": event.payer.user,
        "key_id": event.payer.key_id,
        "collection": event.collection,
        "operation": event.operation,
        "outcome": event.outcome.value,
        "model": event.model,
        "trace_id": event.trace_id,
        "document_count": event.document_count,
        "byte_count": event.byte_count,
        "vector_count": event.vector_count,
        "is_estimated": event.is_estimated,
        "usage": render_usage(event.usage),
        **_costs(event.cost, currency),
    }


def render_alert(alert: Alert) -> Json:
    """Returns a `UsageAlert`."""
    unit = NANOS if alert.resource == Resource.COST else 1
    return {
        "alert_id": alert.alert_id,
        "kind": alert.kind,
        "subject": alert.subject,
        "subject_id": alert.subject_id,
        "resource": alert.resource,
        "period": alert.period,
        "window": alert.window,
        "threshold": alert.threshold_percent / 100,
        "used": alert.used / unit,
        "limit": alert.limit / unit,
        "at": alert.at,
    }


def render_limits(report: LimitReport) -> Json:
    """Returns the limits of a caller."""
    return {
        "tenant": report.tenant,
        "tier": report.tier,
        "limits": [_limit(each) for each in report.states],
    }


def _limit(state: LimitState) -> Json:
    rule = state.limit.rule
    return {
        "subject": rule.subject.value,
        "subject_id": state.limit.subject_id,
        "resource": rule.resource.value,
        "period": rule.period.value,
        "amount": shown(rule.resource, rule.amount),
        "burst": shown(rule.resource, rule.burst),
        "mode": rule.mode.value,
        "source": state.limit.source,
        "used": shown(rule.resource, state.used),
        "remaining": shown(rule.resource, max(0.0, state.remaining)),
        "reset_seconds": round(state.reset_seconds, 3),
    }


def render_rule(rule: Rule) -> Json:
    """Returns a limit as it was set."""
    return {
        "tier": rule.tier,
        "tenant": rule.tenant,
        "subject": rule.subject.value,
        "subject_id": rule.subject_id,
        "resource": rule.resource.value,
        "period": rule.period.value,
        "amount": shown(rule.resource, rule.amount),
        "burst": shown(rule.resource, rule.burst),
        "mode": rule.mode.value,
        "updated_at": rule.updated_at,
        "updated_by": rule.updated_by,
    }


def usage_csv(rows: list[Json]) -> str:
    """Returns rows as CSV with a header line; nested fields get names with a dot."""
    flat = [_flat(row) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(flat[0]), lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(flat)
    return out.getvalue()


def _flat(row: Json, prefix: str = "") -> Json:
    flat: Json = {}
    for name, value in row.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = _plain(value)
    return flat


def _plain(value: object) -> object:
    """Returns a value that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return f"'{value}"
    return value


def _costs(cost: CostParts, currency: str) -> Json:
    return {
        "cost": {"amount": cost.total / PICOS, "currency": currency},
        "cost_parts": {name: part / PICOS for name, part in asdict(cost).items()},
    }
