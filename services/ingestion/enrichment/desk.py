"""What callers may set of enrichment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.ingestion.enrichment.settings import (
    EnrichmentSettings,
    check_settings,
    from_json,
    to_json,
)

if TYPE_CHECKING:
    from services.ingestion.sources.store import EnrichmentStore


class EnrichmentDesk:
    """Reads and sets the settings of collections.

    Args:
        store: Keeps them.
        defaults: Those of collections without settings of their own.
        hooks: Names of the functions that the service is set up with.
        has_key: Whether personal identifiers can be hashed.
    """

    def __init__(
        self,
        store: EnrichmentStore,
        defaults: EnrichmentSettings,
        *,
        hooks: tuple[str, ...],
        has_key: bool,
    ) -> None:
        self._store = store
        self._defaults = defaults
        self.hooks = hooks
        self._has_key = has_key

    async def get(self, tenant: str, collection: str) -> tuple[EnrichmentSettings, bool]:
        """Returns a collection's settings, and whether they are its own."""
        text = await self._store.get(tenant, collection)
        return (self._defaults, False) if text is None else (from_json(text), True)

    async def put(
        self, tenant: str, collection: str, settings: EnrichmentSettings | None
    ) -> EnrichmentSettings:
        """Sets a collection's settings; None: those of the service.

        Raises:
            InvalidArgumentError: a hook is not known.
            FailedPreconditionError: there is no key to hash personal identifiers with.
        """
        if settings is not None:
            check_settings(settings, known_hooks=self.hooks, has_key=self._has_key)
        await self._store.put(tenant, collection, None if settings is None else to_json(settings))
        return settings or self._defaults
