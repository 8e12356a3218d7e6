"""A proxy in front of a service, which tests cut, freeze and mend."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class TcpProxy:
    """Passes bytes on to a target, unless it is told otherwise.

    Args:
        target: "host:port".
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._host, self._target_port = host, int(port)
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self.port = 0

    @property
    def address(self) -> str:
        """Where clients find it, whatever its state."""
        return f"127.0.0.1:{self.port}"

    async def open(self) -> None:
        """Listens, always on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Is gone, as a killed process is: connections break and new ones are refused."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def freeze(self) -> None:
        """Hangs, as a stopped process does: takes connections and says nothing."""
        self._flows.clear()

    def thaw(self) -> None:
        """Goes on."""
        self._flows.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._links.add(task)
        try:
            there = await asyncio.open_connection(self._host, self._target_port)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, there[1]))
                    group.create_task(self._pass(there[0], writer))
            finally:
                there[1].transport.abort()
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            pass  # one of the two has left, or the test has cut it
        finally:
            self._links.discard(task)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def tcp_proxy(target: str) -> AsyncIterator[TcpProxy]:
    """Runs a proxy for the block."""
    proxy = TcpProxy(target)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.cut()
