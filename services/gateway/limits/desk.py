"""What callers may see of limits, and who may set them."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

from services.gateway.identity import Caller, Operation
from services.gateway.identity.tenancy import is_home, managed_tenant
from services.gateway.ledger.events import Payer
from services.gateway.limits.gate import payer_of
from services.gateway.limits.rules import (
    NANOS,
    PERIOD_SECONDS,
    PERIODS_OF,
    Limit,
    Mode,
    Period,
    Resource,
    Rule,
    Subject,
)
from services.gateway.limits.tiers import TIER_NAMES
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, NotFoundError, PermissionDeniedError, Reason

if TYPE_CHECKING:
    from services.gateway.limits.gate import Gate
    from services.gateway.limits.gauges import Reading
    from services.gateway.limits.rule_store import RuleStore
    from services.rpc.scope import Scope, TenantClass

W = TypeVar("W", bound=enum.StrEnum)

_QUOTAS = frozenset(
    (Subject.TENANT, resource, Period.STORED) for resource in (Resource.VECTORS, Resource.BYTES)
)
"""Limits that retrieval keeps as well."""

_MOST = 2**53 - 1
"""Valkey counts in doubles."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """A limit and how far it is used."""

    limit: Limit
    used: float
    remaining: float
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class LimitReport:
    """The limits of a caller."""

    tenant: str
    tier: str
    states: tuple[LimitState, ...]


class Tenants(Protocol):
    """Knows the class of every tenant."""

    async def class_of(self, tenant: str) -> TenantClass:
        """Returns the class of a tenant."""
        ...


class Quotas(Protocol):
    """Holds tenants to what they may store, where every way in ends."""

    async def set_quota(self, scope: Scope, vectors: int | None, size_bytes: int | None) -> None:
        """Sets what the scope's tenant may store; None: as much as any other."""
        ...


class LimitDesk:
    """Shows limits and sets them.

    Args:
        gate: Knows limits and how far they are used.
        rules: Keeps limits.
        tenants: Knows the class of every tenant; None: all are of the caller's.
        quotas: Told of what tenants may store; None: it is held to here alone.
    """

    def __init__(
        self,
        gate: Gate,
        rules: RuleStore,
        tenants: Tenants | None = None,
        quotas: Quotas | None = None,
    ) -> None:
        self._gate = gate
        self._quotas = quotas
        self._rules = rules
        self._tenants = tenants

    async def report(
        self, caller: Caller, *, tenant: str = "", user: str = "", key_id: str = ""
    ) -> LimitReport:
        """Returns the caller's limits, or for admins those of others.

        Args:
            caller: Who asks.
            tenant: Empty: the caller's own.
            user: Empty: the caller's own, where it is the caller's tenant.
            key_id: Likewise.
        """
        is_own = not (tenant or user or key_id)
        caller.require(Operation.READ_LIMITS if is_own else Operation.MANAGE_LIMITS)
        if is_own:
            payer, tier = payer_of(caller), TIER_NAMES[caller.scope.tenant_class]
            scope = caller.scope
        else:
            owner = managed_tenant(caller, tenant)
            check_text("user", user, limit=256)
            check_text("key_id", key_id, limit=64)
            payer = Payer(owner, user or (f"key:{key_id}" if key_id else "key:"), key_id)
            tenant_class = await self._class_of(caller, owner)
            tier = TIER_NAMES[tenant_class]
            scope = replace(caller.scope, tenant=owner, tenant_class=tenant_class)
        states = [
            LimitState(limit, _used(limit, reading), reading.remaining, reading.reset_seconds)
            for limit, reading in await self._gate.look(payer, tier, scope)
        ]
        states.sort(key=lambda each: each.limit.name)
        return LimitReport(payer.tenant, tier, tuple(states))

    async def rules(self, caller: Caller, tenant: str = "") -> tuple[Rule, ...]:
        """Returns what was set for a tenant and for tiers, and what tiers bring along."""
        caller.require(Operation.MANAGE_LIMITS)
        stored = await self._rules.listed(managed_tenant(caller, tenant))
        changed = {(rule.tier, rule.place) for rule in stored}
        built_in = [
            rule
            for rules in self._gate.tiers.values()
            for rule in rules
            if (rule.tier, rule.place) not in changed
        ]
        return (*stored, *built_in)

    async def put(self, caller: Caller, rule: Rule) -> Rule:
        """Sets a limit in place of the one that was there.

        Limits of keys and users are set by the tenant's admins; those of tenants and tiers by
        admins of the home tenant, since whoever pays must not set the bill.

        Raises:
            InvalidArgumentError: a field is wrong.
            PermissionDeniedError: the limit is not the caller's to set.
        """
        caller.require(Operation.MANAGE_LIMITS)
        rule = self._owned(caller, rule)
        _check_amounts(rule)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        rule = replace(rule, updated_at=now, updated_by=caller.scope.actor)
        await self._rules.put(rule)
        self._gate.forget()
        await self._pass_on(caller, rule)
        return rule

    async def remove(self, caller: Caller, rule: Rule) -> None:
        """Removes a limit that was set: the wider one holds again.

        Raises:
            NotFoundError: there is none.
        """
        caller.require(Operation.MANAGE_LIMITS)
        rule = self._owned(caller, rule)
        was_set = await self._rules.remove(rule)
        self._gate.forget()
        # Also when it was gone: the try before may have ended between the two.
        await self._pass_on(caller, rule)
        if not was_set:
            raise NotFoundError(Reason.SUBJECT_NOT_FOUND, "no such limit was set")

    async def _pass_on(self, caller: Caller, changed: Rule) -> None:
        """Has retrieval hold a tenant to what it may store.

        Here it is checked before documents are taken in, when nobody knows yet how many vectors
        they become, and by figures a second old; there it holds for every vector, whichever way it
        comes.
        """
        if self._quotas is None or changed.place not in _QUOTAS or changed.tier:
            return
        bounds = {
            rule.resource: rule.amount
            for rule in await self._rules.listed(changed.tenant)
            if rule.tenant == changed.tenant
            and rule.place in _QUOTAS
            and rule.mode is Mode.HARD
            and not rule.tier
        }
        scope = replace(caller.scope, tenant=changed.tenant)
        await self._quotas.set_quota(
            scope, bounds.get(Resource.VECTORS), bounds.get(Resource.BYTES)
        )

    async def _class_of(self, caller: Caller, tenant: str) -> TenantClass:
        if self._tenants is None or tenant == caller.scope.tenant:
            return caller.scope.tenant_class
        return await self._tenants.class_of(tenant)

    def _owned(self, caller: Caller, rule: Rule) -> Rule:
        """Returns the rule with its tenant, if it is the caller's to set."""
        check_text("subject_id", rule.subject_id, limit=200)
        if rule.tier:
            if rule.tier not in self._gate.tiers:
                raise InvalidArgumentError.for_field(
                    "tier", f"must be one of {', '.join(self._gate.tiers)}"
                )
            if rule.tenant or rule.subject_id:
                raise InvalidArgumentError.for_field(
                    "tier", "holds for all its tenants: leave tenant and subject_id empty"
                )
            if not is_home(caller):
                raise _not_yours()
            return rule
        tenant = managed_tenant(caller, rule.tenant)
        if rule.subject is Subject.TENANT:
            if not is_home(caller):
                raise _not_yours()
            if rule.subject_id not in {"", tenant}:
                raise InvalidArgumentError.for_field("subject_id", "must be empty for tenants")
            return replace(rule, tenant=tenant, subject_id="")
        if rule.subject is Subject.USER and rule.subject_id and ":" not in rule.subject_id:
            rule = replace(rule, subject_id=f"user:{rule.subject_id}")
        return replace(rule, tenant=tenant)


def rule_of(
    *,
    subject: str,
    resource: str,
    period: str,
    mode: str = "",
    tier: str = "",
    tenant: str = "",
    subject_id: str = "",
    amount: float | None = None,
    burst: float | None = None,
) -> Rule:
    """Returns the rule of a request's words and numbers; money is in whole units there.

    Raises:
        InvalidArgumentError: a word is none of those known, or a number is no amount.
    """
    kind = _word(Resource, "resource", resource)
    span = _word(Period, "period", period)
    if span not in PERIODS_OF[kind]:
        fitting = ", ".join(sorted(PERIODS_OF[kind]))
        raise InvalidArgumentError.for_field("period", f"of {kind} must be one of {fitting}")
    return Rule(
        subject=_word(Subject, "subject", subject),
        resource=kind,
        period=span,
        amount=_amount("amount", kind, amount),
        burst=_amount("burst", kind, burst),
        mode=_word(Mode, "mode", mode) if mode else Mode.HARD,
        tier=tier,
        tenant=tenant,
        subject_id=subject_id,
    )


def shown(resource: Resource, amount: float | None) -> float | int | None:
    """Returns an amount as callers see it: money in whole units."""
    if amount is None:
        return None
    return amount / NANOS if resource is Resource.COST else int(amount)


def _word(kind: type[W], field: str, text: str) -> W:
    try:
        return kind(text)
    except ValueError:
        words = ", ".join(each.value for each in kind)
        raise InvalidArgumentError.for_field(field, f"must be one of {words}") from None


def _amount(field: str, resource: Resource, amount: float | None) -> int | None:
    if amount is None:
        return None
    scaled = amount * NANOS if resource is Resource.COST else amount
    if not 0 <= scaled <= _MOST or (scaled != int(scaled) and resource is not Resource.COST):
        raise InvalidArgumentError.for_field(field, "must be a whole number from 0 to 2^53 - 1")
    return round(scaled)


def _check_amounts(rule: Rule) -> None:
    if rule.burst is not None:
        if rule.period not in PERIOD_SECONDS:
            raise InvalidArgumentError.for_field(
                "burst", "only limits per second, minute and hour have one"
            )
        if rule.burst < 1:
            raise InvalidArgumentError.for_field("burst", "must be 1 at least")


def _used(limit: Limit, reading: Reading) -> float:
    return max(0.0, limit.capacity - reading.remaining)


def _not_yours() -> PermissionDeniedError:
    return PermissionDeniedError(
        Reason.ROLE_REQUIRED,
        "only admins of the home tenant set the limits of tenants and tiers",
        metadata={"required_role": "admin"},
    )
