"""vLLM's pooling runner behind the service, in the environment `.venv-vllm`."""

from __future__ import annotations

import asyncio
import json

import grpc
import numpy as np
import psutil
import pytest
from cairn.embedding.v1 import embedding_service_pb2 as pb
from cairn.embedding.v1 import embedding_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2

from services.embedding.encoder import Output
from services.embedding.engines.bert_encoder import BertEncoder
from services.embedding.model_folder import packaged_model
from services.embedding.options import InputKind
from tests.kit.embedding_process import embedding_process
from tests.kit.tiny_llama import VLLM_PYTHON

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(400),
    pytest.mark.skipif(
        not VLLM_PYTHON.exists(), reason="no .venv-vllm here; `make test` builds it"
    ),
]

SCOPE = scope_pb2.Scope(tenant="t", principals=["everyone"])
TEXTS = [
    "a hard rock",
    "",
    "what is granite?",
    *("granite is a rock " * n for n in range(1, 90, 8)),
]
READY_SECONDS = 300


async def test_vectors_agree_with_our_own_engine_and_no_process_is_left(tmp_path):
    folder = packaged_model("all-MiniLM-L6-v2")
    models = tmp_path / "models.json"
    entry = {"name": "mini", "source": str(folder), "engine": "vllm", "default": True}
    models.write_text(json.dumps({"models": [entry]}))
    async with embedding_process(str(VLLM_PYTHON), MODELS_FILE=str(models)) as running:
        async with grpc.aio.insecure_channel(running.target) as channel:
            stub = rpc.EmbeddingServiceStub(channel)
            response = await _when_ready(stub)
            scores = (
                await stub.Rerank(
                    pb.RerankRequest(scope=SCOPE, query="a hard rock", passages=TEXTS[:3])
                )
            ).scores
        children = psutil.Process(running.process.pid).children(recursive=True)
        assert children
        running.process.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, timeout=30)
    assert alive == []
    failed = [place for place, report in enumerate(response.reports) if report.HasField("error")]
    assert failed == [1]
    vectors = np.frombuffer(response.vectors.data, "<f4").reshape(len(TEXTS), -1)
    wanted = _expected(folder)
    kept = [place for place in range(len(TEXTS)) if place != 1]
    assert (vectors[kept] * wanted[kept]).sum(axis=1).min() > 0.999
    assert scores[0] > scores[2] > scores[1] == 0


async def _when_ready(stub):
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                return await stub.Embed(pb.EmbedRequest(scope=SCOPE, texts=TEXTS))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.5)


def _expected(folder):
    encoder = BertEncoder(folder, precision="float32")
    ids = [tokens.ids for tokens in encoder.tokenize(TEXTS, InputKind.DOCUMENT)]
    vectors = np.stack(encoder.encode(ids, Output.POOLED))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
