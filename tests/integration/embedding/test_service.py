"""EmbeddingService over real gRPC: every RPC, and what it answers to bad input."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading

import grpc
import grpc.aio
import numpy as np
import pytest
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2, vector_pb2
from prometheus_client import REGISTRY

from services.embedding.engines.hash_encoder import HashEncoder
from services.embedding.intake import BatcherLimits
from services.embedding.servicer import EmbeddingServicer
from tests.kit.embedding_engines import embedding_parts
from tests.kit.grpc_server import serve
from tests.kit.hostile_messages import hostile_variants
from tests.kit.raw_calls import call
from tests.kit.tiny_bert import tiny_bert_folder
from tests.kit.valid_requests import embedding_requests

NAME = "cairn.embedding.v1.EmbeddingService"
SCOPE = scope_pb2.Scope(tenant="t", principals=["everyone"])
INVALID = grpc.StatusCode.INVALID_ARGUMENT


@contextlib.asynccontextmanager
async def served(encoder=None, **limits):
    """Yields a channel to a service with one model, and its batcher."""
    async with embedding_parts(encoder, BatcherLimits(**limits)) as parts:
        servicer = EmbeddingServicer(parts.embedder, parts.reranker, parts.limits)
        async with (
            serve(
                lambda server: rpc.add_EmbeddingServiceServicer_to_server(servicer, server),
                service_names=[NAME],
            ) as running,
            grpc.aio.insecure_channel(running.target) as channel,
        ):
            yield channel


@pytest.fixture
async def channel():
    async with served() as opened:
        yield opened


@pytest.fixture
def stub(channel):
    return rpc.EmbeddingServiceStub(channel)


def matrix(batch, dtype="<f4"):
    return np.frombuffer(batch.data, dtype).reshape(batch.count, -1)


async def test_embed_answers_row_by_row(stub):
    response = await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["hard rock", "", "soft sand"]))
    vectors = matrix(response.vectors)
    assert (response.vectors.count, response.vectors.dimensions) == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1], atol=1e-6)
    assert [report.error.reason for report in response.reports] == ["", "EMPTY_TEXT", ""]
    assert [report.token_count for report in response.reports] == [4, 0, 4]
    assert response.usage.embedding_tokens == 8
    assert response.model == "hash"
    assert len(response.model_revision) == 64
    assert response.timings.inference_ms > 0


@pytest.mark.parametrize(
    ("element_type", "dtype", "columns"),
    [
        (vector_pb2.ELEMENT_TYPE_FLOAT16, "<f2", 32),
        (vector_pb2.ELEMENT_TYPE_INT8, "i1", 32),
        (vector_pb2.ELEMENT_TYPE_BINARY, "u1", 4),
    ],
)
async def test_element_types(stub, element_type, dtype, columns):
    texts = ["hard rock", "soft sand"]
    exact = matrix((await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=texts))).vectors)
    options = pb.EmbedOptions(element_type=element_type)
    batch = (await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=texts, options=options))).vectors
    got = matrix(batch, dtype)
    assert got.shape == (2, columns)
    assert batch.element_type == element_type
    if columns == 4:
        np.testing.assert_array_equal(np.unpackbits(got, axis=1), exact > 0)
    else:
        factors = np.array(batch.scales or [1, 1])[:, None]
        np.testing.assert_allclose(got * factors, exact, atol=0.01)


async def test_a_stream_answers_in_order_and_inherits_scope_and_options(stub):
    options = pb.EmbedOptions(dimensions=8)

    async def batches():
        yield pb.EmbedStreamRequest(
            batch_id=7, request=pb.EmbedRequest(scope=SCOPE, options=options, texts=["a", "b"])
        )
        for number in range(8, 20):
            yield pb.EmbedStreamRequest(
                batch_id=number, request=pb.EmbedRequest(texts=[f"text {number}"])
            )

    answers = [answer async for answer in stub.EmbedStream(batches())]
    assert [answer.batch_id for answer in answers] == list(range(7, 20))
    assert {answer.response.vectors.dimensions for answer in answers} == {8}


async def test_a_stream_answers_a_client_that_waits_for_each_answer(stub):
    stream = stub.EmbedStream(timeout=20)
    for number in range(3):
        await stream.write(
            pb.EmbedStreamRequest(
                batch_id=number, request=pb.EmbedRequest(scope=SCOPE, texts=["rock"])
            )
        )
        answer = await stream.read()
        assert answer.batch_id == number
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF


async def test_a_bad_batch_ends_its_stream_with_a_precise_error(channel):
    bad = pb.EmbedRequest(scope=SCOPE, texts=["a"], options=pb.EmbedOptions(dimensions=99))
    outcome = await call(channel, NAME, "EmbedStream", pb.EmbedStreamRequest(request=bad))
    assert (outcome.code, outcome.reason) == (INVALID, "DIMENSION_MISMATCH")
    assert outcome.violations == ("options.dimensions",)


async def test_token_vectors(stub):
    response = await stub.EncodeTokens(
        pb.EncodeTokensRequest(scope=SCOPE, texts=["🪨 hard rock", "", "rock " * 100])
    )
    first, empty, long = response.texts
    assert (list(first.starts), list(first.ends)) == ([0, 2, 7], [1, 6, 11])
    np.testing.assert_allclose(np.linalg.norm(matrix(first.vectors), axis=1), 1, rtol=1e-5)
    assert (empty.vectors.count, long.is_truncated, first.is_truncated) == (0, True, False)
    assert response.usage.embedding_tokens == 5 + 2 + 64


async def test_rerank(stub):
    response = await stub.Rerank(
        pb.RerankRequest(
            scope=SCOPE,
            query="hard rock",
            passages=["soft sand", "a hard rock", "a rock", ""],
            query_word_weights=[1, 3],
        )
    )
    sand, both, rock, empty = response.scores
    assert both == pytest.approx(1.0, abs=1e-5)
    assert both > rock > 0.7 > sand
    assert empty == 0
    assert response.method == pb.RERANK_METHOD_LATE_INTERACTION
    assert response.usage.rerank_tokens > 10


async def test_counts(stub):
    response = await stub.CountTokens(
        pb.CountTokensRequest(scope=SCOPE, texts=["", "a b", "a " * 99])
    )
    assert list(response.token_counts) == [2, 4, 101]


async def test_models_side_by_side(stub, tmp_path):
    folder = tiny_bert_folder(tmp_path / "m")
    loaded = await stub.LoadModel(pb.LoadModelRequest(scope=SCOPE, name="tiny", source=str(folder)))
    assert (loaded.model.engine, loaded.model.dimensions) == ("bert", 32)
    listed = await stub.ListModels(pb.ListModelsRequest(scope=SCOPE))
    assert [(model.name, model.is_default) for model in listed.models] == [
        ("hash", True),
        ("tiny", False),
    ]
    assert listed.limits.max_texts == 2048
    assert listed.limits.max_queued_tokens > 0
    by_tiny = await stub.Embed(
        pb.EmbedRequest(scope=SCOPE, texts=["rock"], options=pb.EmbedOptions(model="tiny"))
    )
    assert by_tiny.model_revision == loaded.model.revision
    await stub.UnloadModel(pb.UnloadModelRequest(scope=SCOPE, name="tiny"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Embed(
            pb.EmbedRequest(scope=SCOPE, texts=["rock"], options=pb.EmbedOptions(model="tiny"))
        )
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def _embed(**options):
    return pb.EmbedRequest(scope=SCOPE, texts=["rock"], options=pb.EmbedOptions(**options))


def _rerank(**fields):
    return pb.RerankRequest(**({"scope": SCOPE, "query": "a b", "passages": ["c"]} | fields))


@pytest.mark.parametrize(
    ("method", "request_", "code", "reason"),
    [
        ("Embed", pb.EmbedRequest(texts=["a"]), "PERMISSION_DENIED", "SCOPE_MISSING"),
        ("Embed", pb.EmbedRequest(scope=SCOPE), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (
            "Embed",
            pb.EmbedRequest(scope=SCOPE, texts=["a"], token_ids=[pb.TokenIds(ids=[1])]),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
        ),
        (
            "Embed",
            pb.EmbedRequest(scope=SCOPE, texts=["a"] * 10_000),
            "INVALID_ARGUMENT",
            "TOO_LARGE",
        ),
        ("Embed", _embed(model="nope"), "NOT_FOUND", "MODEL_NOT_FOUND"),
        ("Embed", _embed(dimensions=33), "INVALID_ARGUMENT", "DIMENSION_MISMATCH"),
        ("Embed", _embed(kind=9), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Embed", _embed(lane=-1), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Embed", _embed(truncation=3), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Embed", _embed(element_type=5), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(query=""), "INVALID_ARGUMENT", "EMPTY_TEXT"),
        ("Rerank", _rerank(passages=[]), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(query_word_weights=[1]), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(passage_token_codes=[b"", b""]), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(query_word_weights=[1, math.nan]), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(method=2), "NOT_FOUND", "MODEL_NOT_FOUND"),
        ("Rerank", _rerank(method=7), "INVALID_ARGUMENT", "INVALID_FIELD"),
        ("Rerank", _rerank(model="nope"), "NOT_FOUND", "MODEL_NOT_FOUND"),
        ("CountTokens", pb.CountTokensRequest(scope=SCOPE), "INVALID_ARGUMENT", "INVALID_FIELD"),
        (
            "CountTokens",
            pb.CountTokensRequest(scope=SCOPE, texts=["a" * 1_000_001]),
            "INVALID_ARGUMENT",
            "TOO_LARGE",
        ),
        (
            "LoadModel",
            pb.LoadModelRequest(scope=SCOPE, name="x", source="/no/such"),
            "INVALID_ARGUMENT",
            "INVALID_FIELD",
        ),
        (
            "LoadModel",
            pb.LoadModelRequest(scope=SCOPE, name="hash", source="/"),
            "FAILED_PRECONDITION",
            "STATE_CONFLICT",
        ),
        (
            "UnloadModel",
            pb.UnloadModelRequest(scope=SCOPE, name="x"),
            "NOT_FOUND",
            "MODEL_NOT_FOUND",
        ),
        (
            "UnloadModel",
            pb.UnloadModelRequest(scope=SCOPE, name="hash"),
            "FAILED_PRECONDITION",
            "STATE_CONFLICT",
        ),
    ],
)
async def test_wrong_requests_get_precise_errors(channel, method, request_, code, reason):
    outcome = await call(channel, NAME, method, request_)
    assert (outcome.code.name, outcome.reason) == (code, reason)
    assert outcome.message
    if code == "INVALID_ARGUMENT":
        assert outcome.violations


async def test_errors_of_ids_name_their_field(stub):
    response = await stub.Embed(
        pb.EmbedRequest(
            scope=SCOPE,
            options=pb.EmbedOptions(truncation=pb.TRUNCATION_REFUSE),
            token_ids=[
                pb.TokenIds(ids=[1, 5, 2]),
                pb.TokenIds(),
                pb.TokenIds(ids=[1] * 5000),
                pb.TokenIds(ids=[4_000_000]),
            ],
        )
    )
    errors = [report.error for report in response.reports]
    assert [error.reason for error in errors] == ["", "EMPTY_TEXT", "TOO_LARGE", "INVALID_FIELD"]
    assert all(f"token_ids[{n}]" in errors[n].message for n in (1, 2, 3))


async def test_a_lone_surrogate_is_told_from_other_broken_bytes(channel):
    """Libraries of some languages send half of a pair as three bytes; Python's refuses to."""
    request = pb.EmbedRequest(scope=SCOPE, texts=["good", "HALF"]).SerializeToString()
    embed = channel.unary_unary(f"/{NAME}/Embed")
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await embed(request.replace(b"HALF", b"a\xed\xa0\x80"))
    assert raised.value.code() is INVALID
    assert "lone surrogate" in raised.value.details()


async def test_a_text_of_a_million_characters_is_cut_and_a_longer_one_fails_alone(stub):
    response = await stub.Embed(
        pb.EmbedRequest(scope=SCOPE, texts=["word " * 200_000, "rock", "a" * 1_000_001])
    )
    assert [report.error.reason for report in response.reports] == ["", "", "TOO_LARGE"]
    assert [report.is_truncated for report in response.reports] == [True, False, False]


@pytest.mark.parametrize("method", [*embedding_requests()])
async def test_no_hostile_field_is_a_fault_of_ours(channel, method):
    codes = set()
    for what, message in hostile_variants(embedding_requests()[method]):
        outcome = await call(channel, NAME, method, message)
        codes.add(outcome.code.name)
        assert outcome.code.name not in {"UNKNOWN", "INTERNAL", "DEADLINE_EXCEEDED"}, what
        assert outcome.code is grpc.StatusCode.OK or outcome.reason, what
    assert "PERMISSION_DENIED" in codes


class GatedEncoder(HashEncoder):
    """Runs nothing until its gate opens, and counts what it ran."""

    def __init__(self):
        super().__init__(before_encode=self._wait)
        self.gate = threading.Event()
        self.started = threading.Event()
        self.texts = 0

    def _wait(self, batch):
        self.started.set()
        assert self.gate.wait(20)
        self.texts += len(batch)


async def test_a_cancelled_call_takes_its_texts_back():
    encoder = GatedEncoder()
    async with served(encoder, budget_tokens=4) as channel:
        stub = rpc.EmbeddingServiceStub(channel)
        first = stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["first"]))
        await asyncio.to_thread(encoder.started.wait, 20)
        waiting = stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=[f"t{n}" for n in range(100)]))
        last = stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["last one"]), timeout=20)
        while (await _queued_tokens()) < 300:
            await asyncio.sleep(0.01)
        waiting.cancel()
        while (await _queued_tokens()) > 10:
            await asyncio.sleep(0.01)
        encoder.gate.set()
        await first
        await last
    assert encoder.texts == 2


async def _queued_tokens():
    name = "cairn_embedding_queue_tokens"
    return sum(
        REGISTRY.get_sample_value(name, {"lane": lane}) or 0 for lane in ("interactive", "bulk")
    )


async def test_overload_says_when_to_come_back():
    encoder = GatedEncoder()
    async with served(encoder, budget_tokens=4, max_bulk_tokens=10) as channel:
        stub = rpc.EmbeddingServiceStub(channel)
        first = stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["first"]))
        await asyncio.to_thread(encoder.started.wait, 20)
        second = stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["a b c", "d e f"]))
        while (await _queued_tokens()) < 10:
            await asyncio.sleep(0.01)
        outcome = await call(channel, NAME, "Embed", pb.EmbedRequest(scope=SCOPE, texts=["third"]))
        assert (outcome.code.name, outcome.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        query = pb.EmbedRequest(
            scope=SCOPE, texts=["q"], options=pb.EmbedOptions(kind=pb.INPUT_KIND_QUERY)
        )
        asked = stub.Embed(query)
        encoder.gate.set()
        await asyncio.gather(first, second, asked)


async def test_one_bad_text_of_64_fails_alone():
    bad = HashEncoder().tokenize(["poison"], 2)[0].ids[1]

    def refuse(batch):
        if any(bad in ids for ids in batch):
            raise ValueError

    async with served(HashEncoder(before_encode=refuse)) as channel:
        texts = [f"text {number}" for number in range(63)] + ["the poison"]
        response = await rpc.EmbeddingServiceStub(channel).Embed(
            pb.EmbedRequest(scope=SCOPE, texts=texts)
        )
    assert [report.error.reason for report in response.reports] == [""] * 63 + ["INTERNAL"]
    assert matrix(response.vectors)[:63].any(axis=1).all()
