"""Bodies of requests about identity."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.edge.bodies import Body
from services.gateway.identity.directory import RoleGrant
from services.gateway.key_desk import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS, NewKey


class GrantBody(Body):
    """A role, for all collections or some."""

    role: str
    collections: list[str] = Field(default_factory=list, max_length=256)
    """Names, a trailing "*" standing for any ending; empty: all, and what belongs to none."""

    def grant(self) -> RoleGrant:
        """Returns the grant."""
        return RoleGrant(self.role, tuple(dict.fromkeys(self.collections)))


class KeyBody(Body):
    """A key to make."""

    name: str
    role: Literal["", "viewer", "editor", "operator", "admin"] = ""
    """Role for everything. Empty: what `grants` say; without any, what the user may do; without a
    user, viewer."""
    grants: list[GrantBody] = Field(default_factory=list, max_length=64)
    """Roles by collection, instead of `role`."""
    principals: list[str] | None = Field(default=None, max_length=256)
    """What the key reads as besides itself; null: everyone."""
    tenant: str = ""
    """Empty: the caller's own. Others only for admins of the home tenant."""
    user_id: str = ""
    """User whose key it is: it never may more than the user. Empty: nobody's."""
    kind: Literal["user", "service"] = "user"
    """"service" for callers that belong to the installation."""
    expires_in_days: int | None = Field(default=None, ge=1, le=3_650)

    def key(self) -> NewKey:
        """Returns the key."""
        return NewKey(
            name=self.name,
            role=self.role,
            grants=tuple(each.grant() for each in self.grants),
            principals=None if self.principals is None else tuple(self.principals),
            tenant=self.tenant,
            user_id=self.user_id,
            kind=self.kind,
            expires_in_days=self.expires_in_days,
        )


class RotateBody(Body):
    """How a key's secrets follow each other."""

    overlap_seconds: int = Field(default=OVERLAP_SECONDS, ge=0, le=MAX_OVERLAP_SECONDS)
    """How long the former secrets go on being accepted; 0: they end now."""


class TenantBody(Body):
    """A tenant to create or change."""

    name: str = ""
    """Empty: its identifier."""
    tenant_class: Literal["free", "standard", "premium"] = "standard"
    is_disabled: bool = False
    """Whether every credential of it is refused."""


class UserBody(Body):
    """A user to create or replace."""

    name: str = ""
    groups: list[str] = Field(default_factory=list, max_length=256)
    """Groups that there are not are made."""
    grants: list[GrantBody] = Field(default_factory=list, max_length=64)
    is_disabled: bool = False
    """Whether its keys and tokens are refused."""


class GroupBody(Body):
    """A group to create or replace; its members stay."""

    description: str = ""
    grants: list[GrantBody] = Field(default_factory=list, max_length=64)


class RoleBody(Body):
    """A role to create or replace."""

    permissions: list[str] = Field(min_length=1, max_length=256)
    """Operations it allows, as `/v1/roles` names them."""
    description: str = ""
