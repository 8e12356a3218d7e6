"""What enrichment finds out reaches the index; a hook that fails is told."""

from __future__ import annotations

import asyncio
import json

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb
from cairn.types.v1 import metadata_pb2

from services.rpc.errors import InvalidArgumentError
from tests.kit.ingestion_service import document, run_ingestion

TEXT = (
    b"# Minutes\n\nOn 3 March 2025 the members of the board met and it was agreed that Ann Lee "
    b"(ann.lee@example.org, +49 30 12345678) will pay from DE89 3704 0044 0532 0130 00 by "
    b"2026-01-31.\n"
)
HOOKS = {
    "invoices": "tests.kit.hooks:invoice_fields",
    "breaks": "tests.kit.hooks:breaks",
    "hangs": "tests.kit.hooks:hangs",
    "dies": "tests.kit.hooks:dies",
    "odd": "tests.kit.hooks:odd",
    "missing": "tests.kit.hooks:no_such_function",
}


@pytest.fixture
async def suite(tmp_path):
    settings = {"enrichment_hooks": json.dumps(HOOKS), "enrichment_hook_seconds": 3.0}
    async with run_ingestion(tmp_path / "jobs.sqlite", settings=settings) as running:
        yield running


async def enrich(suite, collection: str = "docs", **settings):
    await suite.stub.SetEnrichment(
        pb.SetEnrichmentRequest(
            scope=suite.scope, collection=collection, settings=pb.EnrichmentSettings(**settings)
        )
    )


async def test_language_dates_and_hashes_become_metadata_per_collection(suite):
    await enrich(
        suite,
        detect_language=True,
        detect_dates=True,
        personal_data=pb.PERSONAL_DATA_POLICY_HASH,
    )
    await suite.ingest(document("a", TEXT))
    await suite.ingest(document("b", TEXT), collection="plain")
    held = suite.retrieval.document("a")
    metadata = held.metadata
    assert metadata["language"].keyword == "en"
    assert metadata["first_date"].timestamp.ToJsonString() == "2025-03-03T00:00:00Z"
    assert metadata["last_date"].timestamp.ToJsonString() == "2026-01-31T00:00:00Z"
    kinds = set(metadata["personal_kinds"].tags.values)
    assert kinds == {"email", "phone", "iban"}
    for kind in kinds:
        (digest,) = metadata[f"personal_{kind}"].tags.values
        assert len(digest) == 32
    assert "ann.lee" in held.text
    assert not suite.retrieval.document("b", "plain").metadata


async def test_identifiers_can_be_replaced_before_anything_stores_them(suite):
    await enrich(suite, personal_data=pb.PERSONAL_DATA_POLICY_REPLACE)
    await suite.ingest(document("a", TEXT))
    held = suite.retrieval.document("a")
    everything = held.SerializeToString()
    for identifier in (b"ann.lee", b"12345678", b"DE89"):
        assert identifier not in everything
    (digest,) = held.metadata["personal_email"].tags.values
    assert f"[email {digest[:8]}]" in held.text
    assert not any("ann.lee" in text for batch in suite.embedding.batches for text in batch)
    for chunk in held.chunks:
        assert chunk.end <= len(held.text)


async def test_a_hook_adds_typed_metadata_and_the_submitter_goes_first(suite):
    await enrich(suite, detect_language=True, hooks=["invoices"])
    mine = {"customer": metadata_pb2.MetadataValue(keyword="mine")}
    await suite.ingest(document("a", TEXT, metadata=mine, title="Minutes"))
    metadata = suite.retrieval.document("a").metadata
    assert metadata["customer"].keyword == "mine"
    assert metadata["words"].integer == len(TEXT.split())
    assert metadata["is_long"].bool is False
    assert set(metadata["seen"].tags.values) == {"en", "a", "Minutes"}
    assert metadata["due"].timestamp.ToJsonString() == "2026-01-31T00:00:00Z"


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("breaks", "raised KeyError"),
        ("hangs", "took longer than 3 seconds"),
        ("dies", "its process died"),
        ("odd", "raised TypeError"),
        ("missing", "cannot be loaded"),
    ],
)
async def test_a_hook_that_fails_ends_the_document_or_is_passed_over(suite, hook, words):
    await enrich(suite, hooks=[hook])
    (job,) = await suite.ingest(document("a", TEXT))
    assert job.state == pb.JOB_STATE_DEAD_LETTER
    assert job.failure.reason == "ENRICHMENT_FAILED"
    assert job.failure.stage == pb.STAGE_PARSED
    assert words in job.failure.message
    assert "ann.lee" not in job.failure.message
    await enrich(suite, hooks=[hook], on_hook_failure=pb.HOOK_FAILURE_POLICY_SKIP)
    await asyncio.sleep(1.1)  # settings are remembered for a second
    (job,) = await suite.ingest(document("b", TEXT))
    assert job.state == pb.JOB_STATE_READY
    assert words in job.warnings[0]


async def test_wrong_settings_are_refused_and_can_be_taken_back(suite):
    for settings, field in (
        ({"hooks": ["unknown"]}, "settings.hooks[0]"),
        ({"hooks": ["invoices", "invoices"]}, "settings.hooks[1]"),
        ({"personal_data": 9}, "settings.personal_data"),
        ({"on_hook_failure": -1}, "settings.on_hook_failure"),
    ):
        with pytest.raises(InvalidArgumentError) as caught:
            await enrich(suite, **settings)
        assert caught.value.violations[0].field == field
    await enrich(suite, detect_dates=True)
    request = pb.GetEnrichmentRequest(scope=suite.scope, collection="docs")
    own = await suite.stub.GetEnrichment(request)
    assert own.is_own
    assert own.settings.detect_dates
    assert set(own.available_hooks) == set(HOOKS)
    await suite.stub.SetEnrichment(pb.SetEnrichmentRequest(scope=suite.scope, collection="docs"))
    assert not (await suite.stub.GetEnrichment(request)).is_own
