"""The documents written last, at hand as they were written.

A search that finds one answers without asking the store. That is not only quicker: beside a flow of
writes the store may hold the document's next version already, which the view does not have yet and
nobody was told of; looked up there, the hit would seem replaced and the search be repeated.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from services.retrieval.queries import Passage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.retrieval.store.changes import DocumentState

_MAX_BYTES = 16 << 20
"""About the bytes kept: of documents of a sentence, those of a second at full speed."""
_OVERHEAD_BYTES = 900
"""About what a document takes beside its text."""


class RecentDocuments:
    """Documents by their rows, the oldest leaving first. One thread adds, any thread reads.

    It says nothing about whether they still live: that is asked of the state that is searched.

    Args:
        max_bytes: About the bytes kept.
    """

    __slots__ = ("_kept", "_max_bytes", "_parts", "nbytes")

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[int, DocumentState] = {}
        self._parts: deque[tuple[int, int, int]] = deque()
        """First row, row after the last, and bytes of what was added at once."""
        self.nbytes = 0
        """About the bytes kept."""

    def add(self, first: int, documents: Sequence[DocumentState]) -> None:
        """Takes the documents of consecutive rows over; their vectors are let go.

        Args:
            first: Row of the first.
            documents: As they were written, in the order of their rows.
        """
        nbytes = sum([len(each.text) for each in documents]) + _OVERHEAD_BYTES * len(documents)
        if not documents or nbytes > self._max_bytes // 4:
            return  # long texts would soon drive each other out
        for row, each in enumerate(documents, first):
            each.vectors = b""
            self._kept[row] = each
        self._parts.append((first, first + len(documents), nbytes))
        self.nbytes += nbytes
        while self.nbytes > self._max_bytes:
            start, end, size = self._parts.popleft()
            for row in range(start, end):
                self._kept.pop(row, None)
            self.nbytes -= size

    def clear(self) -> None:
        """Lets all go: nothing was written for a while, and the store can be asked."""
        self._kept, self._parts, self.nbytes = {}, deque(), 0

    def passage(self, row: int, ordinal: int, *, with_metadata: bool) -> Passage | None:
        """Returns a chunk of the document of a row, or None when it is not at hand.

        Args:
            row: Of the document.
            ordinal: Place of the chunk in it.
            with_metadata: Whether the passage needs the document's metadata.
        """
        document = self._kept.get(row)
        if document is None:
            return None
        chunk = document.chunks[ordinal]
        return Passage(
            document_id=document.document_id,
            document_version=document.version,
            chunk_id=chunk.chunk_id,
            ordinal=ordinal,
            start=chunk.start,
            end=chunk.end,
            text=document.text[chunk.start : chunk.end],
            title=document.title,
            uri=document.uri,
            heading_path=chunk.heading_path,
            page=chunk.page,
            metadata=document.metadata if with_metadata else {},
        )
