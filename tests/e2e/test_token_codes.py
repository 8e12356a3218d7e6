"""Token codes through the whole suite: made at ingestion, kept over updates, used to rerank."""

import pytest

from tests.kit.suite import Suite, ingest_text

pytestmark = pytest.mark.timeout(180)

HARBOURS = {
    f"harbour-{number}": f"# Harbour {number}\n\n"
    f"The harbour of Tarnvik number {number} was dredged to {number + 7} metres. "
    f"Its crane lifts {number * 3 + 5} tonnes.\n\n"
    f"## Fees\n\nA berth costs {number * 11} crowns a night. Ferries pay nothing.\n"
    for number in range(1, 9)
}
QUESTION = "Tarnvik harbour 3: how many crowns does a berth cost a night?"


def reranked(suite: Suite) -> tuple[list[str], list[float]]:
    """Returns what the stage said of itself, and its scores."""
    body = {"query": QUESTION, "rerank": True, "top_k": 20, "explain": True}
    found = {"degraded": ["not asked yet"]}
    with suite.client() as client:
        for _ in range(5):  # a stage may run out of its time on a busy machine
            response = client.post("/v1/search", json=body)
            assert response.status_code == 200, response.text
            found = response.json()
            if not found["degraded"]:
                break
    (stage,) = [each for each in found["explanation"] if each["stage"] == "rerank"]
    assert found["degraded"] == []
    return stage["notes"], [each["scores"]["rerank"] for each in found["passages"]]


def test_passages_are_reranked_by_codes_before_and_after_an_update(suite: Suite):
    ingest_text(suite, **HARBOURS)
    notes, scores = reranked(suite)
    (counted,) = notes
    used, _, of = counted.partition(" of ")
    assert int(used) == int(of.split()[0]) >= 8, counted
    assert max(scores) > min(scores) > 0
    edited = HARBOURS["harbour-3"].replace(
        "Ferries pay nothing.", "Yachts of the Larsen club pay half."
    )
    ingest_text(suite, **{"harbour-3": edited})
    assert reranked(suite)[0] == notes
    answer = suite.query("What do yachts of the Larsen club pay?")
    assert "Larsen club pay half" in answer["answer"]
