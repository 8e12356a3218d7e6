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
    """The newest versions by document, the oldest leaving first. One thread adds, any thread reads.

    It says nothing about whether they still live: that is asked of the state that is searched. It
    knows no rows, and goes over from a view's rows to those that are made anew without dead ones.

    Args:
        max_bytes: About the bytes kept.
    """

    __slots__ = ("_kept", "_max_bytes", "_parts", "nbytes")

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[str, DocumentState] = {}
        self._parts: deque[tuple[Sequence[DocumentState], int]] = deque()
        """What was added at once, with about its bytes."""
        self.nbytes = 0
        """About the bytes kept."""

    def add(self, documents: Sequence[DocumentState]) -> None:
        """Takes documents over as they were written; their vectors are let go."""
        nbytes = sum([len(each.text) for each in documents]) + _OVERHEAD_BYTES * len(documents)
        if not documents or nbytes > self._max_bytes // 4:
            return  # long texts would soon drive each other out
        for each in documents:
            each.vectors = b""
            self._kept[each.document_id] = each
        self._parts.append((documents, nbytes))
        self.nbytes += nbytes
        while self.nbytes > self._max_bytes:
            gone, size = self._parts.popleft()
            for each in gone:
                if self._kept.get(each.document_id) is each:
                    del self._kept[each.document_id]
            self.nbytes -= size

    def clear(self) -> None:
        """Lets all go: nothing was written for a while, and the store can be asked."""
        self._kept, self._parts, self.nbytes = {}, deque(), 0

    def passage(
        self, document_id: str, version: int, ordinal: int, *, with_metadata: bool
    ) -> Passage | None:
        """Returns a chunk of a version of a document, or None when it is not at hand.

        Args:
            document_id: Which document.
            version: Which version of it.
            ordinal: Place of the chunk in it.
            with_metadata: Whether the passage needs the document's metadata.
        """
        document = self._kept.get(document_id)
        if document is None or document.version != version:
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
