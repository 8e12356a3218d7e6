"""Candidates by likeness, in the order of a history."""

from __future__ import annotations

import math

import pytest

from services.gateway.passages import ScoredPassage
from services.gateway.requests import RecommendAsk
from services.rpc.errors import InvalidArgumentError, Reason, UnavailableError
from tests.kit.pipeline_fakes import SCOPE, FakeServices, passage
from tests.unit.gateway.test_pipeline import pipeline


def angle(degrees: float) -> tuple[float, float]:
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


ITEMS = {"boots": 5, "shoes": 10, "socks": 15, "hat": 60, "scarf": 62, "tent": 90}


def shop() -> FakeServices:
    """Items by their angle to what is looked at, which lies at 0."""
    fake = FakeServices(
        [
            passage(name, name, final=math.cos(math.radians(degrees)))
            for name, degrees in ITEMS.items()
        ]
    )
    fake.vectors = {name: angle(degrees) for name, degrees in ITEMS.items()}
    fake.history = {"cap": angle(61), "bag": angle(95), "heels": angle(8)}
    return fake


def names(found: tuple[ScoredPassage, ...]) -> list[str]:
    return [each.passage.document_id for each in found]


async def recommended(fake: FakeServices, **more: object) -> list[str]:
    ask = RecommendAsk.checked(positive_ids=["looked-at"], **more)  # pyright: ignore[reportArgumentType] - any field
    return names((await pipeline(fake).recommend(SCOPE, ask)).passages)


async def test_without_a_history_retrieval_decides() -> None:
    fake = shop()
    assert await recommended(fake, top_k=3) == ["boots", "shoes", "socks"]
    assert [name for name, _ in fake.calls] == ["recommend"]


async def test_what_was_liked_comes_first_and_what_was_disliked_last() -> None:
    ordered = await recommended(shop(), liked_ids=["cap"], history_weight=0.8)
    assert set(ordered[:2]) == {"scarf", "hat"}
    ordered = await recommended(shop(), disliked_ids=["heels"], history_weight=0.8)
    assert ordered[0] == "tent"
    assert set(ordered[-3:]) == {"boots", "shoes", "socks"}


async def test_the_history_itself_is_left_out() -> None:
    fake = shop()
    fake.history |= {"boots": angle(5), "hat": angle(60)}
    ordered = await recommended(fake, liked_ids=["boots"], disliked_ids=["hat"])
    assert "boots" not in ordered
    assert "hat" not in ordered


async def test_fifty_candidates_are_looked_at_for_ten() -> None:
    fake = shop()
    await recommended(fake, liked_ids=["cap"])
    (ask,) = (what for name, what in fake.calls if name == "recommend")
    assert ask.top_k == 50 + 1
    assert ask.with_vectors
    await recommended(fake, liked_ids=["cap"], candidates=200, top_k=20)
    asked = [what for name, what in fake.calls if name == "recommend"]
    assert asked[-1].top_k == 200 + 1


async def test_a_history_alone_is_enough() -> None:
    fake = shop()
    ask = RecommendAsk.checked(liked_ids=["cap"])
    found = await pipeline(fake).recommend(SCOPE, ask)
    assert found.passages
    (sent,) = (what for name, what in fake.calls if name == "recommend")
    assert sent.positive_ids == ("cap",)


async def test_variety_spreads_what_is_alike() -> None:
    alike = await recommended(shop(), liked_ids=["heels"], top_k=3)
    varied = await recommended(shop(), liked_ids=["heels"], top_k=3, diversity=0.7)
    assert set(alike) == {"boots", "shoes", "socks"}
    assert varied[0] == alike[0]
    assert len({ITEMS[name] // 30 for name in varied}) > len({ITEMS[name] // 30 for name in alike})


async def test_scores_fall() -> None:
    for diversity in (0.0, 0.5):
        ask = RecommendAsk.checked(positive_ids=["x"], liked_ids=["cap"], diversity=diversity)
        found = (await pipeline(shop()).recommend(SCOPE, ask)).passages
        scores = [each.scores.final for each in found]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("how", ["error", "slow"])
async def test_without_the_history_candidates_still_come(how: str) -> None:
    fake = shop()
    if how == "error":
        fake.errors["history"] = UnavailableError(Reason.NOT_READY, "away")
    else:
        fake.delays["history"] = 30.0
    ask = RecommendAsk.checked(positive_ids=["x"], liked_ids=["cap"], top_k=3)
    found = await pipeline(fake, 0.6).recommend(SCOPE, ask)
    assert found.degraded == ("history_unavailable",)
    assert names(found.passages) == ["boots", "shoes", "socks"]
    assert set(found.timings_ms) == {"retrieve", "history", "total"}


async def test_items_of_the_history_that_are_gone_do_not_matter() -> None:
    assert await recommended(shop(), liked_ids=["gone"], top_k=2) == ["boots", "shoes"]


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
