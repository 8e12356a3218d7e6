"""Recommendations through real gRPC, on both databases."""

from __future__ import annotations

import math

import grpc
import pytest
from cairn.retrieval.v1 import retrieval_service_pb2 as pb

from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.retrieval import (
    create,
    document,
    reason,
    retrieval_service,
    scope,
    upsert,
)


@pytest.fixture
async def service(database_url):
    async with retrieval_service(database_url) as running:
        yield running


async def test_recommendations_are_like_some_and_unlike_others(service):
    await create(service)
    axis = [[float(i == n % 4) + 0.05 * n for i in range(8)] for n in range(12)]
    await upsert(service, *(document(f"d{n:02}", vectors=[axis[n]]) for n in range(12)))
    response = await service.stub.Recommend(
        pb.RecommendRequest(
            scope=scope(),
            collection="docs",
            positive_ids=["d00"],
            negative_ids=["d01"],
            options=pb.SearchOptions(top_k=2),
        )
    )
    found = [each.passage.document_id for each in response.passages]
    assert found == ["d04", "d08"]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Recommend(
            pb.RecommendRequest(scope=scope(), collection="docs", positive_ids=["unknown"])
        )
    assert reason(caught.value) == "DOCUMENT_NOT_FOUND"


async def test_a_history_orders_recommendations_and_is_not_among_them(service):
    await create(service)
    await upsert(
        service,
        document("seen", vectors=[_at(0)]),
        *(document(f"near {n}", vectors=[_at(n)]) for n in (5, 10, 15)),
        *(document(f"far {n}", vectors=[_at(n)]) for n in (60, 62)),
        document("liked", ["words"] * 100, vectors=[_at(62)] * 100),
        document("of others", vectors=[_at(5)], acl=["group:others"]),
    )

    async def found(*liked: str, disliked: tuple[str, ...] = (), candidates: int = 0) -> list[str]:
        past = pb.History(liked_ids=liked, disliked_ids=disliked, weight=1.0, candidates=candidates)
        request = pb.RecommendRequest(
            scope=scope(),
            collection="docs",
            positive_ids=["seen"],
            history=past,
            options=pb.SearchOptions(top_k=2),
        )
        response = await service.stub.Recommend(request)
        finals = [each.scores.final for each in response.passages]
        assert finals == sorted(finals, reverse=True)
        return [each.passage.document_id for each in response.passages]

    assert await found() == ["near 5", "near 10"]
    assert await found("liked") == ["far 62", "far 60"]
    assert await found("liked", candidates=3) == ["near 15", "near 10"]
    assert await found(disliked=("liked", "far 60")) == ["near 5", "near 10"]
    # What may not be read is as if it were not there.
    assert await found("of others", "unknown") == await found("unknown") == ["near 5", "near 10"]
    assert await found("far 62", disliked=("near 5",)) == ["liked", "far 60"]


def _at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees)), *[0.0] * 6]


@pytest.mark.parametrize(
    ("past", "field"),
    [
        (pb.History(weight=1.5), "history.weight"),
        (pb.History(weight=math.nan), "history.weight"),
        (pb.History(candidates=1_001), "history.candidates"),
        (pb.History(liked_ids=[""]), "history.liked_ids[0]"),
        (pb.History(disliked_ids=[str(n) for n in range(1_001)]), "history.disliked_ids"),
    ],
)
async def test_a_wrong_history_is_refused(service, past, field):
    await create(service)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await service.stub.Recommend(
            pb.RecommendRequest(scope=scope(), collection="docs", positive_ids=["a"], history=past)
        )
    assert field in str(caught.value.details())
