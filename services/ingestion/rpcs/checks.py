"""Checks that several RPCs share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ingestion import metrics
from services.ingestion.sources.model import Problem
from services.ingestion.validation import MAX_ID_CHARACTERS
from services.rpc.errors import InvalidArgumentError, Reason, ServiceError

if TYPE_CHECKING:
    from services.ingestion.jobs.model import Accepted

MAX_PAGE_SIZE = 1000
DEFAULT_PAGE_SIZE = 100
MAX_JOB_IDS = 1000
_MAX_JOB_ID_CHARACTERS = 64


def page_size(wanted: int) -> int:
    """Returns how many entries a page has.

    Raises:
        InvalidArgumentError: more are wanted than a page may have.
    """
    if wanted > MAX_PAGE_SIZE:
        raise InvalidArgumentError.for_field(
            "page_size", f"is {wanted}, {MAX_PAGE_SIZE} is the most"
        )
    return wanted or DEFAULT_PAGE_SIZE


def check_count(field: str, count: int, most: int) -> None:
    """Refuses empty and overlong lists.

    Raises:
        InvalidArgumentError: INVALID_FIELD or TOO_LARGE.
    """
    if count == 0:
        raise InvalidArgumentError.for_field(field, "is empty")
    if count > most:
        raise InvalidArgumentError.for_field(
            field, f"has {count} entries, {most} are allowed; split the request", Reason.TOO_LARGE
        )


def checked_job_ids(job_ids: Sequence[str]) -> list[str]:
    """Returns job ids, each once.

    Raises:
        InvalidArgumentError: one cannot be one.
    """
    check_count("job_ids", len(job_ids), MAX_JOB_IDS)
    for index, job_id in enumerate(job_ids):
        check_job_id(job_id, f"job_ids[{index}]")
    return list(dict.fromkeys(job_ids))


def check_job_id(job_id: str, field: str) -> None:
    """Refuses what no submission returned.

    Raises:
        InvalidArgumentError: it cannot be a job's id.
    """
    if not job_id or len(job_id) > _MAX_JOB_ID_CHARACTERS or not job_id.isprintable():
        raise InvalidArgumentError.for_field(field, "is not an id that a submission returned")


def check_document_id(document_id: str, field: str) -> None:
    """Refuses what no document can be called.

    Raises:
        InvalidArgumentError: it is empty, too long, or holds a NUL.
    """
    if not document_id or len(document_id) > MAX_ID_CHARACTERS or "\x00" in document_id:
        raise InvalidArgumentError.for_field(
            field, f"must have 1 to {MAX_ID_CHARACTERS} characters"
        )


def count_outcomes(results: Sequence[Accepted | ServiceError | Problem]) -> None:
    """Counts what became of submissions, for the metrics."""
    for result in results:
        if isinstance(result, ServiceError | Problem):
            outcome = "refused"
        elif result.is_unchanged:
            outcome = "unchanged"
        else:
            outcome = "duplicate" if result.is_duplicate else "accepted"
        metrics.ACCEPTED.labels(outcome).inc()
