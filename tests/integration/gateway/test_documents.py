"""Documents, collections, feedback, usage over HTTP and gRPC."""

from __future__ import annotations

import base64
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.ingestion.v1 import ingestion_service_pb2 as ingestion

from services.gateway.edge.views import DocumentView
from tests.kit.downstream import TEXT
from tests.kit.gateway import RunningGateway


async def submit(gw: RunningGateway, *documents: dict[str, Any], **more: Any) -> Any:
    async with gw.client() as client:
        return await client.post("/v1/documents", json={"documents": list(documents), **more})


async def test_json_submission_reaches_ingestion_whole(gw: RunningGateway) -> None:
    response = await submit(
        gw,
        {
            "document_id": "a/b.md",
            "text": "# Ä",
            "content_type": "text/markdown",
            "metadata": {
                "kind": "rock",
                "year": 1950,
                "weight": 1.0,
                "heavy": True,
                "tags": ["x", "y"],
                "at": {"timestamp": "2026-01-01T00:00:00Z"},
                "none": None,
            },
            "acl": ["group:staff"],
        },
        {"document_id": "b", "content_base64": base64.b64encode(b"\x00\xff").decode()},
        collection="rocks",
    )
    assert response.status_code == 202, response.text
    first, second = response.json()["submissions"]
    assert first["document"]["state"] == "queued"
    assert set(first["document"]) == {f.name for f in pb.Document.DESCRIPTOR.fields}
    DocumentView.model_validate(second["document"])
    (request,) = gw.down.ingestion.submit.requests("SubmitDocuments")
    assert request.collection == "rocks"
    assert request.documents[0].content == "# Ä".encode()
    assert request.documents[1].content == b"\x00\xff"
    metadata = request.documents[0].header.metadata
    kinds = {name: value.WhichOneof("kind") for name, value in metadata.items()}
    assert kinds == {
        "kind": "keyword",
        "year": "integer",
        "weight": "float",
        "heavy": "bool",
        "tags": "tags",
        "at": "timestamp",
        "none": None,
    }
    assert list(request.documents[0].header.acl) == ["group:staff"]


async def test_bad_document_fails_alone(gw: RunningGateway) -> None:
    response = await submit(
        gw,
        {"document_id": "good", "text": "x"},
        {"document_id": "empty", "text": ""},
        {"document_id": "image", "text": "x", "content_type": "image/png"},
    )
    assert response.status_code == 202
    good, empty, image = response.json()["submissions"]
    assert good["document"]["document_id"] == "good"
    assert (empty["document"], empty["error_reason"]) == (None, "EMPTY_TEXT")
    assert (image["document"], image["error_reason"]) == (None, "UNSUPPORTED_CONTENT_TYPE")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"text": ""}, "EMPTY_TEXT"),
        ({}, "EMPTY_TEXT"),
        ({"text": "x", "content_base64": "eA=="}, "EMPTY_TEXT"),
        ({"content_base64": "not base64!"}, "INVALID_FIELD"),
        ({"text": "x", "content_type": "image/png"}, "UNSUPPORTED_CONTENT_TYPE"),
        ({"text": "x", "document_id": "x" * 513}, "TOO_LARGE"),
        ({"text": "x", "metadata": {"a": {"timestamp": "soon"}}}, "INVALID_FIELD"),
        ({"text": "x", "metadata": {"a": 2**63}}, "INVALID_FIELD"),
        ({"text": "x", "metadata": {"a": {"b": {}}}}, "INVALID_FIELD"),
    ],
)
async def test_refusal_of_every_document_is_an_error(
    gw: RunningGateway, document: dict[str, Any], reason: str
) -> None:
    response = await submit(gw, document)
    assert response.status_code == 400, response.text
    assert response.json()["reason"] == reason
    assert "documents[0]" in response.json()["violations"][0]["field"]


async def test_files_come_as_forms(gw: RunningGateway) -> None:
    async with gw.client() as client:
        response = await client.post(
            "/v1/documents",
            data={"collection": "rocks", "metadata": '{"year": 1950}', "acl": ["a", "b"]},
            files=[
                ("file", ("one.md", b"# One", "text/markdown")),
                ("file", ("two.bin", b"\x00" * 2_000_000, "application/octet-stream")),
            ],
        )
        assert response.status_code == 202, response.text
        (request,) = gw.down.ingestion.submit.requests("SubmitDocuments")
        assert [d.header.file_name for d in request.documents] == ["one.md", "two.bin"]
        assert [d.header.content_type for d in request.documents] == ["text/markdown", ""]
        assert len(request.documents[1].content) == 2_000_000
        assert list(request.documents[0].header.acl) == ["a", "b"]
        for data, files in (
            ({"surprise": "x"}, [("file", ("a", b"x"))]),
            ({"metadata": "{"}, [("file", ("a", b"x"))]),
            ({"document_id": "one"}, [("file", ("a", b"x")), ("file", ("b", b"x"))]),
            ({"collection": "x"}, [("other", ("a", b"x"))]),
        ):
            bad = await client.post("/v1/documents", data=data, files=files)
            assert bad.status_code == 400, bad.text
        broken = await client.post(
            "/v1/documents",
            content=b"--nothing",
            headers={"content-type": "multipart/form-data; boundary=x"},
        )
        assert broken.status_code == 400
        unbounded = await client.post(
            "/v1/documents", content=b"x", headers={"content-type": "multipart/form-data"}
        )
        assert unbounded.status_code == 400


async def test_the_header_makes_a_submission_repeatable(gw: RunningGateway) -> None:
    two = [{"text": "x"}, {"text": "y"}]
    own = {"text": "x", "idempotency_key": "k"}
    async with gw.client() as client:

        async def keys(key: str | list[tuple[str, str]], **body: Any) -> list[str] | str:
            """The keys that ingestion sees, or what is wrong."""
            headers = [("Idempotency-Key", key)] if isinstance(key, str) else key
            gw.down.ingestion.submit.calls.clear()
            response = await client.post("/v1/documents", headers=headers, **body)
            if response.status_code == 400:
                (violation,) = response.json()["violations"]
                assert violation["field"] == "Idempotency-Key"
                return response.json()["reason"]
            assert response.status_code == 202, response.text
            (request,) = gw.down.ingestion.submit.requests("SubmitDocuments")
            return [each.header.idempotency_key for each in request.documents]

        assert await keys("k", json={"documents": two[:1]}) == ["k"]
        assert await keys('"k"', json={"documents": two[:1]}) == ["k"]
        assert await keys("k", json={"documents": two}) == ["k/0", "k/1"]
        assert await keys("k", json={"documents": [own]}) == ["k"]
        assert await keys("", json={"documents": [own, *two]}) == ["k", "", ""]
        files = [("file", ("a.txt", b"x")), ("file", ("b.txt", b"x"))]
        assert await keys("k", files=files) == ["k/0", "k/1"]
        assert await keys("k", files=files[:1], data={"idempotency_key": "k"}) == ["k"]
        twice = [("Idempotency-Key", "k"), ("Idempotency-Key", "k")]
        assert await keys(twice, json={"documents": two[:1]}) == ["k"]

        assert await keys("other", json={"documents": [own]}) == "INVALID_FIELD"
        assert await keys("k", json={"documents": [*two, own]}) == "INVALID_FIELD"
        assert (
            await keys("other", files=files[:1], data={"idempotency_key": "k"}) == "INVALID_FIELD"
        )
        twice[1] = ("Idempotency-Key", "other")
        assert await keys(twice, json={"documents": two[:1]}) == "INVALID_FIELD"
        assert await keys("k" * 241, json={"documents": two}) == "TOO_LARGE"


async def test_document_joins_job_and_index(gw: RunningGateway) -> None:
    await submit(gw, {"document_id": "rocks/granite.md", "text": "x"})
    async with gw.client() as client:
        document = (await client.get("/v1/documents/rocks/granite.md")).json()["document"]
        encoded = (await client.get("/v1/documents/rocks%2Fgranite.md?omit_text=true")).json()
        absent = await client.get("/v1/documents/absent")
    assert document["text"] == TEXT
    assert (document["version"], document["chunk_count"]) == (3, 2)
    assert document["job_id"] == "job-0"
    assert encoded["document"]["text"] == ""
    assert absent.status_code == 404
    assert absent.json()["reason"] == "DOCUMENT_NOT_FOUND"


async def test_document_life(gw: RunningGateway) -> None:
    await submit(gw, {"document_id": "x/y", "text": "x"})
    job = gw.down.ingestion.jobs["x/y"]
    job.state = ingestion.JOB_STATE_DEAD_LETTER
    job.failure.CopyFrom(
        ingestion.JobFailure(
            reason="PARSE_FAILED", message="is damaged", stage=ingestion.STAGE_PARSED
        )
    )
    async with gw.client() as client:
        listed = (await client.get("/v1/documents?state=dead_letter&page_size=5")).json()
        assert [each["document_id"] for each in listed["documents"]] == ["x/y"]
        (failed,) = listed["documents"]
        names = ("stage", "failure_stage", "failure_reason", "failure_message")
        assert [failed[name] for name in names] == [
            "received",
            "parsed",
            "PARSE_FAILED",
            "is damaged",
        ]
        assert (await client.get("/v1/documents?state=lost")).status_code == 400
        retried = await client.post("/v1/documents/x/y/retry")
        assert retried.status_code == 200, retried.text
        assert (await client.delete("/v1/documents/x/y")).status_code == 204
        assert (await client.delete("/v1/documents/x/y")).status_code == 404
        assert (await client.post("/v1/documents/x/y/retry")).status_code == 404


async def test_collections(gw: RunningGateway) -> None:
    async with gw.client() as client:
        created = await client.post(
            "/v1/collections", json={"name": "rocks", "fields": {"year": "integer"}}
        )
        assert created.status_code == 201, created.text
        assert set(created.json()["collection"]) == {
            f.name for f in pb.Collection.DESCRIPTOR.fields
        }
        listed = (await client.get("/v1/collections")).json()["collections"]
        assert [(c["name"], c["document_count"]) for c in listed] == [("default", 1), ("rocks", 1)]
        assert (await client.get("/v1/collections/rocks")).status_code == 200
        assert (await client.delete("/v1/collections/rocks")).status_code == 204
        assert (await client.get("/v1/collections/rocks")).status_code == 404
        unknown = await client.post(
            "/v1/collections", json={"name": "x", "embedding_model": "absent"}
        )
        assert (unknown.status_code, unknown.json()["reason"]) == (404, "MODEL_NOT_FOUND")


async def test_feedback_and_usage(gw: RunningGateway) -> None:
    async with gw.client() as client:
        answer = (await client.post("/v1/query", json={"query": "granite"})).json()
        given = {"trace_id": answer["trace_id"], "rating": "up", "markers": [1]}
        assert len((await client.post("/v1/feedback", json=given)).json()["feedback_id"]) == 32
        await client.post("/v1/search", json={"query": "granite"})
        await client.post("/v1/search", json={"query": "granite"})
        rows = {row["operation"]: row for row in (await client.get("/v1/usage")).json()["rows"]}
        assert rows["query"]["request_count"] == 1
        assert rows["query"]["usage"] == answer["usage"]
        assert rows["search"]["request_count"] == 2
        for query in ("from_day=x", "from_day=2026-02-01&to_day=2026-01-01", "to_day=2026-02-30"):
            assert (await client.get(f"/v1/usage?{query}")).status_code == 400


async def test_every_method_over_grpc(gw: RunningGateway) -> None:
    await submit(gw, {"document_id": "a", "text": "x"})
    calls = {
        "Search": pb.SearchRequest(query="x"),
        "Recommend": pb.RecommendRequest(positive_ids=["a"]),
        "SubmitDocuments": pb.SubmitDocumentsRequest(documents=[pb.DocumentInput(content=b"x")]),
        "GetDocument": pb.GetDocumentRequest(document_id="rocks/granite.md"),
        "ListDocuments": pb.ListDocumentsRequest(),
        "RetryDocument": pb.RetryDocumentRequest(document_id="a"),
        "DeleteDocument": pb.DeleteDocumentRequest(document_id="a"),
        "CreateCollection": pb.CreateCollectionRequest(name="fresh"),
        "GetCollection": pb.GetCollectionRequest(name="fresh"),
        "ListCollections": pb.ListCollectionsRequest(),
        "DeleteCollection": pb.DeleteCollectionRequest(name="fresh"),
        "SubmitFeedback": pb.SubmitFeedbackRequest(trace_id="0" * 32, rating=pb.RATING_DOWN),
        "GetUsage": pb.GetUsageRequest(),
    }
    metadata = (("authorization", f"Bearer {gw.key}"),)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        for name, request in calls.items():
            assert await getattr(stub, name)(request, metadata=metadata) is not None, name
        for name, request in {
            "Query": pb.QueryRequest(query="x", mode=99),
            "Search": pb.SearchRequest(),
            "Recommend": pb.RecommendRequest(),
            "SubmitDocuments": pb.SubmitDocumentsRequest(),
            "GetDocument": pb.GetDocumentRequest(),
            "SubmitFeedback": pb.SubmitFeedbackRequest(trace_id="0" * 32),
            "CreateCollection": pb.CreateCollectionRequest(),
            "ListDocuments": pb.ListDocumentsRequest(page_size=2**31),
        }.items():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(stub, name)(request, metadata=metadata)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, name
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetUsage(pb.GetUsageRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
