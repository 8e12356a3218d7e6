"""Checks of answers and refusal thresholds, over HTTP and gRPC, against fake services."""

from __future__ import annotations

import grpc.aio
import pytest
from cairn.gateway.v1 import gateway_service_pb2_grpc as rpc
from cairn.gateway.v1 import quality_pb2 as pb

from services.rpc.errors import Reason, UnavailableError
from tests.kit.gateway import RunningGateway

ANSWER = "Granite forms slowly [1]. It costs 900 euros. Cats sleep."
SOURCES = ["Magma cools slowly and forms granite.", "It costs 250 euros a ton."]
CALIBRATION = {
    "min_support": 0.52,
    "question_count": 100,
    "off_topic_count": 50,
    "false_refusal_rate": 0.05,
    "off_topic_refusal_rate": 0.94,
    "auroc": 0.98,
}


async def test_each_sentence_has_its_support(gw: RunningGateway) -> None:
    async with gw.client() as client:
        reply = await client.post("/v1/verify", json={"answer": ANSWER, "sources": SOURCES})
    checked = reply.json()
    assert reply.status_code == 200, checked
    assert set(checked) == {f.name for f in pb.VerifyAnswerResponse.DESCRIPTOR.fields}
    texts = [ANSWER[each["start"] : each["end"]] for each in checked["sentences"]]
    assert texts == ["Granite forms slowly [1].", "It costs 900 euros.", "Cats sleep."]
    good, invented, foreign = (each["support"] for each in checked["sentences"])
    assert good > 0.9
    assert invented == 0.2
    assert foreign == 0.0
    lengths = [sum(map(str.isalnum, text.replace("[1]", ""))) for text in texts]
    mean = (good * lengths[0] + invented * lengths[1]) / sum(lengths)
    assert checked["grounded"] == pytest.approx(mean, abs=1e-3)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        answer = await rpc.GatewayServiceStub(channel).VerifyAnswer(
            pb.VerifyAnswerRequest(answer=ANSWER, sources=SOURCES),
            metadata=(("authorization", f"Bearer {gw.key}"),),
        )
    assert [round(each.support, 4) for each in answer.sentences] == [good, invented, foreign]


async def test_nothing_supports_without_sources(gw: RunningGateway) -> None:
    async with gw.client() as client:
        checked = (await client.post("/v1/verify", json={"answer": ANSWER})).json()
    assert checked["grounded"] == 0.0
    assert {each["support"] for each in checked["sentences"]} == {0.0}


async def test_a_check_without_the_encoder_says_so(gw: RunningGateway) -> None:
    gw.down.embedding.tokens.error = UnavailableError(Reason.NOT_READY, "away")
    async with gw.client() as client:
        body = {"answer": ANSWER, "sources": SOURCES}
        checked = (await client.post("/v1/verify", json=body)).json()
    assert checked["degraded"] == ["grounding_by_words"]
    assert checked["sentences"][0]["support"] > 0.5


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"answer": "", "sources": []}, "answer"),
        ({"answer": "x" * 32_001}, "answer"),
        ({"answer": "x", "sources": ["y" * 32_001]}, "sources[0]"),
        ({"answer": "x", "sources": ["y" * 30_000] * 9}, "sources"),
    ],
)
async def test_wrong_checks_are_refused(
    gw: RunningGateway, body: dict[str, object], field: str
) -> None:
    async with gw.client() as client:
        reply = await client.post("/v1/verify", json=body)
    assert reply.status_code in {400, 413}, reply.text
    assert reply.json()["violations"][0]["field"] == field


async def test_a_calibration_is_kept_and_sent_with_questions(gw: RunningGateway) -> None:
    path = "/v1/collections/default/calibration"
    async with gw.client() as client:
        assert (await client.get(path)).json() == {"calibration": None}
        kept = (await client.put(path, json=CALIBRATION)).json()["calibration"]
        assert kept | CALIBRATION == kept
        assert kept["collection"] == "default"
        assert (await client.get(path)).json()["calibration"] == kept
        await client.post("/v1/query", json={"query": "How does granite form?"})
        (asked,) = gw.down.generation.generate.requests("Generate")[-1:]
        assert asked.min_support == pytest.approx(0.52)
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).json() == {"calibration": None}
        await client.post("/v1/query", json={"query": "How does granite form?"})
        (asked,) = gw.down.generation.generate.requests("Generate")[-1:]
        assert not asked.HasField("min_support"), "the answer of before was not taken"


async def test_calibrations_over_grpc(gw: RunningGateway) -> None:
    metadata = (("authorization", f"Bearer {gw.key}"),)
    async with grpc.aio.insecure_channel(gw.grpc_target) as channel:
        stub = rpc.GatewayServiceStub(channel)
        kept = await stub.SetCalibration(
            pb.SetCalibrationRequest(calibration=pb.Calibration(min_support=0.25, auroc=0.9)),
            metadata=metadata,
        )
        assert kept.calibration.collection == "default"
        found = await stub.GetCalibration(pb.GetCalibrationRequest(), metadata=metadata)
        assert found.calibration == kept.calibration
        assert not found.calibration.HasField("off_topic_refusal_rate")
        gone = await stub.SetCalibration(pb.SetCalibrationRequest(), metadata=metadata)
        assert not gone.HasField("calibration")


@pytest.mark.parametrize("wrong", [{"min_support": 1.5}, {"min_support": 0.5, "auroc": -1}, {}])
async def test_wrong_calibrations_are_refused(gw: RunningGateway, wrong: dict[str, float]) -> None:
    async with gw.client() as client:
        reply = await client.put("/v1/collections/default/calibration", json=wrong)
        absent = await client.put("/v1/collections/absent/calibration", json=CALIBRATION)
    assert reply.status_code == 400
    assert absent.status_code == 404


async def test_viewers_read_and_do_not_set(gw: RunningGateway) -> None:
    key = await gw.make_key(role="viewer")
    path = "/v1/collections/default/calibration"
    async with gw.client(key) as client:
        assert (await client.get(path)).status_code == 200
        assert (await client.put(path, json=CALIBRATION)).status_code == 403
        assert (await client.post("/v1/verify", json={"answer": "x."})).status_code == 200


async def test_recommendations_by_history_reach_retrieval(gw: RunningGateway) -> None:
    body = {
        "positive_ids": ["a"],
        "liked_ids": ["rocks/granite.md"],
        "disliked_ids": ["b"],
        "filter": 'stock > 0 AND category = "rock"',
        "top_k": 10,
    }
    async with gw.client() as client:
        reply = await client.post("/v1/recommend", json=body)
    assert reply.status_code == 200, reply.text
    (sent,) = gw.down.retrieval.search.requests("Recommend")[-1:]
    assert sent.options.top_k == 10
    assert sent.history.liked_ids == ["rocks/granite.md"]
    assert sent.history.disliked_ids == ["b"]
    assert sent.options.HasField("filter")
    assert set(reply.json()["timings_ms"]) == {"cache", "retrieve", "total"}
