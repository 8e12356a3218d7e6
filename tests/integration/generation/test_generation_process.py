"""The service as a process: ready, light, drained, and refused with wrong settings."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import psutil
import pytest
from cairn.generation.v1 import generation_service_pb2 as pb
from cairn.generation.v1 import generation_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2

from services.rpc.channel import open_channel
from tests.kit.generation_process import ROOT, generation_process

MAX_RESIDENT_BYTES = 150 * 2**20


async def test_the_default_process_is_light_and_ends_in_order(tmp_path: Path) -> None:
    with generation_process(tmp_path / "log") as service:
        async with open_channel(service.target) as channel:
            scope = scope_pb2.Scope(tenant="acme", principals=["everyone"])
            listed = await rpc.GenerationServiceStub(channel).ListModels(
                pb.ListModelsRequest(scope=scope)
            )
        resident = psutil.Process(service.process.pid).memory_info().rss
        service.process.terminate()
        code = service.process.wait(10)

    assert [model.engine for model in listed.models] == ["extractive"]
    assert resident < MAX_RESIDENT_BYTES
    assert code == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CAIRN_GENERATION_ENGINES", "gpt"),
        ("CAIRN_GENERATION_ENGINES", "vllm"),
        ("CAIRN_GENERATION_MIN_SUPORT", "0.5"),
        ("CAIRN_GENERATION_VLLM_ENGINE_ARGS", "[1]"),
    ],
)
async def test_wrong_settings_end_the_process_with_their_name(variable: str, value: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.generation",
        cwd=ROOT,
        env={**os.environ, variable: value},
        stderr=asyncio.subprocess.PIPE,
    )
    _, message = await process.communicate()

    assert process.returncode == 2
    assert b"CAIRN_GENERATION_" in message
