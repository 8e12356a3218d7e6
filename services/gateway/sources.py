"""Sources, fetching and deleting as the gateway shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.gateway.passages import Metadata

KINDS = ("folder", "url", "object_store")
PRIORITIES = ("low", "normal", "high")
REMOVAL_POLICIES = ("delete", "keep")
PERSONAL_DATA_POLICIES = ("off", "hash", "replace")
HOOK_FAILURE_POLICIES = ("fail", "skip")
MAX_URLS = 100


@dataclass(frozen=True, slots=True)
class SourceRule:
    """What holds for items whose path matches; empty: as the source says."""

    pattern: str
    is_excluded: bool = False
    acl: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    collection: str = ""
    priority: str = ""
    on_removal: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """Where documents come from; fields as in `cairn.ingestion.v1.Source`."""

    name: str
    kind: str
    location: str = ""
    urls: tuple[str, ...] = ()
    collection: str = ""
    rules: tuple[SourceRule, ...] = ()
    acl: tuple[str, ...] = ()
    metadata: Metadata = field(default_factory=dict)
    priority: str = ""
    on_removal: str = ""
    sync_interval_seconds: float | None = None
    owner: str = ""
    credentials: str = ""
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something failed."""

    reason: str
    message: str
    is_retryable: bool


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Figures of one synchronisation; fields as in the contract."""

    sync_number: int
    started_at: datetime | None
    ended_at: datetime | None
    counts: Mapping[str, int]
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """State of a source."""

    state: str
    report: SyncReport | None
    next_sync_at: datetime | None
    item_count: int
    failed_count: int
    pending_count: int
    last_success_at: datetime | None
    requested_sync_number: int
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class SourceEntry:
    """A source with its state."""

    source: Source
    status: SourceStatus


@dataclass(frozen=True, slots=True)
class SourceItem:
    """One item of a source."""

    path: str
    collection: str
    document_id: str
    job_id: str
    size_bytes: int
    modified_at: datetime | None
    submitted_at: datetime | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class DeleteAsk:
    """Which documents to delete: exactly one of the three."""

    filter: str = ""
    source: str = ""
    owner: str = ""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What was deleted, and what a second look found."""

    deleted_count: int
    stopped_job_count: int
    remaining_count: int
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Enrichment:
    """What is found out about the documents of a collection."""

    detect_language: bool = False
    detect_dates: bool = False
    personal_data: str = "off"
    hooks: tuple[str, ...] = ()
    on_hook_failure: str = "fail"
    is_own: bool = True
    available_hooks: Sequence[str] = ()
