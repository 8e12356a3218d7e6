"""Whose tenant a request may manage: its own; any, for admins of the home tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.gateway.identity.permissions import Operation
from services.gateway.texts import check_text
from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason

if TYPE_CHECKING:
    from services.gateway.identity.caller import Caller

HOME_TENANT = "default"
"""Tenant of the first key. Its admins run the installation and manage other tenants."""

MAX_NAME_CHARACTERS = 128
MAX_ID_CHARACTERS = 200


def is_home(caller: Caller) -> bool:
    """Whether the caller runs the installation."""
    return caller.scope.tenant == HOME_TENANT and caller.may(Operation.MANAGE_TENANTS)


def managed_tenant(caller: Caller, tenant: str) -> str:
    """Returns the tenant that is meant.

    Args:
        caller: Who asks.
        tenant: As the request names it; empty: the caller's own.

    Raises:
        InvalidArgumentError: it is no name.
        PermissionDeniedError: it is not the caller's to manage.
    """
    if not tenant or tenant == caller.scope.tenant:
        return caller.scope.tenant
    check_name("tenant", tenant)
    if not is_home(caller):
        raise PermissionDeniedError(
            Reason.ROLE_REQUIRED,
            "only admins of the home tenant serve other tenants",
            metadata={"required_role": "admin"},
        )
    return tenant


def reach(caller: Caller) -> str | None:
    """Returns the tenant to which look-ups by an identifier are bound; None: any."""
    return None if is_home(caller) else caller.scope.tenant


def check_name(field: str, text: str, limit: int = MAX_NAME_CHARACTERS) -> str:
    """Returns a name that may pass: printable, without spaces at its ends.

    Raises:
        InvalidArgumentError: it is not.
    """
    check_text(field, text, limit=limit, required=True)
    if not text.isprintable() or text != text.strip():
        raise InvalidArgumentError.for_field(
            field, "must be printable, without spaces at its ends", Reason.INVALID_TEXT
        )
    return text
