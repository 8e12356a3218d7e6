"""Passages found lately: a version of a document never changes, so neither do its passages."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from services.retrieval.queries import Passage

Key: TypeAlias = tuple[str, int, int]
"""Document id, version and ordinal of a chunk."""

_OVERHEAD_BYTES = 900
"""About what a passage takes beside its text, with what is made of it to be sent."""


class FoundPassages:
    """Keeps passages by what they are, the oldest leaving first.

    It says nothing about whether they may still be read: that is asked of the view for each search.

    Args:
        max_bytes: About the bytes kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: dict[tuple[int, bool], dict[Key, Passage]] = {}
        self._lock = threading.Lock()

    def of(self, collection_id: int, *, with_metadata: bool) -> dict[Key, Passage]:
        """Returns the passages of a collection: look them up, do not change them."""
        return self._kept.get((collection_id, with_metadata), {})

    def keep(
        self, collection_id: int, found: Iterable[tuple[Key, Passage]], *, with_metadata: bool
    ) -> None:
        """Adds passages of a collection."""
        with self._lock:
            kept = self._kept.setdefault((collection_id, with_metadata), {})
            for key, passage in found:
                if key not in kept:
                    kept[key] = passage
                    self._bytes += _size(passage)
            while self._bytes > self._max_bytes:
                self._evict()

    def _evict(self) -> None:
        """Drops a sixteenth of the largest collection's passages, the oldest."""
        owner, kept = max(self._kept.items(), key=lambda pair: len(pair[1]))
        if not kept:
            self._kept.clear()
            self._bytes = 0
            return
        for key in list(kept)[: max(1, len(kept) // 16)]:
            self._bytes -= _size(kept.pop(key))
        if not kept:
            del self._kept[owner]


def _size(passage: Passage) -> int:
    # Kept as text and as the bytes that are sent.
    return _OVERHEAD_BYTES + 3 * len(passage.text)
