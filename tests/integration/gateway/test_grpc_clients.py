"""Clients that know nothing of us: `buf curl`, which reads the contract by reflection or from the
files, and plain stubs: streaming, cancelling, errors, paging."""

from __future__ import annotations

import asyncio
import json
import shutil
import struct
import sys
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.gateway.v1 import sources_pb2 as sources
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion

from services.rpc.errors import Reason, UnavailableError
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway

BUF = Path(sys.executable).with_name("buf")
SERVICE = "cairn.gateway.v1.GatewayService"


async def buf_curl(
    gw: RunningGateway, method: str, request: Any, *options: str, key: str = ""
) -> tuple[int, str, str]:
    """Runs `buf curl`; returns its exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        str(BUF if BUF.exists() else shutil.which("buf")),
        "curl",
        "--protocol=grpc",
        "--http2-prior-knowledge",
        f"--header=authorization: Bearer {key or gw.key}",
        f"--data={json.dumps(request)}",
        *options,
        f"http://{gw.grpc_target}/{SERVICE}/{method}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, output.decode(), errors.decode()


def messages_of(text: str) -> list[Any]:
    """Reads the JSON values that follow each other."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


async def test_buf_curl_asks_by_reflection(gw: RunningGateway) -> None:
    code, output, errors = await buf_curl(gw, "Query", {"query": "How does granite form?"})
    assert code == 0, errors
    (answer,) = messages_of(output)
    assert (
        answer["answer"] == "Granite forms when magma cools slowly [1]. Granite is an igneous rock."
    )
    citation = answer["citations"][0]
    assert citation["text"] == TEXT[int(citation.get("start", 0)) : int(citation["end"])]


async def test_buf_curl_streams(gw: RunningGateway) -> None:
    request = {"query": {"query": "How does granite form?"}}
    code, output, errors = await buf_curl(gw, "StreamQuery", request)
    assert code == 0, errors
    events = messages_of(output)
    assert [next(iter(each)) for each in events][:2] == ["passages", "delta"]
    whole = events[-1]["response"]["answer"]
    assert "".join(each["delta"]["text"] for each in events if "delta" in each) == whole


async def test_buf_curl_is_told_what_is_wrong(gw: RunningGateway) -> None:
    code, _, errors = await buf_curl(gw, "Search", {"query": "", "collection": "default"})
    assert code != 0
    failure = json.loads(errors)
    assert failure["code"] == "invalid_argument"
    assert {detail["type"] for detail in failure["details"]} >= {
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    }
    code, _, errors = await buf_curl(gw, "Search", {"query": "x"}, key="crn_wrong")
    assert json.loads(errors)["code"] == "unauthenticated"


async def test_buf_curl_pages_through_collections(gw: RunningGateway) -> None:
    schema = "--schema=protos"
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        str(BUF if BUF.exists() else shutil.which("buf")),
        "curl",
        schema,
        "--protocol=grpc",
        "--http2-prior-knowledge",
        f"--header=authorization: Bearer {gw.key}",
        '--data={"pageSize": 1}',
        f"http://{gw.grpc_target}/{SERVICE}/ListCollections",
        cwd=root,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert json.loads(output)["collections"][0]["name"] == "default"


class Calls:
    """Stubs with the admin's key."""

    def __init__(self, gw: RunningGateway, channel: grpc.aio.Channel) -> None:
        self._stub = rpc.GatewayServiceStub(channel)
        self.metadata = (("authorization", f"Bearer {gw.key}"),)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._stub, name)
        return lambda request, **more: method(request, metadata=self.metadata, **more)


async def test_stubs_manage_sources_and_enrichment(gw: RunningGateway) -> None:
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        calls = Calls(gw, channel)
        source = ingestion.Source(
            name="docs", kind=ingestion.SOURCE_KIND_FOLDER, location="docs", acl=["everyone"]
        )
        source.sync_interval.seconds = 60
        put = await calls.PutSource(sources.PutSourceRequest(source=source))
        assert put.is_created
        assert put.source.source.sync_interval.seconds == 60
        again = await calls.PutSource(sources.PutSourceRequest(source=source))
        assert not again.is_created
        got = await calls.GetSource(sources.GetSourceRequest(name="docs"))
        assert got.source.source == put.source.source
        assert got.source.status.report.item_count == 4
        listed = await calls.ListSources(sources.ListSourcesRequest())
        assert [each.source.name for each in listed.sources] == ["docs"]
        items = await calls.ListSourceItems(sources.ListSourceItemsRequest(name="docs"))
        assert items.items[0].failure.reason == "TOO_LARGE"
        synced = await calls.SyncSource(sources.SyncSourceRequest(name="docs"))
        assert synced.sync_number == 2
        gone = await calls.DeleteSource(sources.DeleteSourceRequest(name="docs"))
        assert gone.deleted_count == 3
        settings = ingestion.EnrichmentSettings(detect_language=True, personal_data=1)
        wanted = sources.SetEnrichmentRequest(settings=settings)
        assert (await calls.SetEnrichment(wanted)).is_own
        found = await calls.GetEnrichment(sources.GetEnrichmentRequest())
        assert found.settings.detect_language
        assert list(found.available_hooks) == ["invoices"]
        assert not (await calls.SetEnrichment(sources.SetEnrichmentRequest())).is_own
        source.kind = 99  # pyright: ignore[reportAttributeAccessIssue] - an unknown number
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await calls.PutSource(sources.PutSourceRequest(source=source))
        assert unknown.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_stubs_embed_and_list_models(gw: RunningGateway) -> None:
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        calls = Calls(gw, channel)
        embedded = await calls.Embed(sources.EmbedRequest(texts=["ab", "abc"]))
        assert struct.unpack("<8f", embedded.vectors.data) == (2, 1, 0, 0, 3, 1, 0, 0)
        assert (embedded.vectors.count, embedded.vectors.dimensions) == (2, 4)
        models = (await calls.ListModels(sources.ListModelsRequest())).models
        assert [(each.name, each.kind) for each in models] == [
            ("fake-model", "embedding"),
            ("other-model", "embedding"),
            ("tiny", "generation"),
        ]


async def test_stubs_see_errors_deadlines_and_may_cancel(gw: RunningGateway) -> None:
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        calls = Calls(gw, channel)
        gw.down.retrieval.search.error = UnavailableError(Reason.NOT_READY, "away")
        with pytest.raises(grpc.aio.AioRpcError) as away:
            await calls.Search(pb.SearchRequest(query="granite"))
        assert away.value.code() is grpc.StatusCode.UNAVAILABLE
        gw.down.retrieval.search.error = None
        gw.down.retrieval.search.delay_seconds = 30
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await calls.Search(pb.SearchRequest(query="granite"), timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        before = len(gw.down.retrieval.search.requests("Search"))
        call = calls.Search(pb.SearchRequest(query="basalt"))
        while len(gw.down.retrieval.search.requests("Search")) == before:
            await asyncio.sleep(0.01)
        gw.down.retrieval.search.cancelled.clear()
        call.cancel()
        await asyncio.wait_for(gw.down.retrieval.search.cancelled.wait(), 3)
