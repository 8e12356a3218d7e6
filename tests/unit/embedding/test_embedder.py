"""Requests: who fails alone, what is cached, what is counted."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest

from services.embedding import embedder as embedder_module
from services.embedding.encoder import Output
from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.intake import BatcherLimits
from services.embedding.limits import RequestLimits
from services.embedding.options import Caller, EmbedOptions, InputKind, Truncation
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason
from tests.kit.embedding_engines import embedding_parts

ALICE = Caller("alice")
BOB = Caller("bob")


@contextlib.asynccontextmanager
async def opened(encoder=None, **limits):
    async with embedding_parts(
        encoder, BatcherLimits(budget_tokens=64), RequestLimits(**limits)
    ) as parts:
        yield parts.embedder


async def test_bad_texts_fail_alone():
    async with opened(max_text_characters=1000) as embedder:
        texts = ["rock", "", " \n\t", "x" * 1001, "a\udc80b", "sand"]
        result = await embedder.embed(texts, EmbedOptions(), ALICE)
    reasons = [report.error and report.error.reason for report in result.reports]
    empty = Reason.EMPTY_TEXT
    assert reasons == [None, empty, empty, Reason.TOO_LARGE, Reason.INVALID_TEXT, None]
    lengths = np.linalg.norm(result.vectors, axis=1)
    np.testing.assert_allclose(lengths, [1, 0, 0, 0, 0, 1], atol=1e-6)
    assert "texts[3]" in result.reports[3].error.message
    assert [report.token_count for report in result.reports] == [3, 0, 0, 0, 0, 3]


async def test_hits_are_reported_and_cost_no_tokens():
    async with opened() as embedder:
        first = await embedder.embed(["rock", "sand"], EmbedOptions(), ALICE)
        again = await embedder.embed(["sand", "clay", "rock"], EmbedOptions(), ALICE)
    assert (first.encoded_tokens, first.cache_hits) == (6, 0)
    assert (again.encoded_tokens, again.cache_hits) == (3, 2)
    assert [report.is_cached for report in again.reports] == [True, False, True]
    np.testing.assert_allclose(again.vectors[[2, 0]], first.vectors, rtol=1e-6)


async def test_tenants_do_not_see_each_others_hits():
    async with opened() as embedder:
        await embedder.embed(["rock"], EmbedOptions(), ALICE)
        other = await embedder.embed(["rock"], EmbedOptions(), BOB)
    assert other.cache_hits == 0


async def test_one_entry_serves_every_layout():
    async with opened() as embedder:
        whole = await embedder.embed(["hard rock"], EmbedOptions(is_normalized=False), ALICE)
        short = await embedder.embed(["hard rock"], EmbedOptions(dimensions=8), ALICE)
    assert short.cache_hits == 1
    leading = whole.vectors[:, :8]
    np.testing.assert_allclose(short.vectors, leading / np.linalg.norm(leading), rtol=1e-5)
    assert np.linalg.norm(whole.vectors) < 0.99


async def test_prompts_keep_kinds_apart():
    encoder = HashEncoder(prompts={InputKind.QUERY: "find this: "})
    async with opened(encoder) as embedder:
        document = await embedder.embed(["rock"], EmbedOptions(), ALICE)
        query = await embedder.embed(["rock"], EmbedOptions(kind=InputKind.QUERY), ALICE)
    assert query.cache_hits == 0
    assert (document.reports[0].token_count, query.reports[0].token_count) == (3, 6)
    assert abs(document.vectors - query.vectors).max() > 0.01


async def test_truncation_is_reported_or_refused_cached_or_not():
    refuse = EmbedOptions(truncation=Truncation.REFUSE)
    texts = ["rock " * 100, "rock"]
    async with opened() as embedder:
        refused = await embedder.embed(texts, refuse, ALICE)
        cut = await embedder.embed(texts, EmbedOptions(), ALICE)
        refused_again = await embedder.embed(texts, refuse, ALICE)
    assert [report.is_truncated for report in cut.reports] == [True, False]
    assert cut.reports[0].token_count == 64
    for result in (refused, refused_again):
        assert result.reports[0].error.reason is Reason.TOO_LARGE
        assert result.reports[1].error is None


async def test_ids_give_what_their_text_gives():
    encoder = HashEncoder()
    (tokens,) = encoder.tokenize(["hard rock"], InputKind.DOCUMENT)
    async with opened(encoder) as embedder:
        by_text = await embedder.embed(["hard rock"], EmbedOptions(), ALICE)
        by_ids = await embedder.embed(
            [tokens.ids.tolist(), [], [50_000], [2**32 - 1], [1, 2], [7] * 100],
            EmbedOptions(),
            ALICE,
        )
    np.testing.assert_allclose(by_ids.vectors[0], by_text.vectors[0], rtol=1e-6)
    reasons = [report.error and report.error.reason.value for report in by_ids.reports]
    assert reasons == [None, "EMPTY_TEXT", "INVALID_FIELD", "INVALID_FIELD", "EMPTY_TEXT", None]
    assert by_ids.reports[5].is_truncated


async def test_equal_texts_of_a_request_run_once():
    async with opened() as embedder:
        result = await embedder.embed(["rock"] * 5, EmbedOptions(), ALICE)
    assert result.encoded_tokens == 3
    assert np.ptp(result.vectors, axis=0).max() == 0


async def test_a_vector_that_is_not_finite_fails_alone():
    class Broken(HashEncoder):
        def encode(self, batch, output, checkpoint=None):
            vectors = super().encode(batch, output, checkpoint)
            vectors[0] = vectors[0] * np.float32("nan")
            return vectors

    async with opened(Broken()) as embedder:
        result = await embedder.embed(["rock", "hard rock of the hills"], EmbedOptions(), ALICE)
        again = await embedder.embed(["rock"], EmbedOptions(), ALICE)
    failed = [report.error is not None for report in result.reports]
    assert sorted(failed) == [False, True]
    assert np.isfinite(result.vectors).all()
    assert again.cache_hits == 0 or not failed[0]


@pytest.mark.parametrize(
    ("texts", "options", "error"),
    [
        ([], EmbedOptions(), InvalidArgumentError),
        (["a"] * 11, EmbedOptions(), InvalidArgumentError),
        (["a"], EmbedOptions(model="nope"), NotFoundError),
        (["a"], EmbedOptions(dimensions=33), InvalidArgumentError),
        (["a"] * 10, EmbedOptions(), None),
        (["a"], EmbedOptions(dimensions=32), None),
    ],
)
async def test_requests_are_refused_as_a_whole_for_what_is_wrong_with_the_whole(
    texts, options, error
):
    async with opened(max_texts=10) as embedder:
        if error is None:
            assert (await embedder.embed(texts, options, ALICE)).reports
        else:
            with pytest.raises(error):
                await embedder.embed(texts, options, ALICE)


async def test_answers_that_would_be_too_large_are_refused_before_any_work():
    async with opened(max_response_bytes=1000) as embedder:
        with pytest.raises(InvalidArgumentError, match="bytes of answer"):
            await embedder.embed(["a"] * 8, EmbedOptions(), ALICE)
        with pytest.raises(InvalidArgumentError, match="bytes of answer"):
            await embedder.encode_tokens(["a b c d e f g h"], EmbedOptions(), ALICE)


async def test_token_vectors_stand_for_the_texts_own_words():
    encoder = HashEncoder(prompts={InputKind.DOCUMENT: "about: "})
    async with opened(encoder) as embedder:
        (first, empty), model, tokens = await embedder.encode_tokens(
            ["hard rock", ""], EmbedOptions(), ALICE
        )
    assert first.vectors.shape == (2, 32)
    assert first.starts.tolist() == [0, 5]
    assert empty.vectors.shape == (0, 32)
    assert (model.name, tokens) == ("hash", 6 + 4)
    np.testing.assert_allclose(np.linalg.norm(first.vectors, axis=1), [1, 1], rtol=1e-5)


async def test_token_vectors_are_refused_for_a_text_that_must_not_be_cut():
    async with opened() as embedder:
        with pytest.raises(InvalidArgumentError, match=r"texts\[1\]"):
            await embedder.encode_tokens(
                ["a", "b " * 100], EmbedOptions(truncation=Truncation.REFUSE), ALICE
            )


async def test_counting_takes_any_text():
    async with opened() as embedder:
        counts, model = await embedder.count_tokens(["", "rock", "rock " * 500], "")
    assert (counts, model.name) == ([2, 3, 502], "hash")


async def test_token_codes_come_with_the_vectors_of_one_pass():
    passes = []
    encoder = HashEncoder(dimensions=384, max_tokens=256, before_encode=passes.append)
    texts = ["hard rock", "", "sand " * 300, "granite " * 200]
    async with opened(encoder) as embedder:
        plain = await embedder.embed(texts, EmbedOptions(), BOB)
        passes.clear()
        coded = await embedder.embed(texts, EmbedOptions(with_token_codes=True), ALICE)
        ran = sum(map(len, passes))
        again = await embedder.embed(texts, EmbedOptions(with_token_codes=True), ALICE)
        without = await embedder.embed(texts, EmbedOptions(), ALICE)
    assert plain.token_codes == without.token_codes == []
    assert ran == 3
    assert [len(code) for code in coded.token_codes] == [13 + 2 * 48, 0, 8157, 8150]
    np.testing.assert_allclose(coded.vectors, plain.vectors, atol=1e-6)
    assert (again.cache_hits, without.cache_hits) == (3, 3)
    assert again.token_codes == coded.token_codes
    np.testing.assert_array_equal(without.vectors, coded.vectors)


async def test_vectors_from_the_cache_without_codes_are_made_again_with_them():
    async with opened() as embedder:
        await embedder.embed(["rock"], EmbedOptions(), ALICE)
        coded = await embedder.embed(["rock"], EmbedOptions(with_token_codes=True), ALICE)
    assert coded.cache_hits == 0
    assert coded.token_codes[0]


async def test_many_coded_texts_run_in_windows_of_bounded_memory(monkeypatch):
    monkeypatch.setattr(embedder_module, "_MATRIX_BYTES", 4 * 32 * 40)
    running = []
    async with opened() as embedder:
        run = embedder.models.get("").runner.run

        async def noted(encoder, output, works, **more):
            running.append(sum(len(work.ids) for work in works))
            return await run(encoder, output, works, **more)

        monkeypatch.setattr(embedder.models.get("").runner, "run", noted)
        texts = [f"rock {n}" for n in range(50)]
        coded = await embedder.embed(texts, EmbedOptions(with_token_codes=True), ALICE)
    assert max(running) <= 40
    assert len(set(coded.token_codes)) == 50


async def test_a_model_without_token_vectors_gives_vectors_and_no_codes():
    encoder = HashEncoder()
    encoder.info = dataclasses.replace(encoder.info, outputs=frozenset({Output.POOLED}))
    async with opened(encoder) as embedder:
        result = await embedder.embed(["rock"], EmbedOptions(with_token_codes=True), ALICE)
    assert result.token_codes == []
    assert result.vectors.any()
