"""Vectors of texts seen before: in the memory of the process, and in a store that replicas share.

What memory does not have is asked of the store in one round trip; what the store has goes to
memory. The store may be missing, slow or frozen: see `shared_cache`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.embedding.encoder import VectorArray
from services.embedding.metrics import CACHE_BYTES, CACHE_LOOKUPS
from services.rpc.metrics import series

_ENTRY_OVERHEAD_BYTES = 400
"""Key, order and objects of an entry, beside its vector and codes."""


@dataclass(frozen=True, slots=True, eq=False)
class CachedVector:
    """What is kept of a text: enough to answer with any options."""

    vector: VectorArray
    """(dimensions,), not normalised."""
    token_count: int
    is_truncated: bool
    codes: bytes = b""
    """Token codes; empty: they were not asked for."""


def cache_key(*, tenant: str, revision: str, prompt: str, content: bytes) -> bytes:
    """Returns the key of a text for one tenant, model and prompt.

    Tenants share nothing: a hit would tell one that another embedded the same text.
    """
    digest = hashlib.blake2b(digest_size=24)
    for part in (tenant.encode(), revision.encode(), prompt.encode()):
        digest.update(len(part).to_bytes(4) + part)
    digest.update(content)
    return digest.digest()


class LocalCache:
    """The least recently used entries leave first. Belongs to one thread.

    Args:
        max_bytes: Memory it may hold; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, CachedVector] = OrderedDict()
        self._bytes = 0
        CACHE_BYTES.set_function(lambda: self._bytes)

    @property
    def size_bytes(self) -> int:
        """Memory held."""
        return self._bytes

    def get(self, key: bytes, *, with_codes: bool = False) -> CachedVector | None:
        """Returns the entry and makes it the most recently used one.

        Args:
            key: Of the text.
            with_codes: Whether an entry without token codes is none.
        """
        entry = self._entries.get(key)
        if entry is None or (with_codes and not entry.codes):
            return None
        self._entries.move_to_end(key)
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


class SharedCache(Protocol):
    """Vectors that all replicas of the service share. Never fails: at worst it knows nothing."""

    async def get(self, keys: Sequence[bytes]) -> dict[bytes, CachedVector]:
        """Returns what there is of the keys."""
        ...

    def put(self, entries: Sequence[tuple[bytes, CachedVector]]) -> None:
        """Keeps entries, some time soon; nobody waits for it."""
        ...

    async def close(self) -> None:
        """Ends its connections."""
        ...


class VectorCache:
    """Both tiers. Belongs to one loop.

    Args:
        local: In memory.
        shared: Elsewhere, if there is such a place.
    """

    def __init__(self, local: LocalCache, shared: SharedCache | None = None) -> None:
        self._local = local
        self._shared = shared

    async def get(
        self, keys: Sequence[bytes], *, with_codes: bool = False
    ) -> dict[bytes, CachedVector]:
        """Returns what there is of the keys; with codes, only entries that have some."""
        found: dict[bytes, CachedVector] = {}
        missing: list[bytes] = []
        for key in dict.fromkeys(keys):
            entry = self._local.get(key, with_codes=with_codes)
            if entry is None:
                missing.append(key)
            else:
                found[key] = entry
        series(CACHE_LOOKUPS, "local", "hit").inc(len(found))
        series(CACHE_LOOKUPS, "local", "miss").inc(len(missing))
        if self._shared is not None and missing:
            fetched = {
                key: entry
                for key, entry in (await self._shared.get(missing)).items()
                if entry.codes or not with_codes
            }
            series(CACHE_LOOKUPS, "shared", "hit").inc(len(fetched))
            series(CACHE_LOOKUPS, "shared", "miss").inc(len(missing) - len(fetched))
            self._local.put(fetched.items())
            found |= fetched
        return found

    def put(self, entries: Sequence[tuple[bytes, CachedVector]]) -> None:
        """Keeps entries in both tiers."""
        self._local.put(entries)
        if self._shared is not None and entries:
            self._shared.put(entries)

    async def close(self) -> None:
        """Ends the connections of the shared tier."""
        if self._shared is not None:
            await self._shared.close()


def _size(entry: CachedVector) -> int:
    return entry.vector.nbytes + len(entry.codes) + _ENTRY_OVERHEAD_BYTES
