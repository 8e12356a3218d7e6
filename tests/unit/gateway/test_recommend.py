"""What is asked of retrieval for recommendations."""

from __future__ import annotations

import pytest

from services.gateway.requests import RecommendAsk
from services.rpc.errors import InvalidArgumentError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import pipeline


async def sent(**more: object) -> RecommendAsk:
    fake = FakeServices([passage(name, name) for name in ("boots", "hat")])
    ask = RecommendAsk.checked(**more)  # pyright: ignore[reportArgumentType] - any field
    found = await pipeline(fake).recommend(SCOPE, ask)
    assert set(found.timings_ms) == {"retrieve", "total"}
    ((name, asked),) = fake.calls
    assert name == "recommend"
    return asked


async def test_a_history_alone_is_enough() -> None:
    assert (await sent(liked_ids=["cap"])).positive_ids == ("cap",)
    assert (await sent(liked_ids=["cap"], positive_ids=["hat"])).positive_ids == ("hat",)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({}, "positive_ids"),
        ({"disliked_ids": ["a"]}, "positive_ids"),
        ({"liked_ids": ["a"] * 101}, "liked_ids (entries)"),
        ({"positive_ids": ["a"], "liked_ids": ["a"] * 501}, "liked_ids (entries)"),
        ({"positive_ids": ["a"], "history_weight": 1.5}, "history_weight"),
        ({"positive_ids": ["a"], "diversity": float("nan")}, "diversity"),
        ({"positive_ids": ["a"], "candidates": 1_001}, "candidates"),
        ({"positive_ids": ["a"], "liked_ids": [""]}, "liked_ids[0]"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        RecommendAsk.checked(**fields)  # pyright: ignore[reportArgumentType] - any field
    assert caught.value.violations[0].field == named
