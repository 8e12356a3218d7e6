"""`/mcp` as an ASGI application that starts with its first request.

The SDK takes 0.4 s and 35 MB to import; a gateway that no agent asks never pays them.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from services.gateway.edge.problem import HttpError
from services.rpc.errors import Reason, UnavailableError

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.types import Receive, Scope, Send

    from services.gateway.edge.mcp.tools import Tools


class McpEndpoint:
    """Serves the protocol.

    Args:
        tools: What agents may do.
        version: Of the API.
    """

    def __init__(self, tools: Tools, version: str) -> None:
        self._tools = tools
        self._version = version
        self._starting = asyncio.Lock()
        self._manager: StreamableHTTPSessionManager | None = None
        self._group: asyncio.TaskGroup | None = None
        self._end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request.

        Raises:
            HttpError: another method than POST: there are no sessions and no streams to join.
        """
        if scope["method"] != "POST":
            raise HttpError(405, Reason.ROUTE_NOT_FOUND, "send JSON-RPC by POST", {"Allow": "POST"})
        manager = self._manager or await self._start()
        await manager.handle_request(scope, receive, send)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Allows requests while the block runs."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                self._end.set()

    async def _start(self) -> StreamableHTTPSessionManager:
        async with self._starting:
            if self._manager is not None:
                return self._manager
            if self._group is None:
                raise UnavailableError(Reason.NOT_READY, "the gateway is not serving")
            manager = await asyncio.to_thread(self._build)
            is_ready = asyncio.Event()
            self._group.create_task(self._run(manager, is_ready))
            await is_ready.wait()
            self._manager = manager
            return manager

    def _build(self) -> StreamableHTTPSessionManager:
        from services.gateway.edge.mcp.server import (  # noqa: PLC0415 - only where it is used
            session_manager,
        )

        return session_manager(self._tools, self._version)

    async def _run(self, manager: StreamableHTTPSessionManager, is_ready: asyncio.Event) -> None:
        async with manager.run():
            is_ready.set()
            await self._end.wait()
