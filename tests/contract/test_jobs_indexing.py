"""One worker at a time writes a document, and nobody a deleted one."""

from __future__ import annotations

import pytest

from services.ingestion.document import DocumentKey
from services.ingestion.failures import LeaseLostError, Stage
from services.ingestion.jobs.indexing import IndexWindow, WindowBusy
from services.ingestion.jobs.model import JobState
from services.rpc.errors import NotFoundError
from tests.kit.job_store import clock as clock  # noqa: PLC0414 - a fixture
from tests.kit.job_store import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.job_store import make_ready, progress, submit
from tests.kit.job_store import store as store  # noqa: PLC0414 - a fixture


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
