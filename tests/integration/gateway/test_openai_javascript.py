"""The official OpenAI client for JavaScript against the gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from tests.kit.gateway import RunningGateway

MODULE = Path(__file__).parents[2] / "javascript" / "node_modules" / "openai" / "index.mjs"
SCRIPT = Path(__file__).with_name("openai_client.mjs")


@pytest.mark.skipif(
    shutil.which("node") is None or not MODULE.exists(),
    reason="node or npm's package openai is missing: `make setup` installs it where npm is",
)
async def test_the_javascript_client_understands_everything(gw: RunningGateway) -> None:
    process = await asyncio.create_subprocess_exec(
        "node",
        str(SCRIPT),
        env={
            **os.environ,
            "GATEWAY_URL": gw.url,
            "GATEWAY_KEY": gw.key,
            "OPENAI_MODULE": str(MODULE),
            "NO_PROXY": "127.0.0.1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    assert "everything was understood" in output.decode()
    await asyncio.wait_for(gw.down.generation.generate.cancelled.wait(), 5)
