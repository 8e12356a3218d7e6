"""Reranking: which model and method, what scores higher, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import REGISTRY

from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.options import Caller, EmbedOptions, InputKind, Lane
from services.embedding.recent_queries import RecentQueries
from services.embedding.reranker import PassageSpan, RerankMethod, RerankOptions
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason
from tests.kit.embedding_engines import embedding_parts

ALICE = Caller("alice")
BOB = Caller("bob")


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


def counted(source):
    """Passages counted so far."""
    name = "cairn_embedding_reranked_passages_total"
    return REGISTRY.get_sample_value(name, {"source": source}) or 0


async def codes_of(parts, texts):
    """Token codes as ingestion asks for them."""
    options = EmbedOptions(with_token_codes=True)
    return (await parts.embedder.embed(texts, options, ALICE)).token_codes


PASSAGES = [f"rock {n} " + "granite slate basalt " * n for n in range(1, 30)] + ["soft sand"]


async def test_codes_give_what_reading_the_passages_gives_and_nothing_is_read():
    encoded = []
    encoder = HashEncoder(dimensions=384, max_tokens=256, before_encode=encoded.extend)
    async with embedding_parts(encoder) as parts:
        read = await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), ALICE)
        codes = await codes_of(parts, PASSAGES)
        before = len(encoded)
        coded = await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), BOB, codes)
        assert len(encoded) == before + 1  # the query
        again = await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), BOB, codes)
        assert len(encoded) == before + 1  # it was read a moment ago, for the same tenant
    assert again.scores == coded.scores
    assert again.read_tokens == 0
    assert (coded.encoded_passages, coded.unusable_codes) == (0, 0)
    assert read.encoded_passages == len(PASSAGES)
    assert coded.read_tokens == 5
    np.testing.assert_allclose(coded.scores, read.scores, atol=0.12)
    assert np.argmax(coded.scores) == np.argmax(read.scores) == 6


@pytest.mark.parametrize("joins_outputs", [True, False])
async def test_a_question_that_was_just_embedded_is_not_read_again(joins_outputs: bool):
    encoded = []
    encoder = HashEncoder(dimensions=384, max_tokens=256, before_encode=encoded.extend)
    encoder.info = replace(encoder.info, joins_outputs=joins_outputs)
    async with embedding_parts(encoder) as parts:
        codes = await codes_of(parts, PASSAGES)
        unasked = await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), BOB, codes)
        plain = await parts.embedder.embed(["hard rock 7"], EmbedOptions(), BOB)
        question = EmbedOptions(kind=InputKind.QUERY, lane=Lane.INTERACTIVE)
        embedded = await parts.embedder.embed(["hard rock 7", "rock 9"], question, ALICE)
        before = len(encoded)
        scored = await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), ALICE, codes)
        assert len(encoded) == before + (not joins_outputs)
        await parts.reranker.rerank("hard rock 7", PASSAGES, RerankOptions(), Caller("eve"), codes)
        assert len(encoded) == before + (not joins_outputs) + 1  # another tenant's is its own
    assert scored.scores == unasked.scores
    assert scored.read_tokens == (0 if joins_outputs else unasked.read_tokens)
    np.testing.assert_array_equal(embedded.vectors[0], plain.vectors[0])
    assert [each.token_count for each in embedded.reports] == [5, 4]
    assert embedded.encoded_tokens == 9


async def test_passages_without_codes_of_use_are_read_and_score_as_if_they_had_them():
    encoder = HashEncoder(dimensions=384, max_tokens=256)
    other = HashEncoder(dimensions=384, max_tokens=255)
    async with embedding_parts(encoder) as parts, embedding_parts(other) as others:
        codes = await codes_of(parts, PASSAGES)
        of_other = await codes_of(others, PASSAGES)
        all_coded = await parts.reranker.rerank("rock 7", PASSAGES, RerankOptions(), ALICE, codes)
        mixed = list(codes)
        mixed[2], mixed[6], mixed[9] = b"", of_other[6], codes[9][:-1]
        before = {each: counted(each) for each in ("stored", "computed", "unusable")}
        result = await parts.reranker.rerank("rock 7", PASSAGES, RerankOptions(), ALICE, mixed)
    assert (result.encoded_passages, result.unusable_codes) == (3, 2)
    np.testing.assert_allclose(result.scores, all_coded.scores, rtol=1e-5)
    assert {each: counted(each) - count for each, count in before.items()} == {
        "stored": 27,
        "computed": 1,
        "unusable": 2,
    }


async def test_only_codes_of_no_use_are_as_none():
    async with embedding_parts() as parts:
        read = await parts.reranker.rerank("rock", ["a rock", ""], RerankOptions(), ALICE)
        bad = await parts.reranker.rerank(
            "rock", ["a rock", ""], RerankOptions(), ALICE, [b"\xff" * 500, b""]
        )
    assert bad.scores == read.scores
    assert (bad.encoded_passages, bad.unusable_codes) == (2, 1)


async def test_a_code_per_passage_or_none_at_all():
    async with embedding_parts() as parts:
        with pytest.raises(InvalidArgumentError, match="passage_token_codes"):
            await parts.reranker.rerank("rock", ["a", "b"], RerankOptions(), ALICE, [b""])


async def test_stretches_score_in_their_context_by_codes_or_by_reading():
    passage = "granite is hard " * 60 + "the quarry of riga sells slate"
    start = passage.index("the quarry")
    spans = [
        PassageSpan(0, 0, 15),
        PassageSpan(0, start, len(passage)),
        PassageSpan(1, 0, 4),
        PassageSpan(0, start + 4, start + 10),
    ]
    options = RerankOptions(spans=spans)
    encoder = HashEncoder(dimensions=384, max_tokens=256)
    async with embedding_parts(encoder) as parts:
        texts = [passage, "sand castles"]
        codes = await codes_of(parts, texts)
        coded = await parts.reranker.rerank("quarry of riga", texts, options, ALICE, codes)
        read = await parts.reranker.rerank("quarry of riga", texts, options, ALICE)
        stale = await parts.reranker.rerank(
            "quarry of riga", [passage, "sand castles are soft"], options, ALICE, codes
        )
    assert (coded.encoded_passages, read.encoded_passages) == (0, 2)
    assert (stale.encoded_passages, stale.unusable_codes) == (1, 1)
    np.testing.assert_allclose(coded.scores, read.scores, atol=1e-5)
    assert len(coded.scores) == 4
    assert np.argmax(coded.scores) == 1
    assert coded.scores[3] > coded.scores[0]


@pytest.mark.parametrize("span", [PassageSpan(1, 0, 1), PassageSpan(0, 1, 1), PassageSpan(0, 0, 7)])
async def test_spans_that_are_no_stretch_of_a_passage_are_refused(span):
    async with embedding_parts() as parts:
        with pytest.raises(InvalidArgumentError, match="spans"):
            await parts.reranker.rerank("rock", ["a rock"], RerankOptions(spans=[span]), ALICE)


def test_recent_queries_stay_within_their_bytes():
    recent = RecentQueries(max_bytes=5000)
    for number in range(20):
        recent.put(bytes([number]), np.full((5, 100), number, np.float32))
    held = [number for number in range(20) if recent.get(bytes([number])) is not None]
    assert held == [18, 19]
    recent.put(b"large", np.zeros((50, 100), np.float32))
    assert recent.get(b"large") is None
