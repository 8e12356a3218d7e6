"""A source, what is found in it, and how far its synchronisation is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from services.ingestion.document import Priority

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.ingestion.document import Content


class SourceKind(enum.IntEnum):
    """What a source is; numbered as in the contract."""

    FOLDER = 1
    URL = 2
    OBJECT_STORE = 3


class RemovalPolicy(enum.IntEnum):
    """What becomes of a document whose item is gone; numbered as in the contract."""

    DELETE = 1
    KEEP = 2


class SyncState(enum.IntEnum):
    """What a source is doing; numbered as in the contract."""

    IDLE = 1
    QUEUED = 2
    RUNNING = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for items whose path matches; None and empty: as the source says."""

    pattern: str
    is_excluded: bool = False
    acl: tuple[str, ...] = ()
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    collection: str = ""
    priority: Priority | None = None
    on_removal: RemovalPolicy | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where documents come from."""

    name: str
    kind: SourceKind
    location: str = ""
    """A folder's path, or a URL of an object store; empty for web addresses."""
    urls: tuple[str, ...] = ()
    collection: str = "default"
    rules: tuple[Rule, ...] = ()
    acl: tuple[str, ...] = ()
    metadata: Mapping[str, Value | None] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    on_removal: RemovalPolicy = RemovalPolicy.DELETE
    sync_interval_seconds: float | None = None
    """None: only when asked."""
    owner: str = ""
    credentials: str = ""
    is_paused: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """An item as a listing shows it."""

    path: str
    """Path in the source, or the address."""
    uri: str
    """Where citations say it comes from."""
    size_bytes: int = -1
    """-1: not known before it is read."""
    modified_us: int = 0
    """Microseconds since 1970; 0: the source does not say."""
    version: str = ""
    """Changes when the item does; empty: only reading it tells."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An item's bytes."""

    content: Content
    file_name: str
    content_type: str = ""
    """As the source declares it; empty: recognised."""
    version: str = ""
    modified_us: int = 0


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an item or a whole source could not be gone through."""

    reason: str
    message: str
    is_retryable: bool = False


class ItemGoneError(Exception):
    """The item is not there any more."""


class ItemFailedError(Exception):
    """An item cannot be taken in; the others can.

    Args:
        reason: Machine-readable.
        message: What is wrong and how to mend it.
        is_retryable: Whether the next synchronisation should try again.
    """

    def __init__(self, reason: str, message: str, *, is_retryable: bool = False) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message, is_retryable)


class SourceFailedError(Exception):
    """The source cannot be gone through: nothing is concluded from what was not seen.

    Args:
        reason: Machine-readable.
        message: What is wrong and how to mend it.
        is_retryable: Whether it may work later.
    """

    def __init__(self, reason: str, message: str, *, is_retryable: bool = True) -> None:
        super().__init__(message)
        self.problem = Problem(reason, message, is_retryable)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """What is remembered of an item."""

    path: str
    collection: str
    document_id: str
    job_id: str
    version: str
    digest: str
    """SHA-256 of the bytes that were submitted last; empty: none were."""
    placement: str
    """Hash of what the rules said of it then."""
    size_bytes: int
    modified_us: int
    submitted_us: int
    problem: Problem | None = None


@dataclass(slots=True)
class SyncReport:
    """Figures of one synchronisation."""

    sync_number: int = 0
    started_us: int = 0
    ended_us: int = 0
    """0: it has not ended."""
    item_count: int = 0
    submitted_count: int = 0
    unchanged_count: int = 0
    excluded_count: int = 0
    removed_count: int = 0
    deleted_count: int = 0
    failed_count: int = 0
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """State of a source."""

    state: SyncState
    report: SyncReport | None
    """None: it was never gone through."""
    next_sync_us: int
    """0: only when asked."""
    item_count: int
    failed_count: int
    pending_count: int
    last_success_us: int
    requested_sync_number: int
    created_us: int
    updated_us: int


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a synchronisation is asked to do."""

    paths: tuple[str, ...] = ()
    """Items to look at; empty: all."""
    is_full: bool = False
    """Whether items are read although they look unchanged."""
    allow_empty: bool = False
    """Whether a source that is found empty is believed."""


@dataclass(frozen=True, slots=True)
class SyncLease:
    """A claimed synchronisation."""

    source_key: int
    tenant: str
    tenant_class: int
    source: Source
    token: int
    report: SyncReport
    requests: tuple[SyncRequest, ...]
    last_request: int
    """Number of the last request that was taken along."""
