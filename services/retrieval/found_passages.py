"""Passages found lately: a row of a view is of one version of a document, which never changes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from services.retrieval.queries import Passage
    from services.retrieval.view.rows import Rows

_OVERHEAD_BYTES = 900
"""About what a passage takes beside its text, with what is made of it to be sent."""


class FoundPassages:
    """Keeps passages by their rows, the oldest leaving first; rows that are gone take theirs along.

    It says nothing about whether they may still be read: that is asked of the view for each search.

    Args:
        max_bytes: About the bytes kept.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[bool, weakref.WeakKeyDictionary[Rows, dict[int, Passage]]] = {
            with_metadata: weakref.WeakKeyDictionary() for with_metadata in (False, True)
        }
        self._lock = threading.Lock()
        self._held = 0
        """Bytes that were kept when they were last counted, and what was added since."""

    def of(self, rows: Rows, *, with_metadata: bool) -> dict[int, Passage]:
        """Returns the passages of a view's rows: look them up, do not change them."""
        return self._kept[with_metadata].get(rows, {})

    def keep(
        self, rows: Rows, found: Iterable[tuple[int, Passage]], *, with_metadata: bool
    ) -> None:
        """Adds passages of a view's rows."""
        with self._lock:
            kept = self._kept[with_metadata].setdefault(rows, {})
            for row, passage in found:
                kept[row] = passage
                self._held += _size(passage)
            if self._held > self._max_bytes:
                self._held = self._shrink()

    def carry_over(self, old: Rows, new: Rows) -> None:
        """Keeps the passages of a view's rows for those that are about to take their place.

        Without it, each search after a view was made anew would read the store again. Blocks: some
        microseconds a passage.

        Args:
            old: The rows that serve.
            new: Made anew from the same documents; nobody appends to them yet.
        """
        for with_metadata in (False, True):
            passages = list(self.of(old, with_metadata=with_metadata).values())
            rows = new.newest_rows([each.document_id for each in passages])
            if not len(rows) or not new.document_count:
                continue
            known = np.maximum(rows, 0)
            versions = new.versions.rows(new.document_count)[known].tolist()
            firsts = new.first_chunks.rows(new.document_count)[known].tolist()
            same = [
                (first + passage.ordinal, passage)
                for passage, row, version, first in zip(
                    passages, rows.tolist(), versions, firsts, strict=True
                )
                if row >= 0 and version == passage.document_version
            ]
            self.keep(new, same, with_metadata=with_metadata)

    def _shrink(self) -> int:
        """Drops the older half of each view's until a quarter is free; returns what is kept."""
        views = [each for group in self._kept.values() for each in group.values()]
        while True:
            held = sum(_size(each) for kept in views for each in list(kept.values()))
            if held <= self._max_bytes * 3 // 4:
                return held
            for kept in views:
                for row in list(kept)[: -(-len(kept) // 2)]:
                    del kept[row]


def _size(passage: Passage) -> int:
    # Kept as text and as the bytes that are sent, by themselves and with what comes before them.
    return _OVERHEAD_BYTES + 4 * len(passage.text)
