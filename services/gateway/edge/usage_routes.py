"""Usage and limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from starlette.responses import Response

from services.gateway.edge.bodies import Body
from services.gateway.edge.routing import (
    CallerDependency,
    JsonResponse,
    Parameters,
    StrictRoute,
    error_responses,
)
from services.gateway.edge.usage_views import (
    LimitRulesView,
    LimitRuleView,
    LimitsView,
    UsageAlertsView,
    UsageCheckView,
    UsageEventsView,
    UsageRowsView,
    render_alert,
    render_limits,
    render_rule,
    render_usage_event,
    render_usage_row,
    usage_csv,
)
from services.gateway.ledger.sums import UsageSum
from services.gateway.limits.desk import LimitDesk, rule_of
from services.gateway.limits.rules import Rule
from services.gateway.usage import CostParts, Usage
from services.gateway.usage_desk import UsageAsk, UsageDesk

_CSV = "text/csv"
_REPORT: dict[int | str, dict[str, Any]] = {
    200: {
        "model": UsageRowsView,
        "description": "What was used; as CSV, without the total, with `Accept: text/csv`.",
        "content": {_CSV: {"schema": {"type": "string"}}},
    }
}


class TenantParameters(Parameters):
    """Whose."""

    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""


class SpanParameters(TenantParameters):
    """Which usage; empty does not restrict."""

    from_day: str = ""
    """"YYYY-MM-DD"; empty: 30 days ago."""
    to_day: str = ""
    """"YYYY-MM-DD", included; empty: today."""
    user: str = ""
    key_id: str = ""
    collection: str = ""
    operation: str = ""

    def ask(self) -> UsageAsk:
        """Returns what is asked."""
        return UsageAsk(
            from_day=self.from_day,
            to_day=self.to_day,
            tenant=self.tenant,
            user=self.user,
            key_id=self.key_id,
            collection=self.collection,
            operation=self.operation,
        )


class UsageParameters(SpanParameters):
    """Which usage, in which form."""

    group_by: str = ""
    """Any of day, operation, user, collection and tenant, with commas; empty: day,operation."""
    format: Literal["", "json", "csv"] = ""
    """Empty: as `Accept` says."""


class UsageEventsParameters(SpanParameters):
    """Page of metered requests."""

    page_size: int = Field(default=0, ge=0, le=1_000)
    """Entries at most; 0: 100."""
    page_token: str = ""
    """Where the former page ended; empty: the latest."""


class LimitsParameters(TenantParameters):
    """Whose limits; all empty: the caller's own."""

    user: str = ""
    key_id: str = ""


class RuleParameters(TenantParameters):
    """Which limit."""

    subject: str
    resource: str
    period: str
    tier: str = ""
    subject_id: str = ""

    def rule(self) -> Rule:
        """Returns the limit that is meant."""
        return rule_of(
            subject=self.subject,
            resource=self.resource,
            period=self.period,
            tier=self.tier,
            tenant=self.tenant,
            subject_id=self.subject_id,
        )


class RuleBody(Body):
    """A limit to set."""

    subject: str
    """Whose use is counted: "key", "user" or "tenant"."""
    resource: str
    """ "requests", "tokens", "documents", "vectors", "bytes", "streams" or "cost"."""
    period: str
    """ "second", "minute", "hour", "day", "month", "at_once" or "stored"."""
    amount: float | None
    """null: no limit, where a wider rule has one. Money in whole units of the currency."""
    burst: float | None = None
    """Of limits per second, minute and hour: what may come at once; null: the amount."""
    mode: str = "hard"
    """ "hard" refuses; "soft" passes and warns; "shadow" passes and only metrics tell."""
    tier: str = ""
    """Tier whose tenants it holds for, in place of a tenant."""
    tenant: str = ""
    """Empty: the caller's own."""
    subject_id: str = ""
    """Key or user; empty: each of them."""

    def rule(self) -> Rule:
        """Returns the limit."""
        return rule_of(
            subject=self.subject,
            resource=self.resource,
            period=self.period,
            mode=self.mode,
            tier=self.tier,
            tenant=self.tenant,
            subject_id=self.subject_id,
            amount=self.amount,
            burst=self.burst,
        )


def usage_routes(usage: UsageDesk, limits: LimitDesk) -> APIRouter:
    """Returns the routes."""
    router = APIRouter(
        prefix="/v1", tags=["usage"], route_class=StrictRoute, responses=error_responses()
    )
    _add_usage_routes(router, usage)
    _add_limit_routes(router, limits)
    return router


def _add_usage_routes(router: APIRouter, usage: UsageDesk) -> None:
    currency = usage.prices.currency

    @router.get("/usage", operation_id="get_usage", responses=_REPORT)
    async def report(
        request: Request,
        caller: CallerDependency,
        parameters: Annotated[UsageParameters, Query()],
    ) -> Response:
        """Returns what was used, by day and operation or by other dimensions."""
        dimensions = [each for each in parameters.group_by.split(",") if each]
        found = await usage.report(caller, parameters.ask(), dimensions)
        rows = [render_usage_row(row, currency) for row in found.rows]
        wants_csv = _CSV in request.headers.get("accept", "")
        if parameters.format == "csv" or (wants_csv and not parameters.format):
            text = usage_csv(rows) if rows else usage_csv([_empty_row(currency)]).split("\r\n")[0]
            disposition = {"content-disposition": 'attachment; filename="usage.csv"'}
            return Response(text, media_type=_CSV, headers=disposition)
        return JsonResponse({"rows": rows, "total": render_usage_row(found.total, currency)})

    @router.get(
        "/usage/events",
        operation_id="list_usage_events",
        responses={200: {"model": UsageEventsView}},
    )
    async def events(
        caller: CallerDependency, parameters: Annotated[UsageEventsParameters, Query()]
    ) -> Response:
        """Lists single metered requests, the latest first, for as long as they are kept."""
        page = await usage.events(
            caller, parameters.ask(), parameters.page_size, parameters.page_token
        )
        return JsonResponse(
            {
                "events": [render_usage_event(each, currency) for each in page.entries],
                "next_page_token": page.next_page_token,
            }
        )

    @router.get(
        "/usage/alerts",
        operation_id="list_usage_alerts",
        responses={200: {"model": UsageAlertsView}},
    )
    async def alerts(
        caller: CallerDependency, parameters: Annotated[TenantParameters, Query()]
    ) -> Response:
        """Lists budgets that ran low and days out of the ordinary, the latest first."""
        found = await usage.alerts(caller, parameters.tenant)
        return JsonResponse({"alerts": [render_alert(each) for each in found]})

    @router.get(
        "/usage/check", operation_id="check_usage", responses={200: {"model": UsageCheckView}}
    )
    async def check(
        caller: CallerDependency, parameters: Annotated[TenantParameters, Query()]
    ) -> Response:
        """Compares the sums with the single requests."""
        first, differing = await usage.check(caller, parameters.tenant)
        return JsonResponse(
            {"is_exact": not differing, "from_day": first, "differing_days": list(differing)}
        )


def _add_limit_routes(router: APIRouter, limits: LimitDesk) -> None:
    @router.get("/limits", operation_id="get_limits", responses={200: {"model": LimitsView}})
    async def report(
        caller: CallerDependency, parameters: Annotated[LimitsParameters, Query()]
    ) -> Response:
        """Returns the limits that hold and how far they are used."""
        found = await limits.report(
            caller, tenant=parameters.tenant, user=parameters.user, key_id=parameters.key_id
        )
        return JsonResponse(render_limits(found))

    @router.get(
        "/limits/rules", operation_id="list_limits", responses={200: {"model": LimitRulesView}}
    )
    async def rules(
        caller: CallerDependency, parameters: Annotated[TenantParameters, Query()]
    ) -> Response:
        """Lists the limits that were set for a tenant, and those of tiers."""
        found = await limits.rules(caller, parameters.tenant)
        return JsonResponse({"rules": [render_rule(each) for each in found]})

    @router.put(
        "/limits/rules", operation_id="set_limit", responses={200: {"model": LimitRuleView}}
    )
    async def put(body: RuleBody, caller: CallerDependency) -> Response:
        """Sets a limit in place of the one that was there; it holds within five seconds."""
        return JsonResponse(render_rule(await limits.put(caller, body.rule())))

    @router.delete("/limits/rules", operation_id="delete_limit", status_code=204)
    async def remove(
        caller: CallerDependency, parameters: Annotated[RuleParameters, Query()]
    ) -> Response:
        """Removes a limit that was set: the wider one holds again."""
        await limits.remove(caller, parameters.rule())
        return Response(status_code=204)


def _empty_row(currency: str) -> dict[str, Any]:
    nothing = UsageSum(0, 0, 0, 0, 0, Usage(), CostParts())
    return render_usage_row(nothing, currency)
