"""Usage and limits of `GatewayService`: protobuf to domain and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import limits_pb2 as limits_pb

from services.gateway.clients.passages_proto import usage_to_proto
from services.gateway.edge.usage_views import render_alert
from services.gateway.entered_rpcs import EnteredRpcs, time_to_proto
from services.gateway.limits.desk import rule_of, shown
from services.gateway.limits.rules import Resource
from services.gateway.usage import PICOS
from services.gateway.usage_desk import UsageAsk
from services.rpc.errors import InvalidArgumentError

if TYPE_CHECKING:
    import grpc

    from services.gateway.ledger.events import UsageEvent
    from services.gateway.ledger.sums import UsageSum
    from services.gateway.limits.desk import LimitState
    from services.gateway.limits.rules import Rule
    from services.gateway.operations import Operations
    from services.gateway.usage import CostParts


class UsageRpcs(EnteredRpcs):
    """Serves these methods; the class that inherits them lets callers in."""

    _operations: Operations

    async def GetUsage(  # noqa: N802 - the contract's name
        self, request: pb.GetUsageRequest, context: grpc.aio.ServicerContext
    ) -> pb.GetUsageResponse:
        """Returns what was used."""
        async with self._entered(context) as caller:
            usage = self._operations.usage
            report = await usage.report(caller, _ask(request), request.group_by)
            currency = usage.prices.currency
            return pb.GetUsageResponse(
                rows=[_row(row, currency) for row in report.rows],
                total=_row(report.total, currency),
            )

    async def ListUsageEvents(  # noqa: N802 - the contract's name
        self, request: pb.ListUsageEventsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListUsageEventsResponse:
        """Lists single metered requests."""
        async with self._entered(context) as caller:
            usage = self._operations.usage
            page = await usage.events(
                caller, _ask(request.usage), request.page_size, request.page_token
            )
            currency = usage.prices.currency
            return pb.ListUsageEventsResponse(
                events=[_event(each, currency) for each in page.entries],
                next_page_token=page.next_page_token,
            )

    async def ListUsageAlerts(  # noqa: N802 - the contract's name
        self, request: pb.ListUsageAlertsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListUsageAlertsResponse:
        """Lists what was noticed about usage."""
        async with self._entered(context) as caller:
            found = await self._operations.usage.alerts(caller, request.tenant)
            return pb.ListUsageAlertsResponse(
                alerts=[pb.UsageAlert(**render_alert(each)) for each in found]
            )

    async def GetLimits(  # noqa: N802 - the contract's name
        self, request: limits_pb.GetLimitsRequest, context: grpc.aio.ServicerContext
    ) -> limits_pb.GetLimitsResponse:
        """Returns the limits that hold."""
        async with self._entered(context) as caller:
            report = await self._operations.limits.report(
                caller, tenant=request.tenant, user=request.user, key_id=request.key_id
            )
            return limits_pb.GetLimitsResponse(
                tenant=report.tenant, tier=report.tier, limits=map(_state, report.states)
            )

    async def ListLimitRules(  # noqa: N802 - the contract's name
        self, request: limits_pb.ListLimitRulesRequest, context: grpc.aio.ServicerContext
    ) -> limits_pb.ListLimitRulesResponse:
        """Lists limits that were set."""
        async with self._entered(context) as caller:
            found = await self._operations.limits.rules(caller, request.tenant)
            return limits_pb.ListLimitRulesResponse(rules=map(_rule, found))

    async def SetLimit(  # noqa: N802 - the contract's name
        self, request: limits_pb.SetLimitRequest, context: grpc.aio.ServicerContext
    ) -> limits_pb.SetLimitResponse:
        """Sets a limit."""
        async with self._entered(context) as caller:
            rule = await self._operations.limits.put(caller, _given(request.rule, "rule"))
            return limits_pb.SetLimitResponse(rule=_rule(rule))

    async def DeleteLimit(  # noqa: N802 - the contract's name
        self, request: limits_pb.DeleteLimitRequest, context: grpc.aio.ServicerContext
    ) -> limits_pb.DeleteLimitResponse:
        """Removes a limit that was set."""
        async with self._entered(context) as caller:
            await self._operations.limits.remove(caller, _given(request.rule, "rule"))
            return limits_pb.DeleteLimitResponse()


def _ask(request: pb.GetUsageRequest) -> UsageAsk:
    return UsageAsk(
        from_day=request.from_day,
        to_day=request.to_day,
        tenant=request.tenant,
        user=request.user,
        key_id=request.key_id,
        collection=request.collection,
        operation=request.operation,
    )


def _row(row: UsageSum, currency: str) -> pb.UsageRow:
    return pb.UsageRow(
        day=row.day,
        operation=row.operation,
        user=row.user,
        collection=row.collection,
        tenant=row.tenant,
        request_count=row.request_count,
        failed_count=row.failed_count,
        document_count=row.document_count,
        byte_count=row.byte_count,
        vector_count=row.vector_count,
        usage=usage_to_proto(row.usage),
        cost=pb.Cost(amount=row.cost.total / PICOS, currency=currency),
        cost_parts=_parts(row.cost),
    )


def _parts(cost: CostParts) -> pb.CostParts:
    return pb.CostParts(
        embedding=cost.embedding / PICOS,
        retrieval=cost.retrieval / PICOS,
        rerank=cost.rerank / PICOS,
        generation=cost.generation / PICOS,
    )


def _event(event: UsageEvent, currency: str) -> pb.UsageEvent:
    return pb.UsageEvent(
        event_id=event.event_id,
        at=time_to_proto(event.at),
        row=pb.UsageRow(
            day=event.day,
            operation=event.operation,
            user=event.payer.user,
            collection=event.collection,
            tenant=event.payer.tenant,
            request_count=1,
            failed_count=int(event.outcome != "ok"),
            document_count=event.document_count,
            byte_count=event.byte_count,
            vector_count=event.vector_count,
            usage=usage_to_proto(event.usage),
            cost=pb.Cost(amount=event.cost.total / PICOS, currency=currency),
            cost_parts=_parts(event.cost),
        ),
        key_id=event.payer.key_id,
        outcome=event.outcome.value,
        model=event.model,
        trace_id=event.trace_id,
        is_estimated=event.is_estimated,
    )


def _state(state: LimitState) -> limits_pb.LimitState:
    rule = _rule(state.limit.rule)
    rule.tenant, rule.subject_id = state.limit.tenant, state.limit.subject_id
    resource = state.limit.rule.resource
    return limits_pb.LimitState(
        rule=rule,
        source=state.limit.source,
        used=shown(resource, state.used),
        remaining=shown(resource, max(0.0, state.remaining)),
        reset_seconds=state.reset_seconds,
    )


def _rule(rule: Rule) -> limits_pb.LimitRule:
    return limits_pb.LimitRule(
        tier=rule.tier,
        tenant=rule.tenant,
        subject=rule.subject.value,
        subject_id=rule.subject_id,
        resource=rule.resource.value,
        period=rule.period.value,
        amount=shown(rule.resource, rule.amount),
        burst=shown(Resource.REQUESTS, rule.burst),
        mode=rule.mode.value,
        updated_at=rule.updated_at,
        updated_by=rule.updated_by,
    )


def _given(rule: limits_pb.LimitRule, path: str) -> Rule:
    """Returns the rule of a message.

    Raises:
        InvalidArgumentError: a field is wrong; the violation names it.
    """
    try:
        return rule_of(
            subject=rule.subject,
            resource=rule.resource,
            period=rule.period,
            mode=rule.mode,
            tier=rule.tier,
            tenant=rule.tenant,
            subject_id=rule.subject_id,
            amount=rule.amount if rule.HasField("amount") else None,
            burst=rule.burst if rule.HasField("burst") else None,
        )
    except InvalidArgumentError as error:
        (violation,) = error.violations
        raise InvalidArgumentError.for_field(
            f"{path}.{violation.field}", violation.description
        ) from None
