"""Token codes on their way into retrieval: with the chunks, kept over updates, bounded, optional."""

from __future__ import annotations

import pytest
from cairn.types.v1 import metadata_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.ingestion.stages import chunk as chunk_stage
from services.ingestion.stages.work import pack_vectors, unpack_vectors
from tests.kit.fake_embedding import codes_of
from tests.kit.ingestion_service import document, run_ingestion

SENTENCES = [
    " ".join(f"Sentence {n} of part {part} tells of granite number {n * part}." for n in range(12))
    for part in range(1, 13)
]


def text_of(parts):
    return "\n\n".join(parts).encode()


def titled(content):
    return document("long", content, file_name="a.txt", title="Rocks")


def embedded(suite):
    return [text for batch in suite.embedding.batches for text in batch]


def embedded_form(stored, chunk):
    return f"Rocks\n{stored.text[chunk.start : chunk.end]}"


@pytest.fixture
async def suite(tmp_path):
    async with run_ingestion(tmp_path / "jobs.sqlite") as running:
        running.embedding.gives_codes = True
        yield running


async def test_chunks_are_stored_with_the_codes_of_the_text_they_are_embedded_as(suite):
    await suite.ingest(titled(text_of(SENTENCES)))
    stored = suite.retrieval.document("long")
    assert len(stored.chunks) > 5
    for chunk in stored.chunks:
        assert chunk.token_codes == codes_of(embedded_form(stored, chunk))
        assert len(chunk.vector.data) == 32


async def test_an_update_embeds_what_changed_and_keeps_the_codes_of_the_rest(suite):
    await suite.ingest(titled(text_of(SENTENCES)))
    before = len(embedded(suite))
    edited = [*SENTENCES]
    edited[6] = edited[6].replace("granite", "obsidian")
    (job,) = await suite.ingest(titled(text_of(edited)))
    stored = suite.retrieval.document("long")
    assert 0 < len(embedded(suite)) - before < len(stored.chunks) / 2
    assert job.reused_chunk_count == len(stored.chunks) - (len(embedded(suite)) - before)
    for chunk in stored.chunks:
        assert chunk.token_codes == codes_of(embedded_form(stored, chunk))


async def test_chunks_stored_without_codes_get_them_with_the_next_version(suite):
    await suite.ingest(titled(text_of(SENTENCES)))
    stored = suite.retrieval.document("long")
    for chunk in stored.chunks:
        chunk.ClearField("token_codes")
    metadata = {"year": metadata_pb2.MetadataValue(integer=2024)}
    again = titled(text_of(SENTENCES))
    again.header.metadata["year"].CopyFrom(metadata["year"])
    (job,) = await suite.ingest(again)
    assert job.reused_chunk_count == 0
    assert all(chunk.token_codes for chunk in suite.retrieval.document("long").chunks)


async def test_long_documents_have_codes_for_their_first_chunks(suite, monkeypatch):
    monkeypatch.setattr(chunk_stage, "MAX_CODED_CHUNKS", 3)
    await suite.ingest(titled(text_of(SENTENCES)))
    edited = [SENTENCES[0].replace("granite", "obsidian"), *SENTENCES[1:]]
    (job,) = await suite.ingest(titled(text_of(edited)))
    chunks = suite.retrieval.document("long").chunks
    assert [bool(chunk.token_codes) for chunk in chunks] == [True] * 3 + [False] * (len(chunks) - 3)
    assert job.reused_chunk_count > len(chunks) / 2


async def test_a_model_without_codes_stores_none_and_reuses_vectors(suite):
    suite.embedding.gives_codes = False
    await suite.ingest(titled(text_of(SENTENCES)))
    edited = titled(text_of([*SENTENCES[:-1], "Another end."]))
    (job,) = await suite.ingest(edited)
    assert job.reused_chunk_count > 0
    assert not any(chunk.token_codes for chunk in suite.retrieval.document("long").chunks)


async def test_the_setting_turns_codes_off(tmp_path):
    options = {"token_codes": False}
    async with run_ingestion(tmp_path / "jobs.sqlite", settings=options) as suite:
        suite.embedding.gives_codes = True
        await suite.ingest(titled(text_of(SENTENCES)))
        assert not any(chunk.token_codes for chunk in suite.retrieval.document("long").chunks)


@given(st.dictionaries(st.integers(0, 2**32 - 1), st.binary(max_size=300), max_size=20))
def test_checkpoints_hold_rows_of_any_length(rows):
    assert unpack_vectors(pack_vectors(rows)) == rows
