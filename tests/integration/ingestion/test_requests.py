"""What the service says to requests that are wrong, and how lists, watches and deletes answer."""

from __future__ import annotations

import asyncio

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from cairn.types.v1 import metadata_pb2, scope_pb2

from services.rpc.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from tests.kit.ingestion_service import BOUNDS, document, run_ingestion


@pytest.fixture
async def suite(tmp_path):
    """The service without workers: jobs stay where they are."""
    async with run_ingestion(tmp_path / "jobs.db", has_workers=False) as running:
        yield running


@pytest.fixture
async def working(tmp_path):
    async with run_ingestion(tmp_path / "jobs.db") as running:
        yield running


def value(**kind) -> metadata_pb2.MetadataValue:
    return metadata_pb2.MetadataValue(**kind)


BAD_DOCUMENTS = {
    "long id": (document("x" * 513), "TOO_LARGE", "documents[0].header.document_id"),
    "control character in id": (document("a\nb"), "INVALID_TEXT", "header.document_id"),
    "padded id": (document(" a"), "INVALID_FIELD", "header.document_id"),
    "empty principal": (document(acl=[""]), "INVALID_FIELD", "header.acl[0]"),
    "long principal": (document(acl=["x" * 257]), "TOO_LARGE", "header.acl[0]"),
    "many principals": (document(acl=[f"u{n}" for n in range(1001)]), "TOO_LARGE", "header.acl"),
    "not a number": (document(metadata={"a": value(float=float("nan"))}), "INVALID_FIELD", "'a'"),
    "built-in field": (
        document(metadata={"document_id": value(keyword="x")}),
        "INVALID_FIELD",
        "'document_id'",
    ),
    "unnamed field": (document(metadata={"": value(bool=True)}), "INVALID_FIELD", "metadata"),
    "long keyword": (document(metadata={"a": value(keyword="x" * 8193)}), "TOO_LARGE", "'a'"),
    "many fields": (
        document(metadata={f"f{n}": value(integer=n) for n in range(129)}),
        "TOO_LARGE",
        "metadata",
    ),
    "unknown priority": (document(priority=9), "INVALID_FIELD", "header.priority"),
    "unknown type": (
        document(content_type="video/mp4", file_name=""),
        "UNSUPPORTED_CONTENT_TYPE",
        "supported are",
    ),
    "type against content": (
        document(content=b"%PDF-1.4", content_type="text/html", file_name=""),
        "UNSUPPORTED_CONTENT_TYPE",
        "PDF",
    ),
    "image": (document(content=b"\x89PNG\r\n", file_name=""), "UNSUPPORTED_CONTENT_TYPE", "PNG"),
    "empty": (document(content=b""), "EMPTY_TEXT", "documents[0].content"),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
async def test_a_bad_document_is_refused_with_its_reason(suite, name):
    bad, reason, words = BAD_DOCUMENTS[name]
    (result,) = await suite.submit(bad)
    assert result.error.reason == reason
    assert words in result.error.message
    assert not result.HasField("job")
    assert (await suite.store.stats("t")).queued_count == 0


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.SubmitDocumentsRequest(collection="docs"), Reason.INVALID_FIELD, "documents"),
        (
            pb.SubmitDocumentsRequest(collection="docs", documents=[document()] * 101),
            Reason.TOO_LARGE,
            "documents",
        ),
        (
            pb.SubmitDocumentsRequest(documents=[document()]),
            Reason.INVALID_FIELD,
            "collection",
        ),
        (
            pb.SubmitDocumentsRequest(collection="Bad Name", documents=[document()]),
            Reason.INVALID_FIELD,
            "collection",
        ),
        (pb.GetJobRequest(), Reason.INVALID_FIELD, "job_id"),
        (pb.GetJobRequest(job_id="x" * 100), Reason.INVALID_FIELD, "job_id"),
        (
            pb.GetJobRequest(collection="docs", document_id="x" * 600),
            Reason.INVALID_FIELD,
            "document_id",
        ),
        (pb.ListJobsRequest(page_size=1001), Reason.INVALID_FIELD, "page_size"),
        (pb.ListJobsRequest(states=[99]), Reason.INVALID_FIELD, "states[0]"),
        (pb.ListJobsRequest(states=[0]), Reason.INVALID_FIELD, "states[0]"),
        (pb.ListJobsRequest(page_token="x"), Reason.INVALID_PAGE_TOKEN, "page_token"),
        (pb.WatchJobsRequest(), Reason.INVALID_FIELD, "job_ids"),
        (pb.WatchJobsRequest(job_ids=["a"] * 1001), Reason.TOO_LARGE, "job_ids"),
        (pb.CancelJobsRequest(), Reason.INVALID_FIELD, "job_ids"),
        (pb.RetryJobsRequest(), Reason.INVALID_FIELD, "job_ids"),
        (pb.DeleteDocumentsRequest(collection="docs"), Reason.INVALID_FIELD, "document_ids"),
        (
            pb.DeleteDocumentsRequest(collection="docs", document_ids=[""]),
            Reason.INVALID_FIELD,
            "document_ids[0]",
        ),
        (
            pb.DeleteDocumentsRequest(collection="docs", filter=metadata_pb2.Filter()),
            Reason.INVALID_FILTER,
            "filter",
        ),
        (pb.ReindexRequest(), Reason.INVALID_FIELD, "collection"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, object) else None,
)
async def test_a_bad_request_names_its_field(suite, request_, reason, field):
    request_.scope.CopyFrom(suite.scope)
    method = type(request_).__name__.removesuffix("Request")
    with pytest.raises(InvalidArgumentError) as caught:
        await call(suite, method, request_)
    assert caught.value.reason is reason
    assert caught.value.violations[0].field == field


async def call(suite, method: str, request):
    answer = getattr(suite.stub, method)(request)
    if method == "WatchJobs":
        return [each async for each in answer]
    return await answer


@pytest.mark.parametrize(
    "method",
    [
        "SubmitDocuments",
        "GetJob",
        "ListJobs",
        "WatchJobs",
        "RetryJobs",
        "CancelJobs",
        "DeleteDocuments",
        "Reindex",
        "GetQueueStats",
    ],
)
async def test_without_a_scope_nothing_is_answered(suite, method):
    request = getattr(pb, f"{method}Request")()
    with pytest.raises(PermissionDeniedError) as caught:
        await call(suite, method, request)
    assert caught.value.reason is Reason.SCOPE_MISSING


@pytest.mark.parametrize(
    "request_",
    [
        pb.GetJobRequest(job_id="job_unknown"),
        pb.GetJobRequest(collection="docs", document_id="unknown"),
        pb.WatchJobsRequest(job_ids=["job_unknown"]),
        pb.CancelJobsRequest(job_ids=["job_unknown"]),
        pb.RetryJobsRequest(job_ids=["job_unknown"]),
    ],
    ids=lambda each: type(each).__name__,
)
async def test_an_unknown_job_is_not_found(suite, request_):
    request_.scope.CopyFrom(suite.scope)
    with pytest.raises(NotFoundError) as caught:
        await call(suite, type(request_).__name__.removesuffix("Request"), request_)
    assert caught.value.reason is Reason.JOB_NOT_FOUND


async def test_an_unknown_collection_cannot_be_reindexed(suite):
    with pytest.raises(NotFoundError) as caught:
        await suite.stub.Reindex(pb.ReindexRequest(scope=suite.scope, collection="nowhere"))
    assert caught.value.reason is Reason.COLLECTION_NOT_FOUND


async def test_a_collection_that_requires_access_lists_gets_them(suite):
    suite.retrieval.collections["t", "docs"] = retrieval_pb.Collection(
        name="docs",
        settings=retrieval_pb.CollectionSettings(
            dimensions=8, acl_policy=retrieval_pb.ACL_POLICY_REQUIRED
        ),
    )
    without, with_list = await suite.submit(document("a"), document("b", acl=["user:ada"]))
    assert without.error.reason == "ACL_REQUIRED"
    assert with_list.job.job_id


async def test_a_key_used_with_other_content_is_refused_and_the_first_job_stays(suite):
    (first,) = await suite.submit(document(idempotency_key="k"))
    again, other = await suite.submit(
        document(idempotency_key="k"), document(content=b"other", idempotency_key="k")
    )
    assert again.is_duplicate
    assert again.job.job_id == first.job.job_id
    assert other.error.reason == "IDEMPOTENCY_CONFLICT"


async def test_a_full_queue_refuses_and_says_when_to_come_back(suite):
    count = BOUNDS.max_jobs_per_tenant
    await suite.submit(*(document(f"d{n}") for n in range(count)))
    with pytest.raises(ResourceExhaustedError) as caught:
        await suite.submit(document("more"))
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retry_after_seconds == BOUNDS.retry_after_seconds
    listed = await suite.stub.ListJobs(pb.ListJobsRequest(scope=suite.scope, page_size=1000))
    assert len(listed.jobs) == count


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], Reason.INVALID_FIELD),
        ([b"bytes first"], Reason.INVALID_FIELD),
        (["header"], Reason.EMPTY_TEXT),
        (["header", "header"], Reason.INVALID_FIELD),
        (["header", b"x" * (1 << 20), b"y"], Reason.TOO_LARGE),
        (["header", b"PK\x03\x04"], Reason.UNSUPPORTED_CONTENT_TYPE),
    ],
)
async def test_a_bad_upload_is_refused_as_a_whole(suite, parts, reason):
    header = pb.UploadDocumentRequest(
        header=pb.UploadHeader(
            scope=suite.scope, collection="docs", document=pb.DocumentHeader(document_id="up")
        )
    )

    async def messages():
        for part in parts:
            yield header if part == "header" else pb.UploadDocumentRequest(content=part)

    with pytest.raises(InvalidArgumentError) as caught:
        await suite.stub.UploadDocument(messages())
    assert caught.value.reason is reason
    assert (await suite.store.stats("t")).queued_count == 0


async def test_documents_are_accepted_while_retrieval_is_down(suite):
    suite.retrieval.go_down()
    (result,) = await suite.submit(document())
    assert result.job.state == pb.JOB_STATE_QUEUED


async def test_jobs_are_found_by_their_document(working):
    (job,) = await working.ingest(document("d1"))
    request = pb.GetJobRequest(scope=working.scope, collection="docs", document_id="d1")
    assert (await working.stub.GetJob(request)).job == job
    stats = await working.stub.GetQueueStats(pb.GetQueueStatsRequest(scope=working.scope))
    assert (stats.ready_count, stats.queued_count) == (1, 0)


async def test_an_id_is_derived_from_the_address_else_from_the_content(suite):
    by_uri, by_content, same = await suite.submit(
        document("", uri="docs/a.md"), document("", b"abc"), document("", b"abc")
    )
    assert by_uri.job.document_id == "docs/a.md"
    assert by_content.job.document_id.startswith("sha256-")
    assert same.is_duplicate


async def test_deleted_documents_are_gone_with_their_jobs(working):
    (job, _) = await working.ingest(document("a"), document("b"))
    answer = await working.stub.DeleteDocuments(
        pb.DeleteDocumentsRequest(
            scope=working.scope, collection="docs", document_ids=["a", "unknown"]
        )
    )
    assert answer.deleted_count == 1
    assert answer.seq > 0
    assert working.retrieval.document("a") is None
    assert working.retrieval.document("b") is not None
    with pytest.raises(NotFoundError):
        await working.stub.GetJob(pb.GetJobRequest(scope=working.scope, job_id=job.job_id))
    (again,) = await working.ingest(document("a"))
    assert again.state == pb.JOB_STATE_READY


async def test_deleting_by_filter_reaches_what_the_caller_may_not_read(working):
    old = {"kind": value(keyword="old")}
    await working.ingest(
        document("a", metadata=old, acl=["user:ada"]),
        document("b", metadata=old),
        document("c", metadata={"kind": value(keyword="new")}),
    )
    answer = await working.stub.DeleteDocuments(
        pb.DeleteDocumentsRequest(
            scope=scope_pb2.Scope(tenant="t", principals=["everyone"]),
            collection="docs",
            filter=metadata_pb2.Filter(
                equals=metadata_pb2.FieldValue(field="kind", value=value(keyword="old"))
            ),
        )
    )
    assert answer.deleted_count == 2
    assert set(working.retrieval.documents["t", "docs"]) == {"c"}
    listed = await working.stub.ListJobs(pb.ListJobsRequest(scope=working.scope))
    assert [job.document_id for job in listed.jobs] == ["c"]


async def test_deleting_while_retrieval_is_down_is_carried_out_later(working):
    await working.ingest(document("a"))
    working.retrieval.go_down()
    with pytest.raises(UnavailableError):
        await working.stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(scope=working.scope, collection="docs", document_ids=["a"])
        )
    working.retrieval.come_back()
    assert working.retrieval.document("a") is not None
    later = working.store.now_us() + 60_000_000
    working.store._clock = lambda: later
    await working.deletions.repeat_due()
    assert working.retrieval.document("a") is None
    assert await working.store.due_purges() == []


async def test_a_deletion_waits_for_the_write_that_is_under_way(working):
    working.retrieval.write_gate.clear()
    (submission,) = await working.submit(document("a"))
    await working.retrieval.write_waiting.wait()
    delete = asyncio.ensure_future(
        working.stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(scope=working.scope, collection="docs", document_ids=["a"])
        )
    )
    while (await working.store.get_many("t", [submission.job.job_id])) != {}:
        await asyncio.sleep(0.01)
    assert not delete.done()
    working.retrieval.write_gate.set()
    answer = await delete
    assert answer.deleted_count == 1
    assert working.retrieval.document("a") is None


async def test_watching_reports_all_then_changes_then_ends(working):
    (submission,) = await working.submit(document("a"))
    request = pb.WatchJobsRequest(scope=working.scope, job_ids=[submission.job.job_id])
    reports = [message async for message in working.stub.WatchJobs(request)]
    assert reports[-1].jobs[0].state == pb.JOB_STATE_READY
    again = [message async for message in working.stub.WatchJobs(request)]
    assert len(again) == 1


async def test_watching_a_job_whose_document_is_deleted_ends(suite):
    (submission,) = await suite.submit(document("a"))
    request = pb.WatchJobsRequest(scope=suite.scope, job_ids=[submission.job.job_id])
    watch = suite.stub.WatchJobs(request)
    messages = aiter(watch)
    assert (await anext(messages)).jobs[0].state == pb.JOB_STATE_QUEUED
    await suite.store.delete_documents("t", "docs", ["a"], 30.0)
    last = (await anext(messages)).jobs[0]
    assert (last.state, last.failure.reason) == (pb.JOB_STATE_CANCELLED, "DELETED")


async def test_a_running_job_of_an_ended_collection_cannot_be_retried(working):
    (job,) = await working.ingest(document("a"))
    with pytest.raises(FailedPreconditionError):
        await working.stub.RetryJobs(pb.RetryJobsRequest(scope=working.scope, job_ids=[job.job_id]))
