"""The contract's messages to domain values, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from services.filters.proto import value_from_proto
from services.ingestion.document import DocumentHeader, Priority
from services.ingestion.jobs.model import Accepted, Job, JobState
from services.rpc.errors import (
    AbortedError,
    InvalidArgumentError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from services.ingestion.failures import Failure, Stage

_REPEATABLE = (AbortedError, ResourceExhaustedError, UnavailableError)


def header_from_proto(message: pb.DocumentHeader, field: str) -> DocumentHeader:
    """Returns the header.

    Raises:
        InvalidArgumentError: a metadata value or the priority is none that can be stored.
    """
    return DocumentHeader(
        document_id=message.document_id,
        uri=message.uri,
        title=message.title,
        content_type=message.content_type,
        file_name=message.file_name,
        metadata={
            name: value_from_proto(message.metadata[name], f"{field}.metadata[{name[:100]!r}]")
            for name in sorted(message.metadata)
        },
        acl=tuple(message.acl),
        idempotency_key=message.idempotency_key,
        priority=priority_from_proto(message.priority, f"{field}.priority"),
    )


def priority_from_proto(number: int, field: str) -> Priority:
    """Returns the priority; NORMAL where none is stated.

    Raises:
        InvalidArgumentError: the number stands for none.
    """
    if number == pb.PRIORITY_UNSPECIFIED:
        return Priority.NORMAL
    try:
        return Priority(number)
    except ValueError:
        raise InvalidArgumentError.for_field(
            field, "is not a known priority: LOW (1), NORMAL (2) or HIGH (3)"
        ) from None


def states_from_proto(numbers: Sequence[int]) -> tuple[JobState, ...]:
    """Returns the states to list.

    Raises:
        InvalidArgumentError: one is no state of a job.
    """
    states = []
    for index, number in enumerate(numbers):
        if not JobState.QUEUED <= number <= JobState.SUPERSEDED:
            raise InvalidArgumentError.for_field(
                f"states[{index}]", "is not a known state of a job; leave states empty for all"
            )
        states.append(JobState(number))
    return tuple(sorted(set(states)))


def submission_to_proto(result: Accepted | ServiceError) -> pb.Submission:
    """Returns what became of a submitted document."""
    if isinstance(result, Accepted):
        return pb.Submission(
            job=job_to_proto(result.job),
            is_duplicate=result.is_duplicate,
            is_unchanged=result.is_unchanged,
        )
    return pb.Submission(
        error=pb.JobFailure(
            reason=result.reason.value,
            message=result.message,
            stage=pb.STAGE_RECEIVED,
            is_retryable=isinstance(result, _REPEATABLE),
        )
    )


def job_to_proto(job: Job) -> pb.Job:
    """Returns the message of a job."""
    message = pb.Job(
        job_id=job.job_id,
        collection=job.key.collection,
        document_id=job.key.document_id,
        uri=job.uri,
        title=job.title,
        state=_state_to_proto(job.state),
        stage=_stage_to_proto(job.stage),
        attempt_count=max(0, job.attempt_count),
        created_at=timestamp(job.created_us),
        updated_at=timestamp(job.updated_us),
        size_bytes=job.size_bytes,
        chunk_count=job.chunk_count,
        reused_chunk_count=job.reused_chunk_count,
        content_type=job.content_type,
        document_version=job.document_version,
        stage_durations={name: duration(seconds) for name, seconds in job.stage_seconds.items()},
        warnings=job.warnings,
    )
    if job.failure is not None:
        message.failure.CopyFrom(_failure_to_proto(job.failure))
    if job.state is JobState.WAITING and job.next_attempt_us:
        message.next_attempt_at.CopyFrom(timestamp(job.next_attempt_us))
    return message


def _state_to_proto(state: JobState) -> pb.JobState:
    known = JobState.QUEUED if state is JobState.WAITING else state
    return pb.JobState.Name(known)  # pyright: ignore[reportReturnType] - names are accepted


def _stage_to_proto(stage: Stage) -> pb.Stage:
    return pb.Stage.Name(stage)  # pyright: ignore[reportReturnType] - names are accepted


def _failure_to_proto(failure: Failure) -> pb.JobFailure:
    return pb.JobFailure(
        reason=failure.reason,
        message=failure.message,
        stage=_stage_to_proto(failure.stage),
        is_retryable=failure.is_retryable,
    )


def timestamp(microseconds: int) -> Timestamp:
    """Returns a point in time."""
    return Timestamp(seconds=microseconds // 1_000_000, nanos=microseconds % 1_000_000 * 1000)


def duration(seconds: float) -> Duration:
    """Returns a length of time."""
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1e9))
