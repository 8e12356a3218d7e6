"""A list in an answer is checked by what its items say, not by their numbers."""

from __future__ import annotations

from tests.kit.gateway import RunningGateway

SOURCE = "Granite is hard. Basalt cools quickly at the surface."


async def test_the_number_of_an_item_is_no_number_of_the_answer(gw: RunningGateway) -> None:
    answer = "Two facts:\n1. Granite is hard.\n2. Basalt cools quickly.\n3. It costs 900 euros."
    async with gw.client() as client:
        reply = await client.post("/v1/verify", json={"answer": answer, "sources": [SOURCE]})
    sentences = reply.json()["sentences"]
    said = {answer[each["start"] : each["end"]]: each["support"] for each in sentences}
    assert said["1. Granite is hard."] == 1.0
    assert said["2. Basalt cools quickly."] > 0.5
    assert said["3. It costs 900 euros."] <= 0.2
