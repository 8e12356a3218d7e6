"""Buckets as sources: fsspec's memory and local stores, and S3's protocol."""

from __future__ import annotations

import json
import uuid

import pytest
from cairn.ingestion.v1 import ingestion_service_pb2 as pb

from tests.kit.ingestion_service import run_ingestion
from tests.kit.s3_server import s3_server
from tests.kit.sources import SourceUnderTest

fsspec = pytest.importorskip("fsspec", reason="the s3 extra is not installed")


def bucket(location: str, **fields) -> pb.Source:
    return pb.Source(
        name="docs",
        kind=pb.SOURCE_KIND_OBJECT_STORE,
        location=location,
        collection="docs",
        **fields,
    )


async def test_a_memory_store_is_followed(tmp_path):
    store = fsspec.filesystem("memory")
    root = f"/{uuid.uuid4().hex}/docs"
    store.pipe(f"{root}/a.md", b"Granite is hard.")
    store.pipe(f"{root}/deep/b.txt", b"Basalt is dark.")
    store.pipe(f"{root}/.hidden", b"no")
    store.pipe(f"{root}2/other.md", b"Not below the prefix.")
    settings = {"source_protocols": ("memory",)}
    async with run_ingestion(
        tmp_path / "jobs.sqlite", settings=settings, has_schedule=True
    ) as suite:
        source = SourceUnderTest(suite)
        first = await source.put_source(bucket(f"memory:/{root}"))
        assert (first.report.submitted_count, first.report.excluded_count) == (2, 1)
        assert await source.texts() == {"docs/a.md": "Granite", "docs/deep/b.txt": "Basalt"}
        assert suite.retrieval.document("docs/a.md").uri.startswith("memory://")

        store.pipe(f"{root}/a.md", b"Gneiss is older.")
        store.rm(f"{root}/deep/b.txt")
        by_event = await source.sync("a.md", "deep/b.txt", "never.md")
        assert (by_event.report.submitted_count, by_event.report.deleted_count) == (1, 1)
        assert await source.texts() == {"docs/a.md": "Gneiss"}
        assert (await source.sync()).report.unchanged_count == 1


@pytest.fixture
def s3():
    pytest.importorskip("s3fs", reason="the s3 extra is not installed")
    with s3_server() as running:
        yield running


async def test_a_bucket_is_read_with_the_named_credentials(tmp_path, s3):
    s3.objects |= {
        "archive/in/a.md": b"Granite is hard.",
        "archive/in/large.txt": b"x" * 2_000_000,
        "archive/in/": b"",
        "archive/out/b.md": b"Not below the prefix.",
    }
    credentials = {
        "archive": {
            "key": "k",
            "secret": "s",
            "endpoint_url": s3.url,
            "client_kwargs": {"region_name": "us-east-1"},
        }
    }
    settings = {"source_credentials": json.dumps(credentials)}
    async with run_ingestion(
        tmp_path / "jobs.sqlite", settings=settings, has_schedule=True
    ) as suite:
        source = SourceUnderTest(suite)
        wanted = bucket("s3://archive/in", credentials="archive", acl=["group:a"])
        first = await source.put_source(wanted)
        assert not first.report.HasField("failure"), first.report.failure
        assert (first.report.submitted_count, first.report.failed_count) == (1, 1)
        (failed,) = await source.items(failed_only=True)
        assert (failed.path, failed.failure.reason) == ("large.txt", "TOO_LARGE")
        await source.settle()
        held = suite.retrieval.document("docs/a.md")
        assert (held.uri, list(held.acl)) == ("s3://archive/in/a.md", ["group:a"])

        reads = len(s3.reads)
        assert (await source.sync()).report.unchanged_count == 1
        assert len(s3.reads) == reads, "what has its ETag is not read"

        s3.objects["archive/in/a.md"] = b"Gneiss is older."
        assert (await source.sync()).report.submitted_count == 1
        s3.refuses = True
        refused = await source.sync()
        assert refused.report.failure.reason == "SOURCE_UNREADABLE"
        assert refused.report.deleted_count == 0
        assert "secret" not in refused.report.failure.message
