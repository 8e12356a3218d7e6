"""One call of the gateway from a command that is not asynchronous."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cli.connection import find_gateway
from cli.gateway_client import GatewayClient, Reply

if TYPE_CHECKING:
    from pathlib import Path


def call_gateway(data_dir: Path, call: Callable[[GatewayClient], Awaitable[Reply]]) -> Reply:
    """Returns the reply of the gateway that serves `data_dir` (or that `CAIRN_URL` names)."""

    async def run() -> Reply:
        async with GatewayClient(find_gateway(data_dir)) as gateway:
            return await call(gateway)

    return asyncio.run(run())
