"""A queue on each database, with a clock that tests move."""

from __future__ import annotations

import pytest

from services.ingestion.document import DocumentKey, Priority, content_of
from services.ingestion.failures import Failure, FailureReason, Stage
from services.ingestion.jobs.checkpoints import Progress
from services.ingestion.jobs.indexing import IndexWindow
from services.ingestion.jobs.model import NewJob
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.rows import MICROSECONDS
from services.ingestion.jobs.store import JobStore
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture

BOUNDS = QueueBounds(max_jobs_per_tenant=6, max_jobs=8, retry_after_seconds=3.0)
LEASE_SECONDS = 10.0


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000 * MICROSECONDS

    def __call__(self) -> int:
        self.now_us += 1
        return self.now_us

    def move(self, seconds: float) -> None:
        self.now_us += int(seconds * MICROSECONDS)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def store(database_url, clock):
    opened = await JobStore.open(database_url, BOUNDS, lease_seconds=LEASE_SECONDS, clock=clock)
    async with opened:
        yield opened


def new_job(document_id: str = "d", content: bytes = b"text", **values) -> NewJob:
    digest = content_of(content).digest
    defaults = {
        "key": DocumentKey(values.pop("tenant", "t"), values.pop("collection", "c"), document_id),
        "tenant_class": 2,
        "actor": "user:ada",
        "uri": "file.md",
        "title": "",
        "file_name": "file.md",
        "declared_type": "",
        "content_type": "text/markdown",
        "metadata_json": "{}",
        "acl_json": "[]",
        "idempotency_key": "",
        "fingerprint": digest,
        "content_digest": digest,
        "size_bytes": len(content),
        "priority": Priority.NORMAL,
        "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    }
    return NewJob(**(defaults | values))


async def submit(store, document_id: str = "d", content: bytes = b"text", **values):
    accepted = await store.submit(new_job(document_id, content, **values), content_of(content))
    return accepted.job


def progress(stage: Stage, **values) -> Progress:
    defaults = {"stage_seconds": {}, "warnings": (), "title": "T", "content_type": "text/plain"}
    return Progress(stage=stage, **(defaults | values))


def failure(*, is_retryable: bool = True) -> Failure:
    return Failure(FailureReason.INTERNAL, "why", Stage.PARSED, is_retryable=is_retryable)


async def make_ready(store, lease, version: int = 1) -> None:
    for stage in (Stage.PARSED, Stage.CHUNKED, Stage.EMBEDDED):
        await store.complete_stage(lease, progress(stage))
    assert isinstance(await store.begin_indexing(lease, 5.0), IndexWindow)
    assert await store.finish_indexing(lease, progress(Stage.INDEXED), version)
