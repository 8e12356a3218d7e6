"""Puts together what sources and enrichment consist of, from the settings."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from services.ingestion.enrichment.desk import EnrichmentDesk
from services.ingestion.enrichment.enricher import Enricher
from services.ingestion.enrichment.hooks import Hooks, parse_hooks
from services.ingestion.enrichment.personal import IdentifierHasher
from services.ingestion.enrichment.settings import EnrichmentSettings, PersonalDataPolicy
from services.ingestion.failpoint import Failpoint
from services.ingestion.sources.desk import SourceDesk
from services.ingestion.sources.schedule import Readers, SourceSchedule, parse_credentials
from services.ingestion.sources.settings_check import Allowed
from services.ingestion.sources.store import EnrichmentStore, SourceStore
from services.ingestion.sources.web import WebFetcher, WebLimits
from services.ingestion.sources.web_address import InternalHosts, Resolver

if TYPE_CHECKING:
    from services.ingestion.deletion import Deletions
    from services.ingestion.deletion_query import DeletionQueries
    from services.ingestion.intake import Intake
    from services.ingestion.settings import IngestionSettings
    from services.ingestion.sources.store import Database

S = TypeVar("S")
T = TypeVar("T")

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SourceParts:
    """Sources and enrichment, put together.

    Args:
        settings: Of the service.
        sources: Where sources are kept.
        enrichment: Where enrichment settings are kept.
        hooks: The operator's functions.
        hasher: Hashes personal identifiers; None: there is no key.
        readers: Make the readers of sources.
    """

    settings: IngestionSettings
    sources: SourceStore
    enrichment: EnrichmentStore
    hooks: Hooks
    hasher: IdentifierHasher | None
    readers: Readers

    def desk(self, intake: Intake, deletions: DeletionQueries) -> SourceDesk:
        """Returns what callers may do with sources."""
        settings = self.settings
        return SourceDesk(
            self.sources,
            Allowed(
                folders=tuple(Path(os.path.normpath(each)) for each in settings.source_folders),
                protocols=settings.source_protocols,
                credentials=tuple(self.readers.credentials),
            ),
            intake,
            deletions,
            self.readers.fetcher,
            max_sources=settings.max_sources_per_tenant,
        )

    def enrichment_desk(self) -> EnrichmentDesk:
        """Returns what callers may set of enrichment."""
        return EnrichmentDesk(
            self.enrichment,
            _defaults(self.settings),
            hooks=self.hooks.names,
            has_key=self.hasher is not None,
        )

    def enricher(self) -> Enricher:
        """Returns the step between parsing and cutting."""
        return Enricher(self.enrichment, _defaults(self.settings), self.hooks, self.hasher)

    def schedule(self, intake: Intake, deletions: Deletions, owner: str) -> SourceSchedule:
        """Returns what goes through sources when they are due."""
        return SourceSchedule(
            self.sources,
            self.readers,
            intake,
            deletions,
            owner=owner,
            failpoint=Failpoint(self.settings.failpoint),
        )


async def open_parts(
    settings: IngestionSettings, database: Database, stack: contextlib.AsyncExitStack
) -> SourceParts:
    """Puts the parts together; they are closed with the stack.

    Raises:
        ServiceError: the database does not answer.
        ValueError: a setting cannot be read; the text says which, and never its value.
    """
    hooks = await stack.enter_async_context(
        Hooks(
            _read("enrichment_hooks", parse_hooks, settings.enrichment_hooks),
            settings.enrichment_hook_seconds,
        )
    )
    sources = await SourceStore.open(database, lease_seconds=settings.lease_seconds)
    hasher = _hasher(settings)
    spool_folder = spool_folder_of(settings)
    if hasher is None and _defaults(settings).personal_data is not PersonalDataPolicy.OFF:
        raise ValueError("CAIRN_INGESTION_PERSONAL_DATA_KEY is needed to hash identifiers")
    fetcher = WebFetcher(
        Resolver(_read("url_internal_hosts", InternalHosts.parse, settings.url_internal_hosts)),
        WebLimits(settings.max_document_bytes, settings.url_seconds, settings.url_max_redirects),
        spool_folder,
    )
    credentials = settings.source_credentials.get_secret_value()
    return SourceParts(
        settings,
        sources,
        EnrichmentStore(database),
        hooks,
        hasher,
        Readers(
            fetcher,
            spool_folder,
            max_bytes=settings.max_document_bytes,
            max_items=settings.source_max_items,
            credentials=_read("source_credentials", parse_credentials, credentials),
        ),
    )


def spool_folder_of(settings: IngestionSettings) -> Path:
    """Returns where large documents lie while they come in."""
    return settings.data_dir / "ingestion" / "spool"


def _read(name: str, parse: Callable[[S], T], value: S) -> T:
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"CAIRN_INGESTION_{name.upper()} {error}") from None


def _defaults(settings: IngestionSettings) -> EnrichmentSettings:
    return EnrichmentSettings(
        detect_language=settings.enrich_language,
        detect_dates=settings.enrich_dates,
        personal_data=PersonalDataPolicy[settings.enrich_personal_data.upper()],
    )


def _hasher(settings: IngestionSettings) -> IdentifierHasher | None:
    """Returns the hasher: with the key that is set, else one made once beside the database."""
    key = settings.personal_data_key.get_secret_value()
    if key:
        return IdentifierHasher(key.encode())
    if settings.database_url.get_secret_value():
        return None  # several machines may share the database, and must share the key
    path = settings.data_dir / "ingestion" / "personal-data.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_KEY_BYTES))
    return IdentifierHasher(path.read_text("ascii").strip().encode())
