"""Scope between its message and its domain value. A request without a tenant stops here."""

from __future__ import annotations

import functools

from cairn.types.v1 import scope_pb2

from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason
from services.rpc.logs import bind_tenant
from services.rpc.scope import Scope, TenantClass

MAX_TENANT_CHARACTERS = 128
MAX_PRINCIPALS = 1000
"""Bounds the access-list test of each document read."""
MAX_PRINCIPAL_CHARACTERS = 256
MAX_ACTOR_CHARACTERS = 256
_REMEMBERED_BYTES = 2048
"""Scopes up to this size are remembered as they were read."""


def scope_from_proto(message: scope_pb2.Scope, field: str = "scope") -> Scope:
    """Returns the scope that a request carries, and names its tenant in the request's logs.

    Args:
        message: The request's scope; an unset one is an empty message.
        field: Path of the scope in the request, for the error.

    Raises:
        PermissionDeniedError: No tenant.
        InvalidArgumentError: A name is malformed, too long, or the class is unknown.
    """
    serialised = message.SerializeToString()
    if len(serialised) > _REMEMBERED_BYTES:
        scope = _read(message, field)
    else:
        scope = _remembered(serialised, field)
    bind_tenant(scope.tenant)
    return scope


@functools.lru_cache(maxsize=4096)
def _remembered(serialised: bytes, field: str) -> Scope:
    """Reads a scope once: the same callers come again and again."""
    return _read(scope_pb2.Scope.FromString(serialised), field)


def _read(message: scope_pb2.Scope, field: str) -> Scope:
    if not message.tenant:
        raise PermissionDeniedError(
            Reason.SCOPE_MISSING,
            f"{field}.tenant is empty: callers must say on whose behalf they ask",
        )
    _check_name(message.tenant, f"{field}.tenant", MAX_TENANT_CHARACTERS)
    if message.actor:
        _check_name(message.actor, f"{field}.actor", MAX_ACTOR_CHARACTERS)
    if len(message.principals) > MAX_PRINCIPALS:
        raise InvalidArgumentError.for_field(
            f"{field}.principals",
            f"{len(message.principals)} principals; at most {MAX_PRINCIPALS} are allowed",
            Reason.TOO_LARGE,
        )
    for index, principal in enumerate(message.principals):
        _check_name(principal, f"{field}.principals[{index}]", MAX_PRINCIPAL_CHARACTERS)
    return Scope(
        tenant=message.tenant,
        principals=tuple(dict.fromkeys(message.principals)),
        actor=message.actor,
        tenant_class=_tenant_class(message.tenant_class, f"{field}.tenant_class"),
    )


def scope_to_proto(scope: Scope) -> scope_pb2.Scope:
    """Returns the message for a downstream request."""
    return scope_pb2.Scope(
        tenant=scope.tenant,
        principals=scope.principals,
        actor=scope.actor,
        tenant_class=scope_pb2.TenantClass.Name(int(scope.tenant_class)),
    )


def _check_name(name: str, field: str, max_characters: int) -> None:
    if not name:
        raise InvalidArgumentError.for_field(field, "is empty")
    if len(name) > max_characters:
        raise InvalidArgumentError.for_field(
            field,
            f"has {len(name)} characters; at most {max_characters} are allowed",
            Reason.TOO_LARGE,
        )
    if not name.isprintable() or name != name.strip():
        raise InvalidArgumentError.for_field(
            field, "must be printable, without spaces at its ends", Reason.INVALID_TEXT
        )


def _tenant_class(value: int, field: str) -> TenantClass:
    if value == scope_pb2.TENANT_CLASS_UNSPECIFIED:
        return TenantClass.STANDARD
    try:
        return TenantClass(value)
    except ValueError:
        raise InvalidArgumentError.for_field(field, f"{value} is not a known class") from None
