"""Documents through the whole service: real gRPC, fakes of embedding and retrieval."""

from __future__ import annotations

import asyncio
import random

import pytest
from cairn.embedding.v1 import embedding_service_pb2 as embedding_pb
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from services.ingestion.atoms import weigh
from tests.kit.fake_embedding import MAX_TOKENS, count_tokens
from tests.kit.ingestion_service import document, run_ingestion


def _paragraphs(count: int) -> list[str]:
    """Paragraphs of some 30 to 90 words, different from each other."""
    words = random.Random(7)
    vocabulary = ["".join(words.choices("abcdefghij", k=words.randint(2, 9))) for _ in range(400)]
    sentences = [
        [" ".join(words.choices(vocabulary, k=words.randint(8, 18))) for _ in range(n)]
        for n in words.choices(range(3, 7), k=count)
    ]
    return [" ".join(f"{each.capitalize()}." for each in part) for part in sentences]


PARAGRAPHS = _paragraphs(200)


@pytest.fixture
async def suite(tmp_path):
    async with run_ingestion(tmp_path / "jobs.db") as running:
        yield running


async def test_a_document_becomes_searchable_with_exact_offsets(suite):
    text = "# Rocks\n\nIntro words.\n\n## Granite\n\nGranite is igneous.\n\n- hard\n- grey\n"
    (job,) = await suite.ingest(document("rocks", text.encode(), uri="docs/rocks.md"))
    assert job.state == pb.JOB_STATE_READY
    assert job.stage == pb.STAGE_INDEXED
    assert job.title == "Rocks"
    assert job.content_type == "text/markdown"
    assert set(job.stage_durations) == {"parse", "chunk", "embed", "index"}
    stored = suite.retrieval.document("rocks")
    assert stored.text == text
    assert stored.version == job.document_version
    assert job.chunk_count == len(stored.chunks) > 0
    granite = next(
        chunk for chunk in stored.chunks if "Granite is igneous" in text[chunk.start : chunk.end]
    )
    assert list(granite.heading_path)[:1] == ["Rocks"]
    settings = suite.retrieval.collections["t", "docs"].settings
    assert (settings.embedding_model, settings.embedding_model_revision) == ("fake", "r1")
    # Someone waits for it, and its tenant has nothing else in work.
    assert suite.embedding.lanes == {embedding_pb.LANE_INTERACTIVE}


async def test_what_is_long_and_what_many_send_is_embedded_in_the_bulk_lane(suite):
    text = "\n\n".join(
        f"# Part {n}\n\n" + f"Words of part {n} stand here. " * 12 for n in range(12)
    )
    await suite.ingest(document("long", text.encode()))
    assert suite.embedding.lanes == {embedding_pb.LANE_BULK}


async def test_title_and_headings_are_embedded_with_the_chunk(suite):
    text = "# Rocks\n\n## Granite\n\nIt is igneous."
    await suite.ingest(document("rocks", text.encode()))
    assert suite.embedding.batches == [["Rocks > Granite\nIt is igneous."]]


async def test_no_chunk_is_over_the_models_limit(suite):
    words = " ".join(f"supercalifragilistic{n}" for n in range(3000))
    (job,) = await suite.ingest(document("long", words.encode(), file_name="a.txt"))
    assert job.state == pb.JOB_STATE_READY
    texts = [text for batch in suite.embedding.batches for text in batch]
    assert max(map(count_tokens, texts)) <= MAX_TOKENS
    stored = suite.retrieval.document("long")
    covered = "".join(stored.text[chunk.start : chunk.end] for chunk in stored.chunks)
    assert all(f"supercalifragilistic{n}" in covered for n in (0, 1500, 2999))


async def test_an_unchanged_document_is_not_taken_in_again(suite):
    (first,) = await suite.ingest(document())
    (again,) = await suite.submit(document())
    assert again.is_unchanged
    assert again.job.job_id == first.job_id
    assert len(suite.retrieval.upserts) == 1


async def test_a_document_that_retrieval_lost_is_taken_in_again(suite):
    (first,) = await suite.ingest(document())
    suite.retrieval.documents.clear()
    (again,) = await suite.submit(document())
    assert not again.is_unchanged
    (job,) = await suite.finish(again.job.job_id)
    assert job.state == pb.JOB_STATE_READY
    assert job.job_id != first.job_id
    assert suite.retrieval.document("d1") is not None


async def test_changed_metadata_is_indexed_without_embedding_again(suite):
    await suite.ingest(document())
    embedded = len(suite.embedding.batches)
    metadata = {"year": metadata_pb2.MetadataValue(integer=2024)}
    (job,) = await suite.ingest(document(metadata=metadata))
    assert job.state == pb.JOB_STATE_READY
    assert job.reused_chunk_count == job.chunk_count == 1
    assert len(suite.embedding.batches) == embedded
    assert suite.retrieval.document("d1").metadata["year"].integer == 2024


async def test_an_edited_paragraph_is_all_that_is_embedded_again(suite):
    await suite.ingest(document("long", "\n\n".join(PARAGRAPHS).encode(), file_name="a.txt"))
    before = {chunk.chunk_id for chunk in suite.retrieval.document("long").chunks}
    embedded = sum(map(len, suite.embedding.batches))
    edited = list(PARAGRAPHS)
    first, _, rest = edited[100].partition(". ")
    edited[100] = f"{first}. Obsidian was added here. {rest}"
    (job,) = await suite.ingest(document("long", "\n\n".join(edited).encode(), file_name="a.txt"))
    stored = suite.retrieval.document("long")
    start = stored.text.index(edited[100])
    touched = {
        chunk.chunk_id
        for chunk in stored.chunks
        if chunk.start < start + len(edited[100]) and chunk.end > start
    }
    new = {chunk.chunk_id for chunk in stored.chunks} - before
    assert new <= touched
    assert sum(map(len, suite.embedding.batches)) - embedded == len(new)
    assert job.reused_chunk_count == job.chunk_count - len(new)


async def test_a_changed_model_revision_reuses_nothing_and_mixes_nothing(suite):
    await suite.ingest(document())
    suite.embedding.revision = "r2"
    async with asyncio.timeout(30):
        # The known model is remembered for a while.
        suite.retrieval.collections.clear()
        suite.retrieval.documents.clear()
        (job,) = await suite.ingest(document("other"))
    assert job.state in {pb.JOB_STATE_READY, pb.JOB_STATE_DEAD_LETTER}
    for stored in suite.retrieval.documents["t", "docs"].values():
        assert stored.document_id == "other"


async def test_each_bad_document_fails_alone(suite):
    good, empty, binary, scanned, pair = await suite.submit(
        document("good"),
        document("empty", b""),
        document("binary", b"PK\x03\x04rest", file_name="a.zip"),
        document("fake", b"<html>no pdf</html>", file_name="a.pdf"),
        document("", b"x" * (1 << 20) + b"y"),
    )
    assert [each.error.reason for each in (empty, binary, scanned, pair)] == [
        "EMPTY_TEXT",
        "UNSUPPORTED_CONTENT_TYPE",
        "UNSUPPORTED_CONTENT_TYPE",
        "TOO_LARGE",
    ]
    assert "Markdown, HTML, plain text, PDF, DOCX" in binary.error.message
    assert not empty.HasField("job")
    (job,) = await suite.finish(good.job.job_id)
    assert job.state == pb.JOB_STATE_READY


async def test_a_document_that_cannot_be_parsed_ends_as_a_dead_letter(suite):
    (job,) = await suite.ingest(document("bad", b"%PDF-1.7 nothing", file_name="a.pdf"))
    assert job.state == pb.JOB_STATE_DEAD_LETTER
    assert job.failure.reason == "PARSE_FAILED"
    assert job.failure.stage == pb.STAGE_PARSED
    assert not job.failure.is_retryable
    assert job.attempt_count == 1


async def test_front_matter_becomes_title_and_metadata(suite):
    text = "---\ntitle: Real Title\ntags: [a, b]\nauthor: Ada\n---\n# Heading\n\nBody words.\n"
    (job,) = await suite.ingest(document("front", text.encode()))
    stored = suite.retrieval.document("front")
    assert job.title == stored.title == "Real Title"
    assert stored.metadata["author"].keyword == "Ada"
    assert sorted(stored.metadata["tags"].tags.values) == ["a", "b"]
    assert "author" not in stored.text[stored.chunks[0].start : stored.chunks[0].end]


async def test_front_matter_of_another_type_than_the_field_is_left_out_with_a_warning(suite):
    await suite.ingest(document())
    fields = suite.retrieval.collections["t", "docs"].settings.fields
    fields["year"] = metadata_pb2.FIELD_TYPE_INTEGER
    (job,) = await suite.ingest(document("front", b"---\nyear: x1999\n---\nBody words.\n"))
    assert job.state == pb.JOB_STATE_READY
    assert "types conflict" in job.warnings[0]
    assert "year" not in suite.retrieval.document("front").metadata


async def test_submitted_metadata_of_another_type_is_a_dead_letter(suite):
    await suite.ingest(document())
    fields = suite.retrieval.collections["t", "docs"].settings.fields
    fields["year"] = metadata_pb2.FIELD_TYPE_INTEGER
    metadata = {"year": metadata_pb2.MetadataValue(keyword="x")}
    (job,) = await suite.ingest(document("typed", metadata=metadata))
    assert job.state == pb.JOB_STATE_DEAD_LETTER
    assert job.failure.reason == "TYPE_CONFLICT"


async def test_a_dead_letter_can_be_run_again_from_the_stage_that_failed(suite):
    await suite.ingest(document())
    fields = suite.retrieval.collections["t", "docs"].settings.fields
    fields["year"] = metadata_pb2.FIELD_TYPE_INTEGER
    metadata = {"year": metadata_pb2.MetadataValue(keyword="x")}
    (job,) = await suite.ingest(document("typed", metadata=metadata))
    embedded = len(suite.embedding.batches)
    del fields["year"]
    answer = await suite.stub.RetryJobs(pb.RetryJobsRequest(scope=suite.scope, collection="docs"))
    assert [each.job_id for each in answer.jobs] == [job.job_id]
    (job,) = await suite.finish(job.job_id)
    assert job.state == pb.JOB_STATE_READY
    assert len(suite.embedding.batches) == embedded


async def test_reindexing_goes_on_from_the_stored_text_and_can_parse_again(suite):
    await suite.ingest(document("a"), document("b", b"# B\n\nOther words."))
    for reparse in (False, True):
        answer = await suite.stub.Reindex(
            pb.ReindexRequest(scope=suite.scope, collection="docs", reparse=reparse)
        )
        assert answer.job_count == 2
        listed = await suite.stub.ListJobs(
            pb.ListJobsRequest(scope=suite.scope, collection="docs", latest_only=True)
        )
        jobs = await suite.finish(*(job.job_id for job in listed.jobs))
        assert {job.state for job in jobs} == {pb.JOB_STATE_READY}
        assert all(("parse" in job.stage_durations) == reparse for job in jobs)
    assert len(suite.retrieval.upserts) == 6


async def test_an_upload_comes_in_pieces(suite):
    body = ("# Upload\n\n" + "words " * 50_000).encode()
    header = pb.UploadHeader(
        scope=suite.scope,
        collection="docs",
        document=pb.DocumentHeader(document_id="up", file_name="up.md"),
    )

    async def messages():
        yield pb.UploadDocumentRequest(header=header)
        for start in range(0, len(body), 7000):
            yield pb.UploadDocumentRequest(content=body[start : start + 7000])

    answer = await suite.stub.UploadDocument(messages())
    (job,) = await suite.finish(answer.submission.job.job_id)
    assert job.state == pb.JOB_STATE_READY
    assert job.size_bytes == len(body)
    assert suite.retrieval.document("up").text == body.decode()


async def test_chunks_have_their_usual_size(suite):
    await suite.ingest(document("long", "\n\n".join(PARAGRAPHS).encode(), file_name="a.txt"))
    stored = suite.retrieval.document("long")
    sizes = [weigh(stored.text[chunk.start : chunk.end]) for chunk in stored.chunks]
    assert max(sizes) <= 200
    assert sorted(sizes)[len(sizes) // 4] >= 90


async def test_an_alias_stands_for_its_collection(suite):
    await suite.ingest(document("a"))
    suite.retrieval.aliases["t", "current"] = "docs"
    (job,) = await suite.ingest(document("b"), collection="current")
    assert job.collection == "docs"
    assert suite.retrieval.document("b") is not None
