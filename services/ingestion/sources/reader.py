"""What a kind of source has to be able to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from services.ingestion.sources.model import Fetched, Found

BATCH = 100
"""Items that are looked at together."""


class SourceReader(Protocol):
    """Lists and reads the items of one source."""

    excluded_count: int
    """Items passed over so far because they are no documents."""

    def scan(self) -> AsyncIterator[Sequence[Found]]:
        """Yields all items, some at a time.

        Raises:
            SourceFailedError: the source cannot be listed.
        """
        ...

    async def find(self, path: str) -> Found | None:
        """Returns one item, or None when it is not there.

        Raises:
            SourceFailedError: the source does not answer.
        """
        ...

    async def read(self, item: Found, known_version: str) -> Fetched | None:
        """Returns an item's bytes, or None when it still has the version that is known.

        Raises:
            ItemGoneError: it is not there any more.
            ItemFailedError: it cannot be read, or is too large.
            SourceFailedError: the source does not answer.
        """
        ...
