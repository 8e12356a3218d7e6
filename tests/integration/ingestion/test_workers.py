"""When workers look for jobs: not again into an empty queue, and at once while there is more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, cast

from services.ingestion.failures import FailureReason, StageFailedError
from services.ingestion.jobs.claims import Wanted
from services.ingestion.jobs.model import JobState, Lease
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.store import JobStore
from services.ingestion.stages.workers import Capacity, Workers
from services.ingestion.wakeup import Wakeup
from services.sql.engine import sqlite_url
from tests.kit.job_store import submit

BOUNDS = QueueBounds(max_jobs_per_tenant=1000, max_jobs=1000, retry_after_seconds=1.0)
NEVER = 3600.0


class CountedStore(JobStore):
    """A queue that counts how often it is asked for jobs."""

    looks = 0

    async def claim_some(self, owner: str, wanted: Wanted) -> list[Lease]:
        self.looks += 1
        return await super().claim_some(owner, wanted)


class Refusing:
    """Ends every job at once, as a dead letter."""

    async def run(self, lease: Lease, reached: object, *, is_express: bool = False) -> None:
        raise StageFailedError(FailureReason.EMPTY_TEXT, "nothing in it")


@contextlib.asynccontextmanager
async def at_work(tmp_path, **capacity: int):
    url = sqlite_url(tmp_path / "jobs.db")
    async with await CountedStore.open(url, BOUNDS) as store, Wakeup() as wakeup:
        workers = Workers(
            store,
            cast("Any", Refusing()),
            wakeup,
            owner="w",
            capacity=Capacity(**capacity),
            poll_seconds=NEVER,
        )
        async with workers:
            yield cast("CountedStore", store), wakeup


async def all_ended(store: JobStore, tenants: Sequence[str], count: int) -> None:
    """Waits until all jobs are dead letters; nothing but hints and free places wakes the worker."""
    async with asyncio.timeout(20):
        while True:
            ended = [(await store.stats(tenant)).dead_letter_count for tenant in tenants]
            if sum(ended) == count:
                return
            await asyncio.sleep(0.02)


async def test_a_queue_that_was_emptied_is_not_looked_at_again(tmp_path):
    async with at_work(tmp_path) as (store, wakeup):
        while not store.looks:
            await asyncio.sleep(0.01)
        for number in range(5):
            job = await submit(store, f"d{number}")
            await wakeup.notify()
            await all_ended(store, ["t"], number + 1)
            assert (await store.get("t", job.job_id)).state is JobState.DEAD_LETTER
        assert store.looks == 1 + 5


async def test_a_queue_with_more_than_there_is_room_for_is_gone_through_without_polling(tmp_path):
    tenants = ["many", "few", *(f"t{number}" for number in range(12))]
    async with at_work(tmp_path, jobs=16, express_jobs=2) as (store, wakeup):
        for number in range(60):
            await submit(store, f"d{number}", tenant="many")
        for tenant in tenants[1:]:
            await submit(store, "d", tenant=tenant)
        await wakeup.notify()
        await all_ended(store, tenants, 60 + len(tenants) - 1)
        assert (await store.stats("many")).dead_letter_count == 60


async def test_a_worker_full_of_large_documents_takes_the_next_when_there_is_room(tmp_path):
    async with at_work(tmp_path, most_bytes=100) as (store, wakeup):
        for number in range(9):
            await submit(store, f"d{number}", b"x" * 40, tenant="t")
        await wakeup.notify()
        await all_ended(store, ["t"], 9)
        # Two fit at once.
        assert store.looks > 9 // 2
