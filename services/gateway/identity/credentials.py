"""From what a credential proves to the caller it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.identity.caller import Caller
from services.gateway.identity.grants import builtin_grant, greatest_role
from services.gateway.identity.permissions import Role
from services.gateway.keys import KeyKind
from services.rpc.scope import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.identity.directory import Standing
    from services.gateway.keys import ApiKey

EVERYONE = "everyone"


def caller_of_key(key: ApiKey, owner: Standing) -> Caller:
    """Returns the caller of a key.

    Args:
        key: The key; its grants are taken from `owner`.
        owner: What the directory knows of it.
    """
    user = key.user_id
    as_user = bool(user) and key.role is Role.CUSTOM and not owner.own_grants
    if as_user:
        grants, bounds = owner.user_grants, None
    else:
        is_builtin = key.role is not Role.CUSTOM
        grants = None if is_builtin else owner.own_grants
        bounds = owner.user_grants if user else None
    role = key.role if grants is None else greatest_role(grants)
    if bounds is not None:
        role = min(role, greatest_role(bounds))
        if grants is None:
            grants = (builtin_grant(key.role),)
    principals = key.principals
    if user:
        principals = (*principals, f"user:{user}", *(f"group:{each}" for each in owner.groups))
    return Caller(
        key_id=key.key_id,
        role=role,
        scope=Scope(
            tenant=key.tenant,
            principals=tuple(dict.fromkeys(principals)),
            actor=_actor(key),
            tenant_class=owner.tenant_class,
        ),
        grants=grants,
        bounds=bounds,
        user_id=user,
        name=key.name,
    )


def caller_of_token(
    tenant: str, subject: str, owner: Standing, default_role: Role | None, name: str = ""
) -> Caller:
    """Returns the caller of a token.

    Args:
        tenant: Whose user it is.
        subject: Identifier of the user.
        owner: What the directory knows of the user; its groups include those the token names.
        default_role: What every user of the token's issuer may do; None: what the grants say.
        name: Of the user, when the directory has none.
    """
    grants = owner.user_grants
    if default_role is not None:
        grants = (*grants, builtin_grant(default_role))
    groups: Sequence[str] = owner.groups
    return Caller(
        key_id=f"user:{subject}",
        role=greatest_role(grants),
        scope=Scope(
            tenant=tenant,
            principals=(EVERYONE, f"user:{subject}", *(f"group:{each}" for each in groups)),
            actor=f"user:{subject}",
            tenant_class=owner.tenant_class,
        ),
        grants=grants,
        user_id=subject,
        name=owner.user_name or name,
    )


def _actor(key: ApiKey) -> str:
    if key.user_id:
        return f"user:{key.user_id}"
    if key.kind is KeyKind.SERVICE:
        return f"service:{key.name}"
    return f"key:{key.key_id}"
