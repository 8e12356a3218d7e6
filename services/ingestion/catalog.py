"""What is known of collections at the door, without asking retrieval for every document."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.rpc.errors import DeadlineExceededError, ResourceExhaustedError, UnavailableError

if TYPE_CHECKING:
    from services.ingestion.ports import CollectionInfo, Index
    from services.rpc.scope import Scope

_KNOWN_SECONDS = 2.0
"""An alias that is set to another collection takes effect within this time."""
_WAIT_SECONDS = 1.0
"""A submission does not wait longer for retrieval than this: what it says is checked again when the
document is indexed."""
_MAX_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class _Entry:
    info: CollectionInfo | None
    until: float


class Catalog:
    """Collections by name or alias, remembered for a moment."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._entries: dict[tuple[str, str], _Entry] = {}

    async def find(self, scope: Scope, name: str) -> CollectionInfo | None:
        """Returns a collection; None when there is none, or retrieval does not answer now."""
        key = (scope.tenant, name)
        entry = self._entries.get(key)
        if entry is not None and entry.until > time.monotonic():
            return entry.info
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                info = await self._index.find_collection(scope, name)
        except (
            TimeoutError,
            UnavailableError,
            DeadlineExceededError,
            ResourceExhaustedError,
        ):
            return entry.info if entry is not None else None
        if len(self._entries) >= _MAX_ENTRIES:
            self._entries.clear()
        self._entries[key] = _Entry(info, time.monotonic() + _KNOWN_SECONDS)
        return info
