"""The jobs table keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from services.ingestion.document import DocumentKey, Priority, content_of
from services.ingestion.failures import Failure, FailureReason, LeaseLostError, Stage
from services.ingestion.jobs.checkpoints import Progress
from services.ingestion.jobs.claims import MAX_ATTEMPTS, Wanted
from services.ingestion.jobs.indexing import IndexWindow, WindowBusy
from services.ingestion.jobs.model import JobState, NewJob
from services.ingestion.jobs.queries import JobFilter
from services.ingestion.jobs.room import QueueBounds
from services.ingestion.jobs.rows import MICROSECONDS
from services.ingestion.jobs.store import JobStore
from services.rpc.errors import (
    AlreadyExistsError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)
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


async def test_a_job_belongs_to_its_tenant(store):
    job = await submit(store)
    with pytest.raises(NotFoundError) as caught:
        await store.get("other", job.job_id)
    assert caught.value.reason is Reason.JOB_NOT_FOUND
    for act in (store.cancel, store.retry):
        with pytest.raises(NotFoundError):
            await act("other", [job.job_id])


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


async def test_a_ready_job_keeps_its_bytes_and_drops_its_intermediate_results(store):
    await submit(store)
    lease = await store.claim("w")
    await store.save_artifact(lease, "vectors", 0, b"v")
    await store.save_artifact(lease, "parsed", 0, b"p")
    await make_ready(store, lease, version=7)
    job = await store.get("t", lease.job.job_id)
    assert (job.state, job.stage, job.document_version) == (JobState.READY, Stage.INDEXED, 7)
    assert await store.read_artifact(job.job_id, "vectors") == {}
    assert await store.read_artifact(job.job_id, "parsed") == {0: b"p"}
    assert await store.read_content(lease.content_id) == [b"text"]


async def test_the_bytes_of_a_former_version_go_when_the_next_is_ready(store):
    await submit(store)
    first = await store.claim("w")
    await make_ready(store, first)
    await submit(store, content=b"newer")
    assert await store.read_content(first.content_id) == [b"text"]
    second = await store.claim("w")
    await make_ready(store, second, version=2)
    assert await store.read_content(first.content_id) == []
    assert await store.read_content(second.content_id) == [b"newer"]


async def test_only_one_worker_at_a_time_may_write_a_document(store, clock):
    await submit(store)
    older = await store.claim("w1")
    window = await store.begin_indexing(older, 5.0)
    await submit(store, content=b"newer")
    # The older one is writing: it is left to finish, the newer waits.
    newer = await store.claim("w2")
    assert isinstance(await store.begin_indexing(newer, 5.0), WindowBusy)
    assert await store.finish_indexing(older, progress(Stage.INDEXED), 1)
    after = await store.begin_indexing(newer, 5.0)
    assert isinstance(after, IndexWindow)
    assert after.known_version == 1
    assert after.token != window.token


async def test_a_window_that_is_never_closed_ends_by_itself(store, clock):
    await submit(store)
    await store.begin_indexing(await store.claim("w1"), 5.0)
    await submit(store, content=b"newer")
    newer = await store.claim("w2")
    clock.move(6)
    assert isinstance(await store.begin_indexing(newer, 5.0), IndexWindow)


async def test_a_deleted_document_is_written_by_nobody(store):
    await submit(store)
    lease = await store.claim("w")
    deletion = await store.delete_documents("t", "c", ["d", "unknown"], 30.0)
    assert deletion.known_ids == ("d",)
    assert deletion.busy_until_us == 0
    with pytest.raises(LeaseLostError):
        await store.begin_indexing(lease, 5.0)
    with pytest.raises(NotFoundError):
        await store.get("t", lease.job.job_id)
    assert await store.read_content(lease.content_id) == []


async def test_a_deletion_waits_for_a_write_and_is_repeated_later(store, clock):
    await submit(store)
    lease = await store.claim("w")
    window = await store.begin_indexing(lease, 5.0)
    deletion = await store.delete_documents("t", "c", ["d"], 30.0)
    assert deletion.busy_until_us == window.until_us
    assert await store.busy_until("t", "c", ["d"]) == window.until_us
    assert not await store.finish_indexing(lease, progress(Stage.INDEXED), 1)
    assert await store.busy_until("t", "c", ["d"]) == 0
    assert await store.due_purges() == []
    clock.move(31)
    assert await store.due_purges() == [DocumentKey("t", "c", "d")]
    await store.finish_purges([DocumentKey("t", "c", "d")])
    assert await store.due_purges() == []


async def test_a_document_submitted_again_after_its_deletion_is_not_purged(store, clock):
    await submit(store)
    await store.delete_documents("t", "c", ["d"], 30.0)
    again = await submit(store)
    clock.move(31)
    assert await store.due_purges() == []
    await store.finish_purges([DocumentKey("t", "c", "d")])
    lease = await store.claim("w")
    assert lease.job.job_id == again.job_id
    await make_ready(store, lease)


async def test_cancelling_stops_what_has_not_ended(store):
    waiting, running = await submit(store, "a"), await submit(store, "b")
    lease = await store.claim("w")
    jobs = await store.cancel("t", [waiting.job_id, running.job_id])
    assert {job.state for job in jobs} == {JobState.CANCELLED}
    with pytest.raises(LeaseLostError):
        await store.complete_stage(lease, progress(Stage.PARSED))
    assert await store.claim("w") is None
    again = await store.retry("t", [waiting.job_id])
    assert again[0].state is JobState.QUEUED


async def test_a_job_whose_document_is_being_written_goes_on(store):
    await submit(store)
    lease = await store.claim("w")
    await store.begin_indexing(lease, 5.0)
    (job,) = await store.cancel("t", [lease.job.job_id])
    assert job.state is JobState.RUNNING
    assert await store.finish_indexing(lease, progress(Stage.INDEXED), 1)


async def test_ready_and_replaced_jobs_cannot_be_run_again(store):
    older = await submit(store)
    await submit(store, content=b"newer")
    with pytest.raises(FailedPreconditionError) as caught:
        await store.retry("t", [older.job_id])
    assert caught.value.metadata["state"] == "SUPERSEDED"
    lease = await store.claim("w")
    await make_ready(store, lease)
    with pytest.raises(FailedPreconditionError):
        await store.retry("t", [lease.job.job_id])


async def test_dead_letters_of_a_collection_run_again_together(store):
    for n in range(3):
        await submit(store, f"d{n}")
        lease = await store.claim("w")
        await store.complete_stage(lease, progress(Stage.PARSED))
        await store.fail(lease, failure(is_retryable=False), 0.0, None)
    await submit(store, "elsewhere", collection="other")
    jobs = await store.retry_dead_letters("t", "c")
    assert [job.key.document_id for job in jobs] == ["d0", "d1", "d2"]
    lease = await store.claim("w")
    assert (lease.job.stage, lease.job.attempt_count) == (Stage.PARSED, 1)


async def test_pages_follow_each_other_without_gaps_while_jobs_come_in(store):
    ids = [(await submit(store, f"d{n}")).job_id for n in range(5)]
    wanted = JobFilter("t", "c")
    first, token = await store.list_page(wanted, 2, "")
    await submit(store, "late")
    second, token = await store.list_page(wanted, 2, token)
    third, token = await store.list_page(wanted, 2, token)
    assert [job.job_id for job in [*first, *second, *third]] == ids[::-1]
    assert token == ""


async def test_a_token_is_good_for_its_own_list_only(store):
    for n in range(3):
        await submit(store, f"d{n}")
    _, token = await store.list_page(JobFilter("t", "c"), 1, "")
    for wanted, bad in (
        (JobFilter("t", "other"), token),
        (JobFilter("u", "c"), token),
        (JobFilter("t", "c"), token[:-4]),
        (JobFilter("t", "c"), "?"),
        (JobFilter("t", "c"), "bnVsbA=="),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            await store.list_page(wanted, 1, bad)
        assert caught.value.reason is Reason.INVALID_PAGE_TOKEN


async def test_lists_filter_by_state_and_by_newest(store):
    await submit(store, "a")
    newer = await submit(store, "a", b"newer")
    lease = await store.claim("w")
    await store.postpone(lease, failure(), 60.0)
    queued, _ = await store.list_page(JobFilter("t", "c", (JobState.QUEUED,)), 10, "")
    assert [job.job_id for job in queued] == [newer.job_id]
    latest, _ = await store.list_page(JobFilter("t", "c", latest_only=True), 10, "")
    assert [job.job_id for job in latest] == [newer.job_id]
    everything, _ = await store.list_page(JobFilter("t"), 10, "")
    assert len(everything) == 2
    assert (await store.get_by_document(lease.job.key)).job_id == newer.job_id


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


async def test_figures_count_by_state_and_tenant(store, clock):
    await submit(store, "a")
    await submit(store, "b")
    await submit(store, "c")
    await submit(store, "x", tenant="u")
    clock.move(9)
    for _ in range(4):
        lease = await store.claim("w")
        if lease.job.key.document_id == "a":
            await make_ready(store, lease)
        if lease.job.key.document_id == "b":
            await store.fail(lease, failure(is_retryable=False), 0.0, None)
    stats = await store.stats("t")
    counts = (stats.queued_count, stats.running_count, stats.ready_count, stats.dead_letter_count)
    assert counts == (0, 1, 1, 1)
    assert 9 <= stats.oldest_job_age_seconds < 10
    assert (await store.stats(None)).running_count == 2


async def test_only_changes_are_reported(store):
    one, other = await submit(store, "a"), await submit(store, "b")
    seen = {one.job_id: one.revision, other.job_id: other.revision}
    assert await store.changed("t", seen) == ([], set())
    lease = await store.claim("w")
    changed, gone = await store.changed("t", seen)
    assert [job.job_id for job in changed] == [lease.job.job_id]
    await store.delete_documents("t", "c", ["b"], 30.0)
    _, gone = await store.changed("t", seen)
    assert gone == {other.job_id}


async def test_reindexing_takes_the_bytes_over(store):
    await submit(store)
    first = await store.claim("w")
    await store.save_artifact(first, "parsed", 0, b"p")
    await make_ready(store, first)
    await submit(store, "unfinished")
    assert await store.reindex("t", "c", reparse=False) == 1
    leases = [await store.claim("w"), await store.claim("w")]
    again = next(lease for lease in leases if lease.job.key.document_id == "d")
    assert again.job.stage is Stage.PARSED
    assert await store.read_content(again.content_id) == [b"text"]
    assert await store.read_artifact(again.job.job_id, "parsed") == {0: b"p"}
    await make_ready(store, again, version=2)
    assert await store.read_content(again.content_id) == [b"text"]


async def test_old_history_goes_and_what_is_current_stays(store, clock):
    older = await submit(store)
    current = await submit(store, content=b"newer")
    await make_ready(store, await store.claim("w"))
    clock.move(100)
    assert await store.prune_history(50.0) == 1
    with pytest.raises(NotFoundError):
        await store.get("t", older.job_id)
    assert (await store.get("t", current.job_id)).state is JobState.READY


async def test_the_principals_of_a_collection_are_known(store):
    await submit(store, "a", acl_json=json.dumps(["user:ada", "group:x"]))
    await submit(store, "b", acl_json=json.dumps(["user:bob"]))
    await submit(store, "c", acl_json=json.dumps(["user:eve"]), collection="other")
    assert await store.principals_of("t", "c") == {"user:ada", "group:x", "user:bob"}


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


async def test_a_worker_of_a_document_that_was_deleted_and_came_again_is_late(store, clock):
    await submit(store)
    stale = await store.claim("w1")
    await store.begin_indexing(stale, 1.0)
    await store.delete_documents("t", "c", ["d"], 30.0)
    clock.move(31)
    await store.finish_purges([DocumentKey("t", "c", "d")])
    await submit(store)
    fresh = await store.claim("w2")
    assert not await store.finish_indexing(stale, progress(Stage.INDEXED), 9)
    with pytest.raises(LeaseLostError):
        await store.complete_stage(stale, progress(Stage.PARSED))
    window = await store.begin_indexing(fresh, 5.0)
    assert isinstance(window, IndexWindow)
    assert window.known_version == 0
