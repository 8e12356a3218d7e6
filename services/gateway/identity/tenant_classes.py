"""The class of any tenant, for limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.store.directory import Directory
    from services.rpc.scope import TenantClass


class TenantClasses:
    """Looks classes up.

    Args:
        directory: Knows tenants.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def class_of(self, tenant: str) -> TenantClass:
        """Returns the class of a tenant; of one that is not known, the standard one."""
        return (await self._directory.standing_of(tenant, "")).tenant_class
