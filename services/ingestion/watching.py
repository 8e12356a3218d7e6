"""Following jobs until they end."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from services.ingestion.failures import Failure, FailureReason
from services.ingestion.jobs.control import job_not_found
from services.ingestion.jobs.model import Job, JobState

if TYPE_CHECKING:
    from services.ingestion.jobs.store import JobStore

_POLL_SECONDS = 0.25


async def watch(store: JobStore, tenant: str, job_ids: Sequence[str]) -> AsyncIterator[list[Job]]:
    """Yields all the jobs, then those that changed, until all have ended.

    A job whose document is deleted ends as cancelled.

    Raises:
        NotFoundError: the tenant has no such job.
    """
    found = await store.get_many(tenant, job_ids)
    for job_id in job_ids:
        if job_id not in found:
            raise job_not_found(job_id)
    yield [found[job_id] for job_id in dict.fromkeys(job_ids)]
    following = {job_id: job for job_id, job in found.items() if not job.has_ended}
    while following:
        await asyncio.sleep(_POLL_SECONDS)
        seen = {job_id: job.revision for job_id, job in following.items()}
        changed, gone = await store.changed(tenant, seen)
        changed.extend(_deleted(following[job_id]) for job_id in gone)
        if changed:
            yield changed
        for job in changed:
            if job.has_ended:
                following.pop(job.job_id, None)
            else:
                following[job.job_id] = job


def _deleted(job: Job) -> Job:
    failure = Failure(FailureReason.DELETED, "the document was deleted", job.stage)
    return dataclasses.replace(job, state=JobState.CANCELLED, failure=failure)
