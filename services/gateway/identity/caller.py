"""The owner of an accepted credential."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.gateway.audit.trail import note_access
from services.gateway.identity.grants import Grant, builtin_grant
from services.gateway.identity.permissions import Operation, Role
from services.rpc.errors import PermissionDeniedError, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from services.rpc.scope import Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and what they may do.

    Ask with `may`, insist with `require`: once and first in each operation, with the collection
    where there is one. Without one, a caller whose grants name collections is refused.
    """

    key_id: str
    """Stable identifier of the key; of a token's subject, "user:<subject>"."""
    role: Role
    """Greatest built-in role that is held for every collection; CUSTOM: none."""
    scope: Scope
    grants: tuple[Grant, ...] | None = None
    """What the credential allows; None: what `role` does, everywhere."""
    bounds: tuple[Grant, ...] | None = None
    """What the user allows whose key it is: nothing passes that one of the two refuses. None: the
    key is nobody's."""
    user_id: str = ""
    """User on whose behalf; empty: none."""
    name: str = ""
    """Name of the key or user, for people."""

    @property
    def held(self) -> tuple[Grant, ...]:
        """What the credential allows."""
        return (builtin_grant(self.role),) if self.grants is None else self.grants

    def may(self, operation: Operation, collection: str | None = None) -> bool:
        """Whether the operation would pass."""
        if self.grants is None:
            allowed = operation.role <= self.role
        else:
            allowed = any(grant.allows(operation, collection) for grant in self.grants)
        if not allowed or self.bounds is None:
            return allowed
        return any(grant.allows(operation, collection) for grant in self.bounds)

    def require(self, operation: Operation, collection: str | None = None) -> None:
        """Lets the operation pass.

        Args:
            operation: What is asked.
            collection: Where, as the request names it; None for what belongs to no collection.

        Raises:
            PermissionDeniedError: no role of the caller allows it.
        """
        allowed = self.may(operation, collection)
        note_access(operation.label, collection or "", is_change=operation.is_change)
        if not allowed:
            raise self._refusal(operation, collection)

    def holds(self, grants: Iterable[Grant]) -> bool:
        """Whether the caller may itself all that the grants would allow, and so may give them."""
        mine = [self.held] if self.bounds is None else [self.held, self.bounds]
        return all(
            any(own.holds(operation, pattern) for own in each)
            for given in grants
            for pattern in given.collections or ("",)
            for operation in given.permissions
            for each in mine
        )

    def _refusal(self, operation: Operation, collection: str | None) -> PermissionDeniedError:
        needed = operation.role.label
        has = repr(self.role.label) if self.role else "only what its grants say"
        where = "" if collection is None else f" for the collection {collection!r}"
        return PermissionDeniedError(
            Reason.ROLE_REQUIRED,
            f"this needs the role {needed!r}{where}; the key has {has}",
            metadata={"required_role": needed, "permission": operation.label},
        )
