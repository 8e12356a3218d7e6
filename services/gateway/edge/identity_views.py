"""Bodies of responses about identity and audit, and how they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from services.gateway.edge.render import render_time
from services.gateway.edge.views import View
from services.gateway.identity.permissions import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.gateway.audit.chain import AuditEntry
    from services.gateway.audit.desk import AuditReport
    from services.gateway.identity import Caller
    from services.gateway.identity.directory import Group, RoleGrant, Tenant, TenantRole, User
    from services.gateway.keys import ApiKey

Json = dict[str, Any]


class GrantView(View):
    """A role, for all collections or some."""

    role: str
    collections: list[str]
    """Names, a trailing "*" standing for any ending; empty: all, and what belongs to none."""


class CallerView(View):
    """Who the credential stands for."""

    tenant: str
    tenant_class: Literal["free", "standard", "premium"]
    actor: str
    """"key:ID", "user:SUBJECT" or "service:NAME"."""
    key_id: str
    user_id: str
    name: str
    role: Literal["viewer", "editor", "operator", "admin", "custom"]
    """Greatest built-in role that is held for every collection."""
    permissions: list[str]
    """Operations that are allowed, at least on some collection."""
    grants: list[GrantView]
    principals: list[str]
    """What the caller reads as."""


class SecretView(View):
    """One of a key's secrets, never the secret itself."""

    secret_id: str
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None


class KeyView(View):
    """A key, without its secrets."""

    key_id: str
    tenant: str
    name: str
    role: str
    """"custom": what the grants say; without any, what the user may do."""
    grants: list[GrantView]
    principals: list[str]
    user_id: str
    kind: Literal["user", "service"]
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    secrets: list[SecretView]


class KeysView(View):
    """Keys, newest first."""

    keys: list[KeyView]


class OneKeyView(View):
    """A key."""

    key: KeyView


class NewKeyView(View):
    """A key and its new secret, which is shown this once."""

    key: KeyView
    secret: str


class TenantView(View):
    """A tenant."""

    tenant: str
    name: str
    tenant_class: Literal["free", "standard", "premium"]
    is_disabled: bool
    created_at: str | None
    updated_at: str | None


class TenantsView(View):
    """A page of tenants."""

    tenants: list[TenantView]
    next_page_token: str


class OneTenantView(View):
    """A tenant."""

    tenant: TenantView


class UserView(View):
    """A user."""

    user_id: str
    tenant: str
    name: str
    groups: list[str]
    grants: list[GrantView]
    is_disabled: bool
    created_at: str | None
    updated_at: str | None


class UsersView(View):
    """A page of users."""

    users: list[UserView]
    next_page_token: str


class OneUserView(View):
    """A user."""

    user: UserView


class GroupView(View):
    """A group."""

    group: str
    tenant: str
    description: str
    grants: list[GrantView]
    member_count: int
    created_at: str | None
    updated_at: str | None


class GroupsView(View):
    """A page of groups."""

    groups: list[GroupView]
    next_page_token: str


class OneGroupView(View):
    """A group."""

    group: GroupView


class RoleView(View):
    """A role."""

    role: str
    tenant: str
    """Empty for built-in ones."""
    description: str
    permissions: list[str]
    is_builtin: bool


class PermissionView(View):
    """An operation that a role may allow."""

    name: str
    least_role: str
    """Least built-in role that allows it."""


class RolesView(View):
    """Roles, the built-in ones first, and what they are made of."""

    roles: list[RoleView]
    permissions: list[PermissionView]


class OneRoleView(View):
    """A role."""

    role: RoleView


class AuditEntryView(View):
    """One entry of the audit log."""

    seq: int
    tenant: str
    at: str
    actor: str
    action: str
    collection: str
    outcome: str
    """"ok", or the reason of the refusal."""
    surface: str
    trace_id: str
    subjects: list[str]
    """What it was about: kind and keyed hash."""
    details: dict[str, str | int]
    hash: str


class AuditEntriesView(View):
    """A page of entries, newest first."""

    entries: list[AuditEntryView]
    next_page_token: str


class BrokenLinkView(View):
    """The first broken link of a chain."""

    seq: int
    problem: str


class AuditReportView(View):
    """What a check found."""

    is_intact: bool
    is_complete: bool
    """Whether the end of the chain was reached; else go on from the checkpoint."""
    entry_count: int
    checkpoint: str
    """"SEQ:HASH" of the last entry that was checked."""
    broken: BrokenLinkView | None


def render_caller(caller: Caller) -> Json:
    """Returns a `CallerView`."""
    bounds = [caller.held] if caller.bounds is None else [caller.held, caller.bounds]
    return {
        "tenant": caller.scope.tenant,
        "tenant_class": caller.scope.tenant_class.name.lower(),
        "actor": caller.scope.actor,
        "key_id": caller.key_id,
        "user_id": caller.user_id,
        "name": caller.name,
        "role": caller.role.label,
        "permissions": [
            operation.label
            for operation in Operation
            if all(any(operation in each.permissions for each in grants) for grants in bounds)
        ],
        "grants": [
            {"role": each.role, "collections": list(each.collections)} for each in caller.held
        ],
        "principals": list(caller.scope.principals),
    }


def render_grants(grants: Iterable[RoleGrant]) -> list[Json]:
    """Returns `GrantView`s."""
    return [{"role": each.role, "collections": list(each.collections)} for each in grants]


def render_key(key: ApiKey) -> Json:
    """Returns a `KeyView`."""
    return {
        "key_id": key.key_id,
        "tenant": key.tenant,
        "name": key.name,
        "role": key.role.label,
        "grants": render_grants(key.grants),
        "principals": list(key.principals),
        "user_id": key.user_id,
        "kind": key.kind.value,
        "created_at": render_time(key.created_at),
        "expires_at": render_time(key.expires_at),
        "revoked_at": render_time(key.revoked_at),
        "last_used_at": render_time(key.last_used_at),
        "secrets": [
            {
                "secret_id": each.secret_id,
                "created_at": render_time(each.created_at),
                "expires_at": render_time(each.expires_at),
                "revoked_at": render_time(each.revoked_at),
                "last_used_at": render_time(each.last_used_at),
            }
            for each in key.secrets
        ],
    }


def render_tenant(tenant: Tenant) -> Json:
    """Returns a `TenantView`."""
    return {
        "tenant": tenant.tenant,
        "name": tenant.name,
        "tenant_class": tenant.tenant_class.name.lower(),
        "is_disabled": tenant.is_disabled,
        "created_at": render_time(tenant.created_at),
        "updated_at": render_time(tenant.updated_at),
    }


def render_user(user: User) -> Json:
    """Returns a `UserView`."""
    return {
        "user_id": user.user_id,
        "tenant": user.tenant,
        "name": user.name,
        "groups": list(user.groups),
        "grants": render_grants(user.grants),
        "is_disabled": user.is_disabled,
        "created_at": render_time(user.created_at),
        "updated_at": render_time(user.updated_at),
    }


def render_group(group: Group) -> Json:
    """Returns a `GroupView`."""
    return {
        "group": group.group,
        "tenant": group.tenant,
        "description": group.description,
        "grants": render_grants(group.grants),
        "member_count": group.member_count,
        "created_at": render_time(group.created_at),
        "updated_at": render_time(group.updated_at),
    }


def render_role(role: TenantRole) -> Json:
    """Returns a `RoleView`."""
    return {
        "role": role.role,
        "tenant": role.tenant,
        "description": role.description,
        "permissions": [each.label for each in role.permissions],
        "is_builtin": role.is_builtin,
    }


def render_permissions() -> list[Json]:
    """Returns every `PermissionView`."""
    return [{"name": each.label, "least_role": each.role.label} for each in Operation]


def render_entry(entry: AuditEntry) -> Json:
    """Returns an `AuditEntryView`."""
    content = entry.content
    content.pop("key", None)
    return {**content, "hash": entry.hash}


def render_report(report: AuditReport) -> Json:
    """Returns an `AuditReportView`."""
    broken = {"seq": report.broken_seq, "problem": report.problem} if report.broken_seq else None
    return {
        "is_intact": report.is_intact,
        "is_complete": report.is_complete,
        "entry_count": report.entry_count,
        "checkpoint": report.checkpoint,
        "broken": broken,
    }
