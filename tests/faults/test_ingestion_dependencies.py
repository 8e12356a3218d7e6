"""Services that ingestion needs go away, come back, and interfere: no document is lost or doubled."""

from __future__ import annotations

import asyncio

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from services.ingestion.stages import backoff
from services.rpc.errors import Reason, ResourceExhaustedError
from tests.kit.ingestion_service import document, run_ingestion


@pytest.fixture
async def suite(tmp_path, monkeypatch):
    monkeypatch.setattr(backoff, "_OUTAGE_BASE_SECONDS", 0.05)
    monkeypatch.setattr(backoff, "_OUTAGE_MOST_SECONDS", 0.1)
    monkeypatch.setattr(backoff, "_ATTEMPT_BASE_SECONDS", 0.05)
    monkeypatch.setattr(backoff, "_ATTEMPT_MOST_SECONDS", 0.1)
    async with run_ingestion(tmp_path / "jobs.db") as running:
        yield running


async def until(suite, job_id: str, condition) -> None:
    """Waits until a job is as wanted."""
    while not condition((await suite.store.get_many("t", [job_id]))[job_id]):
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("dependency", ["embedding", "retrieval"])
async def test_a_job_outlasts_an_outage_without_losing_attempts(suite, dependency):
    service = getattr(suite, dependency)
    service.go_down()
    (submission,) = await suite.submit(document())
    job_id = submission.job.job_id
    postponed = 0
    while postponed < 7:
        job = (await suite.store.get_many("t", [job_id]))[job_id]
        assert job.attempt_count <= 1
        assert not job.has_ended
        postponed += bool(job.failure and job.failure.reason == "DEPENDENCY_UNAVAILABLE")
        await asyncio.sleep(0.05)
    service.come_back()
    (job,) = await suite.finish(job_id)
    assert job.state == pb.JOB_STATE_READY
    assert len(suite.retrieval.upserts) == 1


async def test_the_job_says_what_it_waits_for(suite):
    suite.embedding.go_down()
    (submission,) = await suite.submit(document())
    await until(suite, submission.job.job_id, lambda job: job.failure is not None)
    request = pb.GetJobRequest(scope=suite.scope, job_id=submission.job.job_id)
    job = (await suite.stub.GetJob(request)).job
    assert job.failure.reason == "DEPENDENCY_UNAVAILABLE"
    assert job.failure.is_retryable
    assert "embedding" in job.failure.message
    assert job.failure.stage == pb.STAGE_CHUNKED


async def test_a_full_service_is_asked_again_when_it_says(suite):
    suite.embedding.failure = ResourceExhaustedError(
        Reason.OVERLOADED, "full", retry_after_seconds=0.02
    )
    (submission,) = await suite.submit(document())
    await asyncio.sleep(0.2)
    suite.embedding.come_back()
    (job,) = await suite.finish(submission.job.job_id)
    assert job.state == pb.JOB_STATE_READY


async def test_a_lost_acknowledgement_leaves_one_document(suite):
    suite.retrieval.loses_acknowledgements = 1
    (job,) = await suite.ingest(document())
    assert job.state == pb.JOB_STATE_READY
    stored = suite.retrieval.document("d1")
    assert stored.version == job.document_version
    assert len(stored.chunks) == job.chunk_count


async def test_a_document_someone_else_changed_meanwhile_is_replaced(suite):
    await suite.ingest(document())
    suite.retrieval.document("d1").version += 100
    (job,) = await suite.ingest(document(content=b"# New\n\nNew words."))
    assert job.state == pb.JOB_STATE_READY
    assert suite.retrieval.document("d1").text == "# New\n\nNew words."


async def test_a_collection_dropped_under_way_is_made_again(suite):
    suite.retrieval.write_gate.clear()
    await suite.submit(document())
    await suite.retrieval.write_waiting.wait()
    newer = asyncio.ensure_future(suite.submit(document(content=b"# Newer\n\nWords.")))
    await newer
    suite.retrieval.collections.clear()
    suite.retrieval.documents.clear()
    suite.retrieval.write_gate.set()
    job_id = newer.result()[0].job.job_id
    (job,) = await suite.finish(job_id)
    assert job.state == pb.JOB_STATE_READY
    assert suite.retrieval.document("d1").text == "# Newer\n\nWords."


async def test_the_newest_version_wins_over_a_slow_older_one(suite):
    suite.retrieval.write_gate.clear()
    (older,) = await suite.submit(document(content=b"# Old\n\nOld words."))
    await suite.retrieval.write_waiting.wait()
    (newer,) = await suite.submit(document(content=b"# New\n\nNew words."))
    suite.retrieval.write_gate.set()
    jobs = await suite.finish(older.job.job_id, newer.job.job_id)
    assert jobs[1].state == pb.JOB_STATE_READY
    assert suite.retrieval.document("d1").text == "# New\n\nNew words."
    assert suite.retrieval.document("d1").version == jobs[1].document_version


async def test_a_poisoned_document_fails_alone(suite):
    jobs = await suite.ingest(
        document("good1"),
        document("poison", b"%PDF-1.4\n" + b"\x00" * 5000, file_name="a.pdf"),
        document("good2"),
    )
    assert [job.state for job in jobs] == [
        pb.JOB_STATE_READY,
        pb.JOB_STATE_DEAD_LETTER,
        pb.JOB_STATE_READY,
    ]


async def test_many_versions_end_at_the_newest_with_no_chunk_twice(suite):
    last = None
    for version in range(12):
        (last,) = await suite.submit(document(content=f"# V\n\nVersion {version}.".encode()))
    (job,) = await suite.finish(last.job.job_id)
    assert job.state == pb.JOB_STATE_READY
    assert suite.retrieval.document("d1").text.endswith("Version 11.")
    versions = [version for _, version in suite.retrieval.upserts]
    assert versions == sorted(set(versions))


async def test_workers_that_stop_give_their_jobs_back(tmp_path):
    async with run_ingestion(tmp_path / "jobs.db", has_workers=False) as suite:
        suite.retrieval.write_gate.clear()
        async with suite.new_workers("one"):
            (submission,) = await suite.submit(document())
            await suite.retrieval.write_waiting.wait()
        job = (await suite.store.get_many("t", [submission.job.job_id]))[submission.job.job_id]
        assert (job.state.name, job.attempt_count) == ("QUEUED", 0)
        suite.retrieval.write_gate.set()
        async with suite.new_workers("two"):
            (job,) = await suite.finish(submission.job.job_id)
        assert job.state == pb.JOB_STATE_READY
