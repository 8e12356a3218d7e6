"""Quality on a small set of our own, by the shipped path: a change that costs answers fails here.

The floors are a little under what the set gave when it was made; `docs/quality.md` has the figures.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kit.suite import Suite

DATA = Path(__file__).parents[1] / "data" / "quality"
QUESTIONS = len((DATA / "queries.jsonl").read_text("utf-8").splitlines())
FLOORS = {
    "keyword": {"ndcg@10": 0.95, "recall@5": 0.97},
    "hybrid": {"ndcg@10": 0.95, "recall@5": 0.97},
    "rerank": {"ndcg@10": 0.96, "recall@5": 0.97},
    "answer": {"answer_containment": 0.84, "answer_in_passages": 0.97, "citation_validity": 1.0},
}


@pytest.fixture(scope="module")
def collection(suite: Suite) -> Iterator[str]:
    """The set in a collection of its own, which every mode measures."""
    name = f"quality-{secrets.token_hex(4)}"
    report = measured(suite, name, "keyword", "--keep")
    assert report["corpus"]["documents"] == 40
    yield name
    suite.cairn("collections", "delete", name, "--yes")


def measured(suite: Suite, collection: str, mode: str, *more: str) -> dict[str, Any]:
    done = suite.cairn(
        "eval", str(DATA), "--collection", collection, "--mode", mode, "--json", *more
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fallen_in(report: dict[str, Any], mode: str) -> dict[str, tuple[float, float]]:
    """What is below its floor: found, and wanted."""
    return {
        name: (report["metrics"][name], floor)
        for name, floor in FLOORS[mode].items()
        if report["metrics"][name] < floor
    }


@pytest.mark.parametrize("mode", FLOORS)
def test_quality_has_not_fallen(suite: Suite, collection: str, mode: str) -> None:
    report = measured(suite, collection, mode)
    if fallen_in(report, mode) and report["degraded"]:
        # Steps ran out of time: once more, they may have it.
        report = measured(suite, collection, mode)
    fallen, degraded = fallen_in(report, mode), report["degraded"]
    print(mode, report["metrics"], degraded)
    assert max(degraded.values(), default=0) < QUESTIONS, f"a step never worked: {degraded}"
    if fallen and degraded:
        pytest.skip(f"too little time on this machine: {degraded}, {fallen}")
    assert not fallen


def test_questions_about_other_things_are_refused_once_it_is_calibrated(
    suite: Suite, collection: str
) -> None:
    done = suite.cairn(
        *("collections", "calibrate", collection, "--json"),
        *("--questions", str(DATA / "queries.jsonl")),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(found)
    assert found["kept"]
    assert found["auroc"] > 0.9
    assert found["off_topic_refusal_rate"] >= 0.7
    with suite.client() as client:
        kept = client.get(f"/v1/collections/{collection}/calibration").json()["calibration"]
    assert kept["min_support"] == pytest.approx(found["min_support"])
    refused = suite.query("How long should I boil an egg?", collection=collection)
    assert refused["support"] < kept["min_support"]
    assert refused["refused"]
    answered = suite.query("How many locks does the Varre canal have?", collection=collection)
    assert not answered["refused"]


def test_groundedness_tells_copies_from_inventions(suite: Suite) -> None:
    source = "The Varre canal was dug between 1786 and 1794. It climbs 64 metres by nineteen locks."
    answers = {
        "copied": "It climbs 64 metres by nineteen locks.",
        "said otherwise": "Nineteen locks lift the canal by 64 metres.",
        "wrong number": "It climbs 70 metres by nineteen locks.",
        "invented": "Tourists love the restaurants along its banks.",
    }
    with suite.client() as client:
        grounded = {
            name: client.post("/v1/verify", json={"answer": text, "sources": [source]}).json()[
                "grounded"
            ]
            for name, text in answers.items()
        }
    print(grounded)
    assert grounded["copied"] == 1.0
    assert grounded["said otherwise"] > 0.5
    assert grounded["wrong number"] <= 0.2
    assert grounded["invented"] < 0.35


def test_a_shop_recommends_by_item_and_history(suite: Suite) -> None:
    name = f"shop-{secrets.token_hex(4)}"
    items = {
        "kestrel": ("Light trail running shoe for dry rocky ground.", "shoes", 4),
        "otter": ("Waterproof trail running shoe for mud and rain.", "shoes", 2),
        "marten": ("Trail running shoe for long races on rocky ground.", "shoes", 0),
        "heron": ("Road running shoe for marathons on asphalt.", "shoes", 7),
        "badger": ("Warm hiking boot for snow and winter trails.", "shoes", 3),
        "rain-1": ("Waterproof rain jacket for storms in the mountains.", "jackets", 5),
        "rain-2": ("Waterproof rain trousers for wet days on the trail.", "trousers", 5),
        "down-1": ("Down jacket for cold winter nights in camp.", "jackets", 1),
    }
    documents = [
        {
            "document_id": key,
            "title": key,
            "text": text,
            "metadata": {"category": category, "stock": stock},
        }
        for key, (text, category, stock) in items.items()
    ]
    with suite.client() as client:
        client.post("/v1/collections", json={"name": name}).raise_for_status()
        try:
            body = {"collection": name, "documents": documents}
            client.post("/v1/documents", json=body).raise_for_status()
            wait_ready(client, name, len(items))
            ask = {
                "collection": name,
                "positive_ids": ["kestrel"],
                "filter": 'stock > 0 AND category = "shoes"',
            }
            plain = names(client.post("/v1/recommend", json=ask).json())
            assert set(plain) == {"otter", "heron", "badger"}, "what is sold out is not offered"
            wet = ask | {"liked_ids": ["rain-1", "rain-2"], "history_weight": 0.8}
            assert names(client.post("/v1/recommend", json=wet).json())[0] == "otter"
            cold = ask | {
                "liked_ids": ["down-1"],
                "disliked_ids": ["rain-1"],
                "history_weight": 0.9,
            }
            reply = client.post("/v1/recommend", json=cold).json()
            assert names(reply)[0] == "badger"
            assert reply["degraded"] == []
            alone = {"collection": name, "liked_ids": ["rain-1"], "top_k": 2}
            assert "rain-2" in names(client.post("/v1/recommend", json=alone).json())
        finally:
            client.delete(f"/v1/collections/{name}")


def names(reply: dict[str, Any]) -> list[str]:
    return [each["passage"]["document_id"] for each in reply["passages"]]


def wait_ready(client: Any, collection: str, count: int) -> None:
    until, found = time.monotonic() + 60, 0
    while found != count and time.monotonic() < until:
        time.sleep(0.3)
        reply = client.get(f"/v1/collections/{collection}").json()
        found = reply["collection"]["document_count"]
    assert found == count
