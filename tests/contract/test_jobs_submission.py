"""What is submitted is queued once, as it was sent, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio

import pytest

from services.ingestion.document import content_of
from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.model import JobState
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.store import JobStore
from services.rpc.errors import AlreadyExistsError, Reason, ResourceExhaustedError
from tests.kit.job_store import BOUNDS, failure, make_ready, new_job, progress, submit
from tests.kit.job_store import clock as clock  # noqa: PLC0414 - a fixture
from tests.kit.job_store import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.job_store import store as store  # noqa: PLC0414 - a fixture


async def test_an_accepted_document_is_there_with_its_bytes_when_opened_again(database_url, clock):
    content = content_of(b"x" * (1 << 20) + b"tail")
    async with await JobStore.open(database_url, BOUNDS, clock=clock) as store:
        accepted = await store.submit(new_job(), content)
        # No orderly end: the next one opens what was committed.
    async with await JobStore.open(database_url, BOUNDS, clock=clock) as store:
        job = await store.get("t", accepted.job.job_id)
        assert (job.state, job.stage) == (JobState.QUEUED, Stage.RECEIVED)
        lease = await store.claim("w")
        assert lease.job.job_id == job.job_id
        assert await store.read_content(lease.content_id) == list(content.pieces)
        assert lease.traceparent.startswith("00-1111")


async def test_the_same_key_with_the_same_content_is_the_same_job(store):
    first = await store.submit(new_job(idempotency_key="k"), content_of(b"text"))
    again = await store.submit(new_job(idempotency_key="k"), content_of(b"text"))
    assert again.is_duplicate
    assert again.job.job_id == first.job.job_id
    other = await store.submit(new_job(tenant="u", idempotency_key="k"), content_of(b"text"))
    assert not other.is_duplicate


async def test_the_same_key_with_other_content_is_refused(store):
    first = await submit(store, idempotency_key="k")
    with pytest.raises(AlreadyExistsError) as caught:
        await submit(store, content=b"other", idempotency_key="k")
    assert caught.value.reason is Reason.IDEMPOTENCY_CONFLICT
    assert (await store.get("t", first.job_id)).state is JobState.QUEUED


async def test_one_of_many_submissions_with_one_key_wins(store):
    results = await asyncio.gather(
        *(
            store.submit(new_job(f"d{n % 2}", idempotency_key="k"), content_of(b"text"))
            for n in range(4)
        ),
        return_exceptions=True,
    )
    jobs = {result.job.job_id for result in results if not isinstance(result, Exception)}
    assert len(jobs) == 1


async def test_equal_content_that_waits_already_is_not_queued_twice(store):
    first = await store.submit(new_job(), content_of(b"text"))
    again = await store.submit(new_job(), content_of(b"text"))
    assert again.is_duplicate
    assert again.job.job_id == first.job.job_id


async def test_unchanged_is_said_only_of_a_verified_ready_job(store):
    await submit(store)
    lease = await store.claim("w")
    await make_ready(store, lease)
    fingerprint = content_of(b"text").digest
    (ready,) = await store.ready_documents({lease.job.key: fingerprint})
    assert (ready.job_id, ready.version) == (lease.job.job_id, 1)
    unchanged = await store.submit(new_job(), content_of(b"text"), verified_job_id=ready.job_id)
    assert unchanged.is_unchanged
    unverified = await store.submit(new_job(), content_of(b"text"))
    assert not unverified.is_unchanged
    assert unverified.job.job_id != ready.job_id


async def test_a_newer_job_takes_the_place_of_a_waiting_one(store):
    older = await submit(store)
    newer = await submit(store, content=b"newer")
    assert (await store.get("t", older.job_id)).state is JobState.SUPERSEDED
    assert await store.read_content(older.job_id) == []
    lease = await store.claim("w")
    assert lease.job.job_id == newer.job_id
    assert await store.claim("w") is None


async def test_a_newer_job_takes_a_running_one_from_its_worker(store):
    await submit(store)
    lease = await store.claim("w")
    await submit(store, content=b"newer")
    with pytest.raises(LeaseLostError):
        await store.complete_stage(lease, progress(Stage.PARSED))
    with pytest.raises(LeaseLostError):
        await store.begin_indexing(lease, 5.0)


async def test_past_the_bounds_nothing_is_taken(store):
    for n in range(6):
        await submit(store, f"d{n}")
    with pytest.raises(ResourceExhaustedError) as caught:
        await store.check_room("t")
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retry_after_seconds == 3.0
    await store.check_room("u")
    for n in range(2):
        await submit(store, f"d{n}", tenant="u")
    with pytest.raises(ResourceExhaustedError):
        await store.check_room("u")


async def test_those_who_submit_all_they_can_leave_room_for_who_comes_late(database_url, clock):
    bounds = QueueBounds(100, 20, retry_after_seconds=3.0)

    async def fill(tenant: str) -> int:
        """Submits until there is no more room; returns how many fitted."""
        for count in range(100):
            # Opened anew: what is known of the room is good for a moment.
            async with await JobStore.open(database_url, bounds, clock=clock) as store:
                try:
                    await store.check_room(tenant)
                except ResourceExhaustedError:
                    return count
                await submit(store, f"d{count}", tenant=tenant)
        return 100

    held = [await fill(tenant) for tenant in ("first", "second", "third", "fourth", "fifth")]
    assert held == [14, 4, 2, 0, 0]
    assert sum(held) == 20


async def test_a_tenant_whose_oldest_job_waits_too_long_may_submit_no_more(database_url, clock):
    bounds = QueueBounds(6, 8, retry_after_seconds=3.0, max_age_seconds=60.0)
    async with (
        await JobStore.open(database_url, bounds, clock=clock) as store,
        await JobStore.open(database_url, bounds, clock=clock) as other,
    ):
        await submit(store, "old")
        clock.move(59)
        await other.check_room("t")
        clock.move(2)
        with pytest.raises(ResourceExhaustedError) as caught:
            await store.check_room("t", 5)
        assert caught.value.metadata["scope"] == "queue age"
        assert caught.value.retry_after_seconds == 3.0
        await store.check_room("other")
        # What a worker has begun, or what failed and waits, is not behind.
        await store.postpone(await store.claim("w"), failure(), 5.0)
        await store.check_room("t", 5)


async def test_a_request_that_does_not_fit_is_refused_whole(store):
    await store.check_room("t", 6)
    with pytest.raises(ResourceExhaustedError):
        await store.check_room("u", 7)


async def test_submissions_at_once_are_each_answered_for_themselves(store):
    results = await asyncio.gather(
        store.submit(new_job("a", idempotency_key="k"), content_of(b"text")),
        store.submit(new_job("b", b"other", idempotency_key="k"), content_of(b"other")),
        store.submit(new_job("c", b"1"), content_of(b"1")),
        store.submit(new_job("c", b"2"), content_of(b"2")),
        return_exceptions=True,
    )
    assert isinstance(results[1], AlreadyExistsError)
    first, second = results[2].job, results[3].job
    assert (await store.get("t", first.job_id)).state is JobState.SUPERSEDED
    assert (await store.get_by_document(second.key)).job_id == second.job_id
    assert await store.read_content(second.job_id) == [b"2"]
