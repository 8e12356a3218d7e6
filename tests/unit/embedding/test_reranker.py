"""Reranking: which model and method, what scores higher, what is refused."""

from __future__ import annotations

import pytest

from services.embedding.options import Caller
from services.embedding.reranker import RerankMethod, RerankOptions
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason
from tests.kit.embedding_engines import embedding_parts

ALICE = Caller("alice")


async def test_passages_that_hold_the_querys_words_score_higher():
    async with embedding_parts() as parts:
        result = await parts.reranker.rerank(
            "hard rock",
            ["soft sand", "the rock is hard", "", "a rock"] + ["filler"] * 100,
            RerankOptions(),
            ALICE,
        )
    assert len(result.scores) == 104
    assert result.method is RerankMethod.LATE_INTERACTION
    assert result.scores[1] == pytest.approx(1.0, abs=1e-5)
    assert result.scores[1] > result.scores[3] > result.scores[0]
    assert result.scores[2] == 0
    assert result.read_tokens > 300


async def test_a_query_without_words_is_refused():
    async with embedding_parts() as parts:
        with pytest.raises(InvalidArgumentError) as caught:
            await parts.reranker.rerank(" ", ["a"], RerankOptions(), ALICE)
    assert caught.value.reason is Reason.EMPTY_TEXT


async def test_without_a_cross_encoder_asking_for_one_says_so():
    options = RerankOptions(method=RerankMethod.CROSS_ENCODER)
    async with embedding_parts() as parts:
        with pytest.raises(NotFoundError, match="LATE_INTERACTION") as caught:
            await parts.reranker.rerank("q", ["a"], options, ALICE)
    assert caught.value.reason is Reason.MODEL_NOT_FOUND
