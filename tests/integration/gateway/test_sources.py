"""Sources, fetching, deleting by condition, enrichment and streamed uploads at the gateway."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion

from services.gateway.edge import source_views
from services.rpc.errors import AlreadyExistsError, FailedPreconditionError, Reason
from tests.kit.gateway import RunningGateway

MIB = 1 << 20
SOURCE: dict[str, Any] = {
    "kind": "folder",
    "location": "/srv/handbook",
    "collection": "hr",
    "sync_interval_seconds": 2.5,
    "acl": ["group:staff"],
    "metadata": {"area": "general", "since": {"timestamp": "2026-01-01T00:00:00Z"}},
    "owner": "team:people",
    "rules": [
        {"pattern": "drafts/**", "is_excluded": True},
        {"pattern": "pay/**", "acl": ["group:hr"], "priority": "high", "on_removal": "keep"},
    ],
}


async def test_a_source_goes_round_whole(gw: RunningGateway) -> None:
    async with gw.client() as client:
        created = await client.put("/v1/sources/handbook", json=SOURCE)
        assert created.status_code == 201, created.text
        source = created.json()["source"]
        given = {**SOURCE, "metadata": {"area": "general", "since": "2026-01-01T00:00:00Z"}}
        rules = source.pop("rules")
        assert {name: source[name] for name in given if name != "rules"} == {
            name: value for name, value in given.items() if name != "rules"
        }
        assert [rule["pattern"] for rule in rules] == ["drafts/**", "pay/**"]
        assert (rules[1]["priority"], rules[1]["on_removal"]) == ("high", "keep")
        again = await client.put("/v1/sources/handbook", json=SOURCE)
        assert again.status_code == 200
        (request, _) = gw.down.ingestion.submit.requests("PutSource")
    assert request.source.sync_interval.nanos == 500_000_000
    assert request.source.rules[1].priority == ingestion.PRIORITY_HIGH


async def test_every_answer_is_as_described(gw: RunningGateway) -> None:
    async with gw.client() as client:
        await client.put("/v1/sources/s", json=SOURCE)
        for method, path, body, view in (
            ("GET", "/v1/sources", None, source_views.SourcesView),
            ("GET", "/v1/sources/s", None, source_views.OneSourceView),
            ("GET", "/v1/sources/s/items?failed_only=true", None, source_views.SourceItemsView),
            ("POST", "/v1/sources/s/sync", {"paths": ["a"]}, source_views.SyncView),
            ("DELETE", "/v1/sources/s?keep_documents=true", None, source_views.SourceDeletedView),
            ("DELETE", "/v1/documents?source=s", None, source_views.DeletedView),
            ("GET", "/v1/collections/c/enrichment", None, source_views.EnrichmentView),
            (
                "PUT",
                "/v1/collections/c/enrichment",
                {"personal_data": "hash", "hooks": ["invoices"]},
                source_views.EnrichmentView,
            ),
            ("DELETE", "/v1/collections/c/enrichment", None, source_views.EnrichmentView),
        ):
            response = await client.request(method, path, json=body)
            assert response.is_success, (path, response.text)
            view.model_validate_json(response.content, strict=True)
    (request,) = gw.down.ingestion.submit.requests("DeleteSource")
    assert request.keep_documents


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/v1/sources/s", {}, "kind"),
        ("PUT", "/v1/sources/s", {"kind": "ftp"}, "kind"),
        ("PUT", "/v1/sources/s", {**SOURCE, "surprise": 1}, "surprise"),
        ("PUT", "/v1/sources/s", {**SOURCE, "sync_interval_seconds": 0.1}, "sync_interval_seconds"),
        ("PUT", "/v1/sources/s", {**SOURCE, "metadata": {"a": 2**63}}, "metadata.a"),
        ("PUT", "/v1/collections/c/enrichment", {"personal_data": "maybe"}, "personal_data"),
        ("POST", "/v1/documents/fetch", {"urls": []}, "urls"),
        ("POST", "/v1/documents/fetch", {"urls": [""]}, "urls[0]"),
        ("DELETE", "/v1/documents", None, "filter"),
        ("DELETE", "/v1/documents?source=a&owner=b", None, "filter"),
        ("DELETE", "/v1/documents?filter=%3D", None, "filter"),
    ],
)
async def test_bad_requests_name_the_field(
    gw: RunningGateway, method: str, path: str, body: Any, field: str
) -> None:
    async with gw.client() as client:
        response = await client.request(method, path, json=body)
    assert response.status_code == 400, response.text
    assert response.json()["violations"][0]["field"] == field


async def test_roles(gw: RunningGateway) -> None:
    editor = await gw.make_key(role="editor")
    viewer = await gw.make_key(role="viewer")
    async with gw.client(editor) as client:
        assert (await client.put("/v1/sources/s", json=SOURCE)).status_code == 403
        assert (await client.delete("/v1/documents?source=s")).status_code == 403
        assert (await client.get("/v1/sources/s/items")).status_code == 403
        sync = await client.post("/v1/sources/s/sync", json={"allow_empty": True})
        assert sync.status_code == 403
        assert (await client.post("/v1/sources/s/sync", json={})).status_code == 202
        fetched = await client.post("/v1/documents/fetch", json={"urls": ["https://a.org/"]})
        assert fetched.status_code == 202
    async with gw.client(viewer) as client:
        assert (await client.get("/v1/sources")).status_code == 403
        assert (await client.post("/v1/documents/fetch", json={"urls": ["x"]})).status_code == 403


async def test_large_files_are_streamed_and_small_ones_go_together(gw: RunningGateway) -> None:
    large = bytes(range(256)) * (4096 * 10)
    async with gw.client() as client:
        response = await client.post(
            "/v1/documents",
            files=[
                ("file", ("one.md", b"# One", "text/markdown")),
                ("file", ("large.txt", large, "text/plain")),
                ("file", ("two.md", b"# Two", "text/markdown")),
            ],
        )
    assert response.status_code == 202, response.text
    names = [each["document"]["document_id"] for each in response.json()["submissions"]]
    assert names == ["one.md", "large.txt", "two.md"]
    ((header, sizes),) = gw.down.ingestion.uploads
    assert (header.size_bytes, sum(sizes)) == (len(large), len(large))
    assert max(sizes) <= MIB


async def test_200_mb_are_refused_at_once(gw: RunningGateway) -> None:
    async def body() -> Any:
        for _ in range(200):
            yield b"x" * MIB

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    async with gw.client() as client:
        declared = await client.post(
            "/v1/documents", content=body(), headers={**headers, "Content-Length": str(200 * MIB)}
        )
        chunked = await client.post("/v1/documents", content=body(), headers=headers)
    for response in (declared, chunked):
        assert (response.status_code, response.json()["reason"]) == (413, "TOO_LARGE")
        assert "64000000" in response.json()["detail"]
    assert not gw.down.ingestion.submit.calls


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (AlreadyExistsError(Reason.IDEMPOTENCY_CONFLICT, "used before"), 409),
        (FailedPreconditionError(Reason.ACL_REQUIRED, "name its readers"), 409),
    ],
)
async def test_refusals_of_a_stream_are_the_callers_own(
    gw: RunningGateway, error: Any, status: int
) -> None:
    gw.down.ingestion.submit.error = error
    async with gw.client() as client:
        response = await client.post(
            "/v1/documents", files={"file": ("a.txt", b"x" * (5 * MIB), "text/plain")}
        )
    assert response.status_code == status, response.text
    assert response.json()["reason"] == error.reason.value


def _upload(*pieces: bytes, **header: Any) -> Any:
    async def messages() -> Any:
        document = pb.DocumentInput(document_id="d", file_name="a.txt")
        yield pb.UploadDocumentRequest(header=pb.UploadHeader(document=document, **header))
        for piece in pieces:
            yield pb.UploadDocumentRequest(content=piece)

    return messages()


async def test_grpc_streams_are_handed_on(gw: RunningGateway) -> None:
    metadata = (("authorization", f"Bearer {gw.key}"),)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        answer = await stub.UploadDocument(
            _upload(b"Granite ", b"is hard.", size_bytes=16, collection="rocks"), metadata=metadata
        )
        assert answer.submission.document.document_id == "d"
        ((header, sizes),) = gw.down.ingestion.uploads
        assert (header.collection, header.size_bytes, sizes) == ("rocks", 16, [8, 8])

        async def two_headers() -> Any:
            async for message in _upload(b"half"):
                yield message
            async for message in _upload():
                yield message

        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UploadDocument(two_headers(), metadata=metadata)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert len(gw.down.ingestion.uploads) == 1, "half of a document is none"
        fetched = await stub.FetchDocuments(
            pb.FetchDocumentsRequest(urls=["https://a.org/"]), metadata=metadata
        )
        assert fetched.submissions[0].document.document_id == "https://a.org/"
        deleted = await stub.DeleteDocuments(
            pb.DeleteDocumentsRequest(owner="user:ann"), metadata=metadata
        )
        assert deleted.is_verified
