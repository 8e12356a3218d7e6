"""Counts documents that arrive: before, as announced; after, as accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING

from services.gateway.limits.gate import Amounts

if TYPE_CHECKING:
    from services.gateway.library import Submission
    from services.gateway.usage import Meter


def arriving(document_count: int, byte_count: int) -> Amounts:
    """Returns what so many documents take. Each becomes one vector at least."""
    return Amounts(documents=document_count, bytes=byte_count, vectors=document_count)


def arrived(meter: Meter, submissions: Iterable[tuple[Submission, int]]) -> None:
    """Notes what was accepted.

    Args:
        meter: Of the request.
        submissions: Each with the bytes of its document.
    """
    for submission, size_bytes in submissions:
        if submission.document is not None:
            meter.document_count += 1
            meter.vector_count += 1
            meter.byte_count += size_bytes


class CountedBytes:
    """Bytes as they come, counted.

    Args:
        content: They.
    """

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self._content = content
        self.size_bytes = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        """Returns the next bytes."""
        chunk = await anext(self._content)
        self.size_bytes += len(chunk)
        return chunk
