"""A role given for all collections of a tenant, or for some."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.gateway.identity.permissions import Operation, Role


@dataclass(frozen=True, slots=True)
class Grant:
    """What a role allows, and where."""

    role: str
    """Name of the role, built-in or the tenant's own."""
    permissions: frozenset[Operation]
    collections: tuple[str, ...] = ()
    """Names of collections, a trailing "*" standing for any ending; empty: every collection, and
    what belongs to no collection. A name counts as the request gives it: an alias is granted by
    its own name."""

    def allows(self, operation: Operation, collection: str | None) -> bool:
        """Whether it lets the operation pass.

        Args:
            operation: What is asked.
            collection: Where; None for what belongs to none.
        """
        if operation not in self.permissions:
            return False
        if not self.collections:
            return True
        if collection is None:
            return operation.is_anywhere
        return any(_matches(pattern, collection) for pattern in self.collections)

    def holds(self, operation: Operation, pattern: str) -> bool:
        """Whether it allows the operation on all that a pattern stands for; "": everywhere."""
        if operation not in self.permissions:
            return False
        if not self.collections:
            return True
        return bool(pattern) and any(_covers(each, pattern) for each in self.collections)


def builtin_grant(role: Role, collections: Iterable[str] = ()) -> Grant:
    """Returns the grant of a built-in role."""
    return Grant(role.label, role.permissions, tuple(collections))


def greatest_role(grants: Iterable[Grant]) -> Role:
    """Returns the greatest built-in role that is held for every collection; CUSTOM for none."""
    held = frozenset(
        operation for grant in grants if not grant.collections for operation in grant.permissions
    )
    return max((role for role in Role if role and role.permissions <= held), default=Role.CUSTOM)


def _matches(pattern: str, name: str) -> bool:
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def _covers(wide: str, narrow: str) -> bool:
    if wide.endswith("*"):
        return narrow.removesuffix("*").startswith(wide[:-1])
    return wide == narrow
