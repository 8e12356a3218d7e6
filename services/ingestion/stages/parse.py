"""RECEIVED → PARSED: bytes to text and structure."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from services.ingestion.parsers.parsed import pack
from services.ingestion.stages.work import PARSED

if TYPE_CHECKING:
    from services.ingestion.parsers.sandbox import ParserPool
    from services.ingestion.stages.work import Work


class ParseStage:
    """Parses a document in a process of its own."""

    def __init__(self, parsers: ParserPool) -> None:
        self._parsers = parsers

    async def run(self, work: Work) -> tuple[str, bytes]:
        """Parses the stored bytes.

        Raises:
            StageFailedError: they cannot be parsed.
        """
        lease = work.lease
        pieces = await work.store.read_content(lease.content_id)
        parsed = await self._parsers.parse(pieces, work.content_type, lease.file_name)
        work.parsed = parsed
        work.title = work.title or parsed.title or _name_of(lease.file_name or lease.job.uri)
        work.warnings = list(parsed.warnings)
        return PARSED, await asyncio.to_thread(pack, parsed)


def _name_of(path: str) -> str:
    """Returns the last part of a path or address, as a title for want of a better one."""
    return path.rstrip("/").rpartition("/")[2][:200]
