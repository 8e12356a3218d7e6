"""Workers share the queue, lose what they do not keep, and fail jobs in order."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from services.ingestion.document import Priority
from services.ingestion.failures import FailureReason, LeaseLostError, Stage
from services.ingestion.jobs.claims import MAX_ATTEMPTS, Wanted
from services.ingestion.jobs.indexing import IndexWindow
from services.ingestion.jobs.model import JobState
from services.ingestion.jobs.store import JobStore
from tests.kit.job_store import BOUNDS, LEASE_SECONDS, failure, progress, submit
from tests.kit.job_store import clock as clock  # noqa: PLC0414 - a fixture
from tests.kit.job_store import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.job_store import store as store  # noqa: PLC0414 - a fixture


async def test_no_job_is_claimed_twice(store):
    for n in range(6):
        await submit(store, f"d{n}")
    leases = await asyncio.gather(*(store.claim(f"w{n}") for n in range(10)))
    claimed = [lease.job.job_id for lease in leases if lease is not None]
    assert len(claimed) == len(set(claimed)) == 6


async def test_two_processes_share_the_queue(database_url, clock):
    async with (
        await JobStore.open(database_url, BOUNDS, clock=clock) as one,
        await JobStore.open(database_url, BOUNDS, clock=clock) as other,
    ):
        for n in range(6):
            await submit(one, f"d{n}")
        stores = itertools.cycle([one, other])
        leases = await asyncio.gather(*(next(stores).claim(f"w{n}") for n in range(12)))
        claimed = [lease.job.job_id for lease in leases if lease is not None]
        # A claimer that finds every row locked by the other comes again.
        while (lease := await one.claim("w")) is not None:
            claimed.append(lease.job.job_id)
        assert len(claimed) == len(set(claimed)) == 6


async def test_tenants_take_turns(store):
    for n in range(4):
        await submit(store, f"d{n}", tenant="noisy")
    await submit(store, "one", tenant="quiet")
    tenants = [(await store.claim("w")).job.key.tenant for _ in range(3)]
    assert sorted(tenants[:2]) == ["noisy", "quiet"]


async def test_urgent_jobs_go_first_then_the_oldest(store):
    await submit(store, "low", priority=Priority.LOW)
    await submit(store, "first")
    await submit(store, "second")
    await submit(store, "high", priority=Priority.HIGH)
    order = [(await store.claim("w")).job.key.document_id for _ in range(4)]
    assert order == ["high", "first", "second", "low"]


async def test_a_lease_that_runs_out_lets_another_worker_go_on(store, clock):
    await submit(store)
    stale = await store.claim("w1")
    await store.complete_stage(stale, progress(Stage.PARSED), ("parsed", b"result"))
    assert await store.claim("w2") is None
    clock.move(LEASE_SECONDS + 1)
    fresh = await store.claim("w2")
    assert fresh.job.job_id == stale.job.job_id
    assert fresh.token > stale.token
    assert fresh.job.stage is Stage.PARSED
    assert await store.read_artifact(fresh.job.job_id, "parsed") == {0: b"result"}
    for write in (
        store.complete_stage(stale, progress(Stage.CHUNKED)),
        store.save_artifact(stale, "vectors", 0, b""),
        store.fail(stale, failure(), 0.0, None),
        store.begin_indexing(stale, 5.0),
        store.give_back(stale),
    ):
        with pytest.raises(LeaseLostError):
            await write
    assert await store.extend({stale.job.job_id: stale.token}) == set()
    assert await store.extend({fresh.job.job_id: fresh.token}) == {fresh.job.job_id}


async def test_a_heartbeat_keeps_a_lease(store, clock):
    await submit(store)
    lease = await store.claim("w1")
    for _ in range(4):
        clock.move(LEASE_SECONDS * 0.7)
        await store.extend({lease.job.job_id: lease.token})
        assert await store.claim("w2") is None


async def test_a_job_that_kills_its_workers_ends_as_a_dead_letter(store, clock):
    job = await submit(store)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        assert (await store.claim(f"w{attempt}")).job.attempt_count == attempt
        clock.move(LEASE_SECONDS + 1)
    assert await store.claim("w") is None
    dead = await store.get("t", job.job_id)
    assert dead.state is JobState.DEAD_LETTER
    assert (dead.failure.reason, dead.failure.stage) == (FailureReason.WORKER_LOST, Stage.PARSED)


async def test_failed_attempts_wait_and_end_after_the_last(store, clock):
    job = await submit(store)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        lease = await store.claim("w")
        assert lease.job.attempt_count == attempt
        state = await store.fail(lease, failure(), 30.0, None)
        if attempt < MAX_ATTEMPTS:
            assert state is JobState.WAITING
            assert await store.claim("w") is None
            clock.move(31)
    assert state is JobState.DEAD_LETTER
    assert (await store.get("t", job.job_id)).failure.message == "why"
    assert await store.claim("w") is None


async def test_a_final_failure_ends_at_once(store):
    await submit(store)
    lease = await store.claim("w")
    final = failure(is_retryable=False)
    assert await store.fail(lease, final, 0.0, None) is JobState.DEAD_LETTER


async def test_a_failure_can_send_the_job_back_to_an_earlier_stage(store, clock):
    await submit(store)
    lease = await store.claim("w")
    await store.complete_stage(lease, progress(Stage.PARSED))
    await store.complete_stage(lease, progress(Stage.CHUNKED))
    await store.fail(lease, failure(), 1.0, Stage.PARSED)
    clock.move(2)
    assert (await store.claim("w")).job.stage is Stage.PARSED


async def test_waiting_for_a_service_costs_no_attempt(store, clock):
    await submit(store)
    for count in range(MAX_ATTEMPTS + 2):
        lease = await store.claim("w")
        assert lease.job.attempt_count == 1
        assert lease.postponed_count == count
        await store.postpone(lease, failure(), 5.0)
        clock.move(6)


async def test_a_job_given_back_is_claimed_at_once_and_lost_no_attempt(store):
    await submit(store)
    await store.give_back(await store.claim("w"))
    assert (await store.claim("w")).job.attempt_count == 1


async def test_a_new_stage_has_attempts_of_its_own(store, clock):
    await submit(store)
    lease = await store.claim("w")
    await store.fail(lease, failure(), 1.0, None)
    clock.move(2)
    lease = await store.claim("w")
    await store.complete_stage(lease, progress(Stage.PARSED))
    job = await store.get("t", lease.job.job_id)
    assert (job.attempt_count, job.failure) == (1, None)


async def test_what_died_with_others_runs_with_few_and_then_alone(store, clock):
    for n in range(6):
        await submit(store, f"d{n}")
    seen = []
    for _ in range(MAX_ATTEMPTS):
        leases = await store.claim_some("w", Wanted(most=100))
        seen.append((len(leases), leases[0].job.attempt_count))
        await store.complete_stage(leases[-1], progress(Stage.PARSED))
        clock.move(LEASE_SECONDS + 1)
    # Each time the last one got on; the others are suspected more and more.
    assert [count for count, _ in seen[:2]] == [6, 6]
    assert seen[-1][0] <= 2
    assert (await store.stats("t")).dead_letter_count == 0


async def test_suspects_wait_until_the_worker_has_nothing_else(store, clock):
    await submit(store, "bad")
    for _ in range(2):
        await store.claim("w")
        clock.move(LEASE_SECONDS + 1)
    await submit(store, "good")
    assert await store.claim_some("w", Wanted(most=5, is_alone=False)) == []
    (suspect,) = await store.claim_some("w", Wanted(most=5))
    assert (suspect.job.key.document_id, suspect.job.attempt_count) == ("bad", 3)
    (other,) = await store.claim_some("w", Wanted(most=5, is_alone=False))
    assert other.job.key.document_id == "good"


async def test_a_worker_without_room_puts_lost_jobs_back_for_the_others(store, clock):
    await submit(store)
    lost = await store.claim("w1")
    clock.move(LEASE_SECONDS + 1)
    assert await store.claim_some("w2", Wanted(most=0)) == []
    assert (await store.get("t", lost.job.job_id)).state is JobState.QUEUED


async def test_a_worker_that_finished_nothing_yet_gets_suspects_last(store, clock):
    await submit(store, "lost")
    for _ in range(2):
        await store.claim("w")
        clock.move(LEASE_SECONDS + 1)
    await submit(store, "fresh")
    unproven = Wanted(most=5, is_proven=False)
    (first,) = await store.claim_some("w", unproven)
    assert first.job.key.document_id == "fresh"
    # With something in work it waits, as any other; with nothing it takes what there is.
    assert await store.claim_some("w", Wanted(most=5, is_alone=False, is_proven=False)) == []
    (second,) = await store.claim_some("w", unproven)
    assert (second.job.key.document_id, second.job.attempt_count) == ("lost", 3)


async def test_a_claim_shares_its_room_between_tenants_and_keeps_to_its_bytes(store):
    for n in range(4):
        await submit(store, f"d{n}", tenant="noisy")
    await submit(store, "one", tenant="quiet")
    leases = await store.claim_some("w", Wanted(most=4))
    assert sorted(lease.job.key.tenant for lease in leases) == ["noisy", "noisy", "quiet"]
    assert await store.claim_some("w", Wanted(most=4, except_tenants=["noisy"])) == []
    assert len(await store.claim_some("w", Wanted(most=4))) == 2
    for n in range(2):
        await submit(store, f"large{n}", tenant="quiet", size_bytes=100)
    leases = await store.claim_some("w", Wanted(most=4, most_bytes=10, except_tenants=["noisy"]))
    assert [lease.job.key.document_id for lease in leases] == ["large0"]


async def test_checkpoints_of_many_jobs_fail_each_for_itself(store, clock):
    for n in range(4):
        await submit(store, f"d{n}")
    leases = await store.claim_some("w", Wanted(most=4))
    await submit(store, "d1", b"newer")
    results = await asyncio.gather(
        *(
            store.complete_stage(lease, progress(Stage.PARSED), ("parsed", b"p"))
            for lease in leases
        ),
        return_exceptions=True,
    )
    assert [isinstance(result, LeaseLostError) for result in results] == [False, True, False, False]
    windows = await asyncio.gather(
        *(store.begin_indexing(lease, 5.0, is_bulk=True) for lease in leases),
        return_exceptions=True,
    )
    assert [isinstance(each, IndexWindow) for each in windows] == [True, False, True, True]
    ended = await asyncio.gather(
        *(store.finish_indexing(lease, progress(Stage.INDEXED), 3) for lease in leases)
    )
    assert ended == [True, False, True, True]
    assert (await store.stats("t")).ready_count == 3
