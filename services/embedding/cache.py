"""Vectors of texts seen before, in the memory of the process, bounded in bytes."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from services.embedding.encoder import VectorArray
from services.embedding.metrics import CACHE_BYTES, CACHE_LOOKUPS

_ENTRY_OVERHEAD_BYTES = 400
"""Key, order and objects of an entry, beside its vector."""


@dataclass(frozen=True, slots=True, eq=False)
class CachedVector:
    """What is kept of a text: enough to answer with any options."""

    vector: VectorArray
    """(dimensions,), not normalised."""
    token_count: int
    is_truncated: bool


def cache_key(*, tenant: str, revision: str, prompt: str, content: bytes) -> bytes:
    """Returns the key of a text for one tenant, model and prompt.

    Tenants share nothing: a hit would tell one that another embedded the same text.
    """
    digest = hashlib.blake2b(digest_size=24)
    for part in (tenant.encode(), revision.encode(), prompt.encode()):
        digest.update(len(part).to_bytes(4) + part)
    digest.update(content)
    return digest.digest()


class VectorCache:
    """The least recently used entries leave first. Belongs to one thread.

    Args:
        max_bytes: Memory it may hold; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, CachedVector] = OrderedDict()
        self._bytes = 0

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self._bytes

    def get(self, key: bytes) -> CachedVector | None:
        """Returns the entry and makes it the most recently used one."""
        entry = self._entries.get(key)
        if entry is None:
            CACHE_LOOKUPS.labels("miss").inc()
            return None
        self._entries.move_to_end(key)
        CACHE_LOOKUPS.labels("hit").inc()
        return entry

    def put(self, entries: Iterable[tuple[bytes, CachedVector]]) -> None:
        """Adds entries; the oldest leave."""
        for key, entry in entries:
            size = _size(entry)
            if size > self._max_bytes:
                continue
            replaced = self._entries.pop(key, None)
            if replaced is not None:
                self._bytes -= _size(replaced)
            self._entries[key] = entry
            self._bytes += size
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= _size(dropped)
        CACHE_BYTES.set(self._bytes)


def _size(entry: CachedVector) -> int:
    return entry.vector.nbytes + _ENTRY_OVERHEAD_BYTES
