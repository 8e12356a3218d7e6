"""Finds out about a parsed document what its collection asks for."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from services.ingestion.document import metadata_to_json
from services.ingestion.enrichment import dates
from services.ingestion.enrichment.hooks import HookFailedError
from services.ingestion.enrichment.personal import Identifier, IdentifierHasher, find_identifiers
from services.ingestion.enrichment.replacing import replace_in_document
from services.ingestion.enrichment.settings import (
    EnrichmentSettings,
    HookFailurePolicy,
    PersonalDataPolicy,
    from_json,
)
from services.ingestion.failures import FailureReason, StageFailedError
from services.languages.telling import language_of_text

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.ingestion.enrichment.hooks import Hooks
    from services.ingestion.parsers.parsed import ParsedDocument
    from services.ingestion.sources.store import EnrichmentStore
    from services.ingestion.stages.work import Work

_KNOWN_SECONDS = 1.0
_MAX_KNOWN = 10_000
_MAX_TAGS = 1000
_SHOWN_DIGITS = 8


class Enriching(Protocol):
    """A step between parsing and cutting."""

    async def enrich(self, work: Work, parsed: ParsedDocument) -> ParsedDocument:
        """Returns the document with what was found out about it.

        Raises:
            StageFailedError: ENRICHMENT_FAILED.
        """
        ...


class NoEnrichment:
    """Finds out nothing."""

    async def enrich(self, work: Work, parsed: ParsedDocument) -> ParsedDocument:
        """Returns the document as it is."""
        return parsed


@dataclass(slots=True)
class Enricher:
    """Finds out what the settings of a document's collection say.

    Args:
        store: Has the collections' settings.
        defaults: Those of collections without settings of their own.
        hooks: The operator's functions.
        hasher: Hashes personal identifiers; None: there is no key, and none are looked for.
    """

    store: EnrichmentStore
    defaults: EnrichmentSettings
    hooks: Hooks
    hasher: IdentifierHasher | None
    _known: dict[tuple[str, str], tuple[EnrichmentSettings, float]] = field(
        default_factory=dict, init=False
    )

    async def enrich(self, work: Work, parsed: ParsedDocument) -> ParsedDocument:
        """Returns the document with what was found out about it (see `Enriching`)."""
        key = work.lease.job.key
        settings = await self._settings(key.tenant, key.collection)
        if settings.is_off:
            return parsed
        parsed, enriched = await asyncio.to_thread(self._found, settings, key.tenant, parsed)
        for name in settings.hooks:
            enriched |= await self._called(name, work, parsed, enriched, settings)
        return dataclasses.replace(parsed, enriched=enriched)

    async def _settings(self, tenant: str, collection: str) -> EnrichmentSettings:
        key = (tenant, collection)
        known = self._known.get(key)
        if known is not None and known[1] > time.monotonic():
            return known[0]
        text = await self.store.get(tenant, collection)
        settings = self.defaults if text is None else from_json(text)
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = (settings, time.monotonic() + _KNOWN_SECONDS)
        return settings

    def _found(
        self, settings: EnrichmentSettings, tenant: str, parsed: ParsedDocument
    ) -> tuple[ParsedDocument, dict[str, Value | None]]:
        enriched: dict[str, Value | None] = {}
        if settings.detect_language and (code := language_of_text(parsed.text)):
            enriched["language"] = code
        if settings.detect_dates and (days := dates.find_days(parsed.text)):
            enriched["first_date"] = dates.timestamp_of(min(days))
            enriched["last_date"] = dates.timestamp_of(max(days))
        if settings.personal_data is PersonalDataPolicy.OFF:
            return parsed, enriched
        if self.hasher is None:
            raise StageFailedError(
                FailureReason.ENRICHMENT_FAILED,
                "personal identifiers cannot be hashed: this process has no key; set "
                "CAIRN_INGESTION_PERSONAL_DATA_KEY",
                is_retryable=True,
            )
        identifiers = find_identifiers(parsed.text)
        enriched |= self._hashes(tenant, identifiers)
        if settings.personal_data is PersonalDataPolicy.REPLACE:
            parsed = replace_in_document(
                parsed, identifiers, lambda each: self._token(tenant, each)
            )
        return parsed, enriched

    def _hashes(self, tenant: str, identifiers: list[Identifier]) -> dict[str, Value | None]:
        assert self.hasher is not None
        by_kind: dict[str, set[str]] = defaultdict(set)
        for each in identifiers:
            by_kind[each.kind].add(self.hasher.hash(tenant, each.kind, each.value))
        if not by_kind:
            return {}
        fields: dict[str, Value | None] = {
            f"personal_{kind}": frozenset(sorted(hashes)[:_MAX_TAGS])
            for kind, hashes in by_kind.items()
        }
        return fields | {"personal_kinds": frozenset(by_kind)}

    def _token(self, tenant: str, identifier: Identifier) -> str:
        assert self.hasher is not None
        digest = self.hasher.hash(tenant, identifier.kind, identifier.value)
        return f"[{identifier.kind} {digest[:_SHOWN_DIGITS]}]"

    async def _called(
        self,
        name: str,
        work: Work,
        parsed: ParsedDocument,
        enriched: Mapping[str, Value | None],
        settings: EnrichmentSettings,
    ) -> dict[str, Value | None]:
        job = work.lease.job
        document = {
            "document_id": job.key.document_id,
            "collection": job.key.collection,
            "tenant": job.key.tenant,
            "uri": job.uri,
            "title": work.title or parsed.title,
            "content_type": work.content_type,
            "text": parsed.text,
            "metadata": _plain({**enriched, **work.lease.metadata}),
        }
        try:
            return await self.hooks.call(name, document)
        except HookFailedError as error:
            message = f"enrichment function {name!r} {error}"
            if settings.on_hook_failure is HookFailurePolicy.SKIP:
                work.warnings.append(f"{message}; the document is without what it adds")
                return {}
            raise StageFailedError(FailureReason.ENRICHMENT_FAILED, message) from error


def _plain(metadata: Mapping[str, Value | None]) -> dict[str, object]:
    """Returns metadata as JSON has it: tags as lists, points in time as microseconds since 1970."""
    return {name: value for name, (_, value) in json.loads(metadata_to_json(metadata)).items()}
