"""Token vectors of the newest queries: one is embedded, asked of candidates, then of sentences."""

from __future__ import annotations

from collections import OrderedDict

from services.embedding.encoder import VectorArray

_OVERHEAD_BYTES = 300


class RecentQueries:
    """The oldest leave first. Belongs to one loop.

    Args:
        max_bytes: Memory it may hold: 4 MiB are some 200 questions of 12 tokens at 384 dimensions.
    """

    def __init__(self, max_bytes: int = 4 * 1024 * 1024) -> None:
        self._max_bytes = max_bytes
        self._rows: OrderedDict[bytes, VectorArray] = OrderedDict()
        self._bytes = 0

    def get(self, key: bytes) -> VectorArray | None:
        """Returns the rows of a query, if they are there."""
        return self._rows.get(key)

    def put(self, key: bytes, rows: VectorArray) -> None:
        """Keeps the rows of a query; a view is copied, so that it keeps nothing else alive."""
        if key in self._rows:
            return
        kept = rows.copy()
        self._rows[key] = kept
        self._bytes += kept.nbytes + _OVERHEAD_BYTES
        while self._bytes > self._max_bytes:
            _, dropped = self._rows.popitem(last=False)
            self._bytes -= dropped.nbytes + _OVERHEAD_BYTES
