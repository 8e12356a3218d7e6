"""A job, as the store returns it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.ingestion.document import DocumentKey, Priority
    from services.ingestion.failures import Failure, Stage


class JobState(enum.IntEnum):
    """What becomes of a job; numbered as in the contract, except the last."""

    QUEUED = 1
    RUNNING = 2
    READY = 3
    DEAD_LETTER = 4
    CANCELLED = 5
    SUPERSEDED = 6
    WAITING = 7
    """Queued, but not before its next attempt is due. Callers see QUEUED."""


UNENDED = (JobState.QUEUED, JobState.RUNNING, JobState.WAITING)
ENDED = (JobState.READY, JobState.DEAD_LETTER, JobState.CANCELLED, JobState.SUPERSEDED)
REPEATABLE = (JobState.DEAD_LETTER, JobState.CANCELLED)
"""States out of which a job can be run again."""


@dataclass(frozen=True, slots=True)
class Job:
    """The work on one version of one document."""

    number: int
    job_id: str
    key: DocumentKey
    uri: str
    title: str
    state: JobState
    stage: Stage
    """Last stage that was completed."""
    attempt_count: int
    """Attempts begun on the current stage."""
    failure: Failure | None
    created_us: int
    updated_us: int
    next_attempt_us: int
    """When the next attempt begins; 0: at once."""
    size_bytes: int
    chunk_count: int
    reused_chunk_count: int
    content_type: str
    document_version: int
    stage_seconds: Mapping[str, float]
    warnings: tuple[str, ...]
    revision: int

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class Lease:
    """A claimed job with all a worker needs to go on with it."""

    job: Job
    token: int
    """Fencing token: the store refuses writes that carry an older one."""
    document_key: int
    """Of the document's row."""
    generation: int
    tenant_class: int
    actor: str
    file_name: str
    declared_type: str
    metadata: Mapping[str, Value | None]
    acl: tuple[str, ...]
    content_id: str
    content_digest: str
    fingerprint: str
    traceparent: str
    indexed_version: int
    """Version of the document that retrieval is known to hold; 0: none."""
    postponed_count: int
    """Times this stage waited for a service that was down."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A document that passed the door."""

    key: DocumentKey
    tenant_class: int
    actor: str
    uri: str
    title: str
    file_name: str
    declared_type: str
    content_type: str
    metadata_json: str
    acl_json: str
    idempotency_key: str
    fingerprint: str
    content_digest: str
    size_bytes: int
    priority: Priority
    traceparent: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What the store made of a submitted document."""

    job: Job
    is_duplicate: bool = False
    is_unchanged: bool = False


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What ingestion knows retrieval to hold of a document."""

    key: DocumentKey
    job_id: str
    version: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class QueueStats:
    """Figures of the queue."""

    queued_count: int
    running_count: int
    dead_letter_count: int
    ready_count: int
    oldest_job_age_seconds: float
