"""People list, stop and repeat jobs, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import json

import pytest

from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.model import JobState
from services.ingestion.jobs.queries import JobFilter
from services.rpc.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError, Reason
from tests.kit.job_store import clock as clock  # noqa: PLC0414 - a fixture
from tests.kit.job_store import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.job_store import failure, make_ready, progress, submit
from tests.kit.job_store import store as store  # noqa: PLC0414 - a fixture


async def test_a_job_belongs_to_its_tenant(store):
    job = await submit(store)
    with pytest.raises(NotFoundError) as caught:
        await store.get("other", job.job_id)
    assert caught.value.reason is Reason.JOB_NOT_FOUND
    for act in (store.cancel, store.retry):
        with pytest.raises(NotFoundError):
            await act("other", [job.job_id])


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
