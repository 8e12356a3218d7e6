"""Kinds of a collection's index: chosen, changed and built anew, over REST, gRPC and the client."""

from __future__ import annotations

import json
from typing import Any

import grpc
import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2 as pb
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.retrieval.v1 import retrieval_service_pb2 as retrieval

from cairn_client import AsyncClient
from services.rpc.errors import Reason, UnavailableError
from tests.kit.gateway import RunningGateway

PATH = "/v1/collections/default"


async def send(gw: RunningGateway, method: str, path: str, body: Any = None) -> Any:
    async with gw.client() as client:
        return await client.request(method, path, json=body)


def events(text: str) -> list[tuple[str, Any]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def test_a_collection_tells_the_kind_asked_for_and_the_one_in_use(gw: RunningGateway) -> None:
    body = {"name": "fresh", "index_type": "ivf_pq"}
    made = (await send(gw, "POST", "/v1/collections", body)).json()["collection"]
    assert (made["index_type"], made["index"]) == ("ivf_pq", None)
    found = (await send(gw, "GET", "/v1/collections/fresh")).json()["collection"]
    assert found["index"] == {
        "index_type": "ivf_pq",
        "bytes_per_vector": 48.0,
        "recall_loss": 0.0125,
        "view_bytes": 4_000,
        "disk_bytes": 0,
        "segment_count": 1,
    }
    usual = (await send(gw, "GET", PATH)).json()["collection"]
    assert (usual["index_type"], usual["index"]["index_type"]) == ("auto", "flat")
    assert usual["index"]["recall_loss"] is None


async def test_settings_change_one_by_one(gw: RunningGateway) -> None:
    changed = await send(gw, "PATCH", PATH, {"index_type": "hnsw"})
    told = changed.json()["collection"]
    assert (told["index_type"], told["document_count"]) == ("hnsw", 1)
    assert (await send(gw, "PATCH", PATH, {"description": ""})).status_code == 200
    assert (await send(gw, "PATCH", PATH, {"index_type": "auto"})).status_code == 200
    given = [list(each.update_mask.paths) for each in gw.down.retrieval.updates]
    assert given == [["index_type"], ["description"], ["index_type"]]


@pytest.mark.parametrize(
    "body", [{}, {"index_type": "best"}, {"name": "x"}, {"description": "x" * 2_001}]
)
async def test_wrong_changes_are_refused(gw: RunningGateway, body: dict[str, Any]) -> None:
    response = await send(gw, "PATCH", PATH, body)
    assert response.status_code == 400
    assert response.json()["violations"]
    assert gw.down.retrieval.updates == []


async def test_an_index_is_built_anew_telling_how_far_it_is(gw: RunningGateway) -> None:
    response = await send(gw, "POST", f"{PATH}/optimize", {"index_type": "rabitq"})
    assert response.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in events(response.text)]
    assert names == ["progress", "progress", "response"]
    told = dict(events(response.text))
    assert told["progress"] == {"fraction": 1.0, "message": "built"}
    assert told["response"]["collection"]["index"]["index_type"] == "rabitq"


async def test_a_build_that_fails_says_so(gw: RunningGateway) -> None:
    missing = await send(gw, "POST", "/v1/collections/nowhere/optimize", {})
    assert (missing.status_code, missing.json()["reason"]) == (404, "COLLECTION_NOT_FOUND")
    gw.down.retrieval.search.error = UnavailableError(Reason.NOT_READY, "stopped")
    last = events((await send(gw, "POST", f"{PATH}/optimize", {})).text)[-1]
    assert (last[0], last[1]["reason"]) == ("error", "NOT_READY")


async def test_grpc_has_the_same(gw: RunningGateway) -> None:
    metadata = (("authorization", f"Bearer {gw.key}"),)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        change = pb.UpdateCollectionRequest(name="default", index_type=pb.INDEX_TYPE_IVF_SQ8)
        changed = await stub.UpdateCollection(change, metadata=metadata)
        ask = pb.OptimizeCollectionRequest(name="default")
        steps = [each async for each in stub.OptimizeCollection(ask, metadata=metadata)]
        for wrong in (
            pb.UpdateCollectionRequest(name="default"),
            pb.UpdateCollectionRequest(name="default", index_type=99),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stub.UpdateCollection(wrong, metadata=metadata)
            assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert changed.collection.index_type == pb.INDEX_TYPE_IVF_SQ8
    assert [each.HasField("collection") for each in steps] == [False, False, True]
    index = steps[-1].collection.index
    assert (index.index_type, round(index.recall_loss, 4)) == (retrieval.INDEX_TYPE_IVF_SQ8, 0.0125)


async def test_the_client_has_the_same(gw: RunningGateway) -> None:
    async with AsyncClient(gw.url, gw.key) as client:
        made = await client.create_collection("fresh", index_type="hnsw_sq8")
        assert made.index_type == "hnsw_sq8"
        changed = await client.update_collection("fresh", index_type="flat")
        assert changed.index_type == "flat"
        found = await client.get_collection("fresh")
    assert found.index is not None
    assert found.index["index_type"] == "flat"


async def test_who_may_not_change_collections_cannot(gw: RunningGateway) -> None:
    editor = await gw.make_key(role="editor")
    async with gw.client(editor) as client:
        for method, path, body in (
            ("PATCH", PATH, {"index_type": "flat"}),
            ("POST", f"{PATH}/optimize", {}),
        ):
            assert (await client.request(method, path, json=body)).status_code == 403
