"""Models behind OpenAI-compatible endpoints: order, failover, bad input, cancel, bounds."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from services.embedding.embedder import Embedder
from services.embedding.engines.remote_encoder import Endpoint, RemoteEncoder, RemoteModel
from services.embedding.options import Caller, EmbedOptions, Truncation
from services.rpc.errors import FailedPreconditionError, Reason, UnavailableError
from tests.kit.embedding_endpoint import DIMENSIONS, running_endpoint, vector
from tests.kit.embedding_engines import embedding_parts

ALICE = Caller("alice")
RAW = EmbedOptions(is_normalized=False)


@contextlib.asynccontextmanager
async def remote(*endpoints, **more):
    model = RemoteModel(
        endpoints=tuple(Endpoint(each.url, "m", "secret") for each in endpoints),
        dimensions=DIMENSIONS,
        **more,
    )
    async with embedding_parts(RemoteEncoder(model)) as parts:
        yield parts.embedder


async def embed(embedder: Embedder, *texts, options=RAW):
    return await embedder.embed(texts, options, ALICE)


async def test_vectors_come_in_the_order_of_the_texts():
    async with running_endpoint() as endpoint, remote(endpoint) as embedder:
        result = await embed(embedder, "rock", "sand", "größer 👩‍🔬")
    np.testing.assert_allclose(
        result.vectors, [vector("rock"), vector("sand"), vector("größer 👩‍🔬")], rtol=1e-5
    )
    assert endpoint.keys == ["bearer secret"]
    assert [report.token_count for report in result.reports] == [1, 1, 3]


async def test_a_failing_endpoint_hands_over_to_the_next_and_is_left_alone():
    async with running_endpoint() as first, running_endpoint() as second:
        first.failures = [503, 503]
        async with remote(first, second) as embedder:
            await embed(embedder, "one")
            await embed(embedder, "two")
    assert (len(first.keys), len(second.batches)) == (1, 2)


async def test_a_dead_endpoint_hands_over_too():
    async with running_endpoint() as second:
        async with running_endpoint() as first:
            pass
        async with remote(first, second) as embedder:
            await embed(embedder, "one")
    assert second.batches == [["one"]]


async def test_a_single_endpoint_is_tried_again():
    async with running_endpoint() as endpoint:
        endpoint.failures = [500, 429]
        async with remote(endpoint) as embedder:
            result = await embed(embedder, "one")
    assert result.reports[0].error is None
    assert len(endpoint.keys) == 3


async def test_when_all_fail_the_request_says_so():
    async with running_endpoint() as endpoint:
        endpoint.failures = [500] * 10
        async with remote(endpoint, rounds=2) as embedder:
            with pytest.raises(UnavailableError, match="HTTP 500") as caught:
                await embed(embedder, "one")
    assert caught.value.retry_after_seconds >= 1
    assert len(endpoint.keys) == 2


async def test_a_text_that_the_endpoint_refuses_fails_alone():
    async with running_endpoint() as endpoint:
        endpoint.refuses = "poison"
        async with remote(endpoint) as embedder:
            result = await embed(embedder, *(f"text {n}" for n in range(20)), "poison", "last")
    failed = [place for place, report in enumerate(result.reports) if report.error]
    assert failed == [20]
    assert "400" in result.reports[20].error.message


async def test_an_answer_of_other_dimensions_is_no_answer():
    async with running_endpoint() as endpoint:
        model = RemoteModel((Endpoint(endpoint.url, "m"),), dimensions=7, rounds=1)
        async with embedding_parts(RemoteEncoder(model)) as parts:
            with pytest.raises(UnavailableError, match="malformed"):
                await embed(parts.embedder, "one")


async def test_long_texts_are_cut_or_refused():
    async with running_endpoint() as endpoint, remote(endpoint, max_characters=10) as embedder:
        cut = await embed(embedder, "x" * 11)
        refused = await embed(
            embedder, "y" * 11, options=EmbedOptions(truncation=Truncation.REFUSE)
        )
    assert cut.reports[0].is_truncated
    assert endpoint.batches == [["x" * 10]]
    assert refused.reports[0].error.reason is Reason.TOO_LARGE


async def test_ids_and_token_vectors_are_refused():
    async with running_endpoint() as endpoint, remote(endpoint) as embedder:
        result = await embedder.embed([[1, 2]], RAW, ALICE)
        with pytest.raises(FailedPreconditionError, match="token vectors"):
            await embedder.encode_tokens(["a"], RAW, ALICE)
    assert "texts only" in result.reports[0].error.message


async def test_a_cancelled_request_closes_its_connection():
    async with running_endpoint() as endpoint:
        endpoint.delay_seconds = 20
        async with remote(endpoint) as embedder:
            task = asyncio.ensure_future(embed(embedder, "one"))
            while not embedder.models.get("").leases:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(10):
                while not endpoint.abandoned:
                    await asyncio.sleep(0.01)


async def test_requests_run_side_by_side():
    async with running_endpoint() as endpoint:
        endpoint.delay_seconds = 0.3
        async with remote(endpoint, concurrency=4) as embedder, asyncio.timeout(10):
            await asyncio.gather(*(embed(embedder, f"text {n}") for n in range(4)))
    assert sum(map(len, endpoint.batches)) == 4
