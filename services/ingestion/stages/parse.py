"""RECEIVED → PARSED: bytes to text and structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.ingestion.enrichment.enricher import NoEnrichment
from services.ingestion.parsers.parsed import pack
from services.ingestion.stages.work import PARSED, aside

if TYPE_CHECKING:
    from services.ingestion.enrichment.enricher import Enriching
    from services.ingestion.parsers.sandbox import ParserPool
    from services.ingestion.stages.work import Work


class ParseStage:
    """Parses a document in a process of its own.

    Args:
        parsers: Processes for all.
        express_parsers: Processes for tenants that have next to nothing in work; None: the same.
        enricher: Finds out more about what was parsed.
    """

    def __init__(
        self,
        parsers: ParserPool,
        express_parsers: ParserPool | None = None,
        enricher: Enriching | None = None,
    ) -> None:
        self._parsers = parsers
        self._enricher = enricher or NoEnrichment()
        self._express_parsers = express_parsers or parsers

    async def run(self, work: Work) -> tuple[str, bytes]:
        """Parses the stored bytes.

        Raises:
            StageFailedError: they cannot be parsed.
        """
        lease = work.lease
        pieces = await work.store.read_content(lease.content_id, lease.job.size_bytes)
        parsers = self._express_parsers if work.is_express else self._parsers
        parsed = await parsers.parse(pieces, work.content_type, lease.file_name)
        work.warnings = list(parsed.warnings)
        parsed = await self._enricher.enrich(work, parsed)
        work.parsed = parsed
        work.title = work.title or parsed.title or _name_of(lease.file_name or lease.job.uri)
        work.content_type = parsed.content_type or work.content_type
        return PARSED, await aside(len(parsed.text), pack, parsed)


def _name_of(path: str) -> str:
    """Returns the last part of a path or address, as a title for want of a better one."""
    return path.rstrip("/").rpartition("/")[2][:200]
