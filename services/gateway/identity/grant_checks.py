"""Checks of grants that somebody wants to give."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from services.gateway.identity.directory import RoleGrant
from services.gateway.identity.tenancy import check_name
from services.gateway.texts import check_range
from services.rpc.errors import InvalidArgumentError, PermissionDeniedError, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.gateway.identity.caller import Caller
    from services.gateway.identity.grants import Grant

MAX_GRANTS = 64
MAX_COLLECTIONS = 256
_PATTERN = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\*?")


class RoleBook(Protocol):
    """Knows what roles allow."""

    async def resolve(self, tenant: str, given: Iterable[RoleGrant]) -> tuple[Grant | None, ...]:
        """Returns what each grant allows; None for roles that there are not."""
        ...


async def checked_grants(
    caller: Caller, tenant: str, given: Sequence[RoleGrant], book: RoleBook
) -> tuple[RoleGrant, ...]:
    """Returns the grants when the caller may give them.

    Raises:
        InvalidArgumentError: one is malformed, or of a role that there is not.
        PermissionDeniedError: they allow what the caller itself may not.
    """
    check_range("grants (entries)", len(given), 0, MAX_GRANTS)
    for index, each in enumerate(given):
        _check_grant(f"grants[{index}]", each)
    resolved = await book.resolve(tenant, given)
    for index, found in enumerate(resolved):
        if found is None:
            raise InvalidArgumentError.for_field(
                f"grants[{index}].role", "is no role of this tenant; see /v1/roles"
            )
    check_may_give(caller, [each for each in resolved if each is not None])
    return tuple(given)


def check_may_give(caller: Caller, grants: Iterable[Grant]) -> None:
    """Lets grants pass that allow nothing the caller may not.

    Raises:
        PermissionDeniedError: they allow more.
    """
    if not caller.holds(grants):
        raise PermissionDeniedError(
            Reason.ROLE_REQUIRED, "nobody can give what they may not do themselves"
        )


def _check_grant(path: str, grant: RoleGrant) -> None:
    check_name(f"{path}.role", grant.role, 64)
    check_range(f"{path}.collections (entries)", len(grant.collections), 0, MAX_COLLECTIONS)
    for index, pattern in enumerate(grant.collections):
        if pattern != "*" and not _PATTERN.fullmatch(pattern):
            raise InvalidArgumentError.for_field(
                f"{path}.collections[{index}]",
                "must be the name of a collection, or the beginning of names followed by '*'",
            )
