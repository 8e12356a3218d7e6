"""Rows to values, and the few statements that differ between databases."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from services.ingestion.document import DocumentKey, metadata_from_json
from services.ingestion.failures import Failure, Stage
from services.ingestion.jobs.model import Job, JobState, Lease

if TYPE_CHECKING:
    from sqlalchemy import Row

MICROSECONDS = 1_000_000

Clock = Callable[[], int]
"""Microseconds since 1970."""


def system_clock() -> int:
    """Returns the time now, in microseconds since 1970."""
    return time.time_ns() // 1000


def new_id(prefix: str, now_us: int) -> str:
    """Returns an identifier that nobody guesses and that sorts by time."""
    return f"{prefix}_{now_us:015x}{secrets.token_hex(8)}"


def job_from_row(row: Row[Any]) -> Job:
    """Returns the job of a row of the jobs table."""
    failure = None
    if row.failure_reason:
        failure = Failure(
            row.failure_reason,
            row.failure_message,
            Stage(row.failure_stage),
            is_retryable=bool(row.failure_is_retryable),
        )
    return Job(
        number=row.number,
        job_id=row.job_id,
        key=DocumentKey(row.tenant, row.collection, row.document_id),
        uri=row.uri,
        title=row.title,
        state=JobState(row.state),
        stage=Stage(row.stage),
        attempt_count=row.attempt_count,
        failure=failure,
        created_us=row.created_us,
        updated_us=row.updated_us,
        next_attempt_us=row.next_attempt_us,
        size_bytes=row.size_bytes,
        chunk_count=row.chunk_count,
        reused_chunk_count=row.reused_chunk_count,
        content_type=row.content_type,
        document_version=row.document_version,
        stage_seconds=json.loads(row.stage_seconds_json),
        warnings=tuple(json.loads(row.warnings_json)),
        revision=row.revision,
    )


def lease_from_row(row: Row[Any], indexed_version: int) -> Lease:
    """Returns the lease of a row that was just claimed, and whose document has that version."""
    return Lease(
        job=job_from_row(row),
        token=row.lease_token,
        document_key=row.document_key,
        generation=row.generation,
        tenant_class=row.tenant_class,
        actor=row.actor,
        file_name=row.file_name,
        declared_type=row.declared_type,
        metadata=metadata_from_json(row.metadata_json),
        acl=tuple(json.loads(row.acl_json)),
        content_id=row.content_id,
        content_digest=row.content_digest,
        fingerprint=row.fingerprint,
        traceparent=row.traceparent,
        indexed_version=indexed_version,
        postponed_count=row.postponed_count,
    )
