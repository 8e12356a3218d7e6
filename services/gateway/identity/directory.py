"""Tenants, users, groups and roles as they are managed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.identity.grants import Grant
    from services.gateway.identity.permissions import Operation
    from services.rpc.scope import TenantClass


@dataclass(frozen=True, slots=True)
class RoleGrant:
    """A role by its name, for all collections or some."""

    role: str
    collections: tuple[str, ...] = ()
    """Names, a trailing "*" for any ending; empty: all, and what belongs to none."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Owner of collections, documents and figures."""

    tenant: str
    """Identifier."""
    name: str
    """For people."""
    tenant_class: TenantClass
    is_disabled: bool
    """Whether every credential of it is refused."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person or program of a tenant: the subject of tokens, the owner of keys."""

    tenant: str
    user_id: str
    """Identifier; of tokens, their subject."""
    name: str
    groups: tuple[str, ...]
    grants: tuple[RoleGrant, ...]
    is_disabled: bool
    """Whether its keys and tokens are refused."""
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Group:
    """Users who share grants and read as `group:<name>`."""

    tenant: str
    group: str
    """Its name."""
    description: str
    grants: tuple[RoleGrant, ...]
    member_count: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TenantRole:
    """A role: built-in, or one that the tenant made."""

    tenant: str
    role: str
    """Its name."""
    description: str
    permissions: tuple[Operation, ...]
    is_builtin: bool
    created_at: datetime | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the directory knows of a credential's owner, at one moment."""

    is_open: bool
    """Whether tenant and user are there and not disabled."""
    tenant_class: TenantClass
    groups: tuple[str, ...] = ()
    """Groups the user is a member of."""
    own_grants: tuple[Grant, ...] = ()
    """Given to the key itself."""
    user_grants: tuple[Grant, ...] = ()
    """Given to the user and its groups."""
    user_name: str = ""
