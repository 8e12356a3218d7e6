"""The generation service over vLLM's CPU build and a tiny random model, and what tests ask of it."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import passage_pb2, scope_pb2

from tests.kit.generation_process import GenerationProcess, generation_process
from tests.kit.tiny_llama import VLLM_PYTHON, tiny_llama_folder

BLOCK_TOKENS = 128
"""Block of the CPU build's KV cache: only whole blocks are reused."""
CONTEXT_TOKENS = 2048
ENGINE_ARGS = {
    "max_model_len": CONTEXT_TOKENS,
    "max_num_seqs": 64,
    "enforce_eager": True,
    "dtype": "bfloat16",
    "enable_lora": True,
    "max_lora_rank": 16,
}
SETTINGS = {
    "engines": "vllm",
    "vllm_model_name": "tiny",
    "vllm_engine_args": json.dumps(ENGINE_ARGS),
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "HF_HUB_OFFLINE": "1",
}
MARKS = [
    pytest.mark.vllm,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not VLLM_PYTHON.exists(), reason="no .venv-vllm here; `make test` builds it"
    ),
]
LONG = [
    passage_pb2.ScoredPassage(
        passage=passage_pb2.Passage(
            document_id=f"d{9 - number}", text=f"Passage {number}. " + "The index is a view. " * 20
        )
    )
    for number in range(3)
]
ENDLESS = pb.Sampling(max_tokens=1500)
"""As much as the context holds beside `LONG`: the model never ends by itself."""


def start(log: Path, **settings: str) -> Any:
    """Starts the service; a context that yields it once it is ready."""
    return generation_process(
        log,
        python=VLLM_PYTHON,
        ready_seconds=300,
        vllm_model=str(tiny_llama_folder()),
        **{**SETTINGS, **settings},
    )


def request(tenant: str = "acme", **fields: Any) -> pb.GenerateRequest:
    """Returns a short question with a short answer, as far as the fields do not say otherwise."""
    return pb.GenerateRequest(
        **{
            "scope": scope_pb2.Scope(tenant=tenant, principals=["everyone"], actor="key:test"),
            "messages": [pb.Message(role=pb.ROLE_USER, content="What is the index?")],
            "sampling": pb.Sampling(max_tokens=16, seed=1),
            **fields,
        }
    )


async def finish(stub: rpc.GenerationServiceStub, wanted: pb.GenerateRequest) -> pb.Finished:
    """Returns how an answer ends."""
    events = [event async for event in stub.Generate(wanted)]
    return events[-1].finished


def metric(service: GenerationProcess, name: str, **labels: str) -> float:
    """Returns a metric's value, the sum over the labels that are not given."""
    with urllib.request.urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics") as page:
        text = page.read().decode()
    found = re.findall(rf"^{re.escape(name)}(?:{{([^}}]*)}})? (\S+)$", text, flags=re.MULTILINE)
    return sum(
        float(value)
        for has, value in found
        if all(f'{key}="{wanted}"' in has for key, wanted in labels.items())
    )


async def assert_idle(service: GenerationProcess, seconds: float = 0.1) -> None:
    """Asserts that, some time from now, the engine writes nothing more and holds nothing."""
    await asyncio.sleep(seconds)
    tokens = metric(service, "vllm:generation_tokens_total")
    await asyncio.sleep(0.3)
    assert metric(service, "vllm:generation_tokens_total") == tokens
    for name in (
        "cairn_generation_running",
        "cairn_generation_reserved_tokens",
        "cairn_generation_queue_requests",
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
    ):
        assert metric(service, name) == 0, name
