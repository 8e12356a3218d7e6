"""Deleting by filter, source and owner: indexed, on its way, failed; and a second look."""

from __future__ import annotations

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from services.filters import proto as filters
from services.filters.parser import parse
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason
from tests.kit.ingestion_service import document, run_ingestion


@pytest.fixture
async def suite(tmp_path):
    async with run_ingestion(tmp_path / "jobs.sqlite") as running:
        yield running


def keyword(text: str) -> metadata_pb2.MetadataValue:
    return metadata_pb2.MetadataValue(keyword=text)


async def delete(suite, **fields):
    text = fields.pop("text", "")
    if text:
        fields["filter"] = filters.to_proto(parse(text))
    request = pb.DeleteDocumentsRequest(scope=suite.scope, collection="docs", **fields)
    return await suite.stub.DeleteDocuments(request)


def held(suite):
    return set(suite.retrieval.documents["t", "docs"])


async def test_documents_go_by_filter_wherever_they_are(suite):
    await suite.ingest(
        document("old", metadata={"age": keyword("old")}),
        document("new", metadata={"age": keyword("new")}),
        document("hidden", metadata={"age": keyword("old")}, acl=["x"]),
    )
    suite.retrieval.write_gate.clear()
    on_the_way = await suite.submit(
        document("waits", metadata={"age": keyword("old")}),
        document("stays", metadata={"age": keyword("new")}),
    )
    suite.retrieval.write_gate.set()
    deleted = await delete(suite, text='age = "old"')
    assert (deleted.remaining_count, deleted.is_verified) == (0, True)
    await suite.finish(on_the_way[1].job.job_id)
    assert held(suite) == {"new", "stays"}


async def test_what_waits_is_stopped_and_counted(suite, tmp_path):
    async with run_ingestion(tmp_path / "other.sqlite", has_workers=False) as idle:
        await idle.submit(
            document("a", metadata={"kind": keyword("x")}), document("b", uri="u", title="t")
        )
        deleted = await delete(idle, text='kind = "x"')
        assert (deleted.deleted_count, deleted.stopped_job_count) == (0, 1)
        assert (deleted.remaining_count, deleted.is_verified) == (0, True)
        assert (await idle.store.stats("t")).queued_count == 1


async def test_documents_go_by_source_and_by_owner(suite):
    await suite.ingest(
        document("a", metadata={"source": keyword("wiki"), "owner": keyword("user:ann")}),
        document("b", metadata={"source": keyword("wiki"), "owner": keyword("user:bob")}),
        document("c", metadata={"source": keyword("mail")}),
        document("d", metadata={"source": keyword("mail"), "owner": keyword("user:ann")}),
    )
    by_source = await delete(suite, source="wiki")
    assert (by_source.deleted_count, by_source.is_verified) == (2, True)
    assert held(suite) == {"c", "d"}
    by_owner = await delete(suite, owner="user:ann")
    assert by_owner.deleted_count == 1
    assert held(suite) == {"c"}
    # Submitted by the actor "test", and nobody else is named as their owner.
    by_actor = await delete(suite, owner="test")
    assert by_actor.deleted_count == 1
    assert held(suite) == set()


async def test_failed_documents_go_too(suite):
    await suite.ingest(document("good", metadata={"kind": keyword("x")}))
    (failed,) = await suite.ingest(
        document("bad", b"%PDF-1.4 broken", file_name="a.pdf", metadata={"kind": keyword("x")})
    )
    assert failed.state == pb.JOB_STATE_DEAD_LETTER
    await delete(suite, text='kind = "x"')
    assert (await suite.store.stats("t")).dead_letter_count == 0
    assert held(suite) == set()


async def test_deleting_by_id_is_verified(suite):
    await suite.ingest(document("a"), document("b"))
    deleted = await delete(suite, document_ids=["a", "unknown"])
    assert (deleted.deleted_count, deleted.remaining_count) == (1, 0)
    assert deleted.is_verified


async def test_requests_that_say_too_much_or_nothing_are_refused(suite):
    await suite.ingest(document("a"))
    for fields in (
        {},
        {"source": "a", "owner": "b"},
        {"document_ids": ["a"], "source": "b"},
        {"source": "x" * 9000},
        {"owner": "a\x00b"},
    ):
        with pytest.raises(InvalidArgumentError):
            await delete(suite, **fields)
    request = pb.DeleteDocumentsRequest(scope=suite.scope, collection="nowhere", source="x")
    with pytest.raises(NotFoundError) as caught:
        await suite.stub.DeleteDocuments(request)
    assert caught.value.reason is Reason.COLLECTION_NOT_FOUND
    assert held(suite) == {"a"}
