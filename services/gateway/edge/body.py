"""The body of a request while it comes in: a large one lies on disk."""

from __future__ import annotations

import asyncio
import tempfile
from typing import TYPE_CHECKING, BinaryIO, Self, cast

from services.rpc.errors import Reason, ResourceExhaustedError

if TYPE_CHECKING:
    from types import TracebackType

    from starlette.types import Message, Receive

_IN_MEMORY_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Body:
    """Takes a body in and gives it to the application, a piece at a time."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._waiting_bytes = 0
        self._file: BinaryIO | None = None
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()

    async def add(self, chunk: bytes) -> None:
        """Takes the next bytes.

        Raises:
            ResourceExhaustedError: the disk is full.
        """
        self._chunks.append(chunk)
        self.size_bytes += len(chunk)
        self._waiting_bytes += len(chunk)
        if self._waiting_bytes > _IN_MEMORY_BYTES:
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        try:
            if self._file is None:
                self._file = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - closed with us
            self._file.seek(0, 2)
            self._file.writelines(self._chunks)
            self._file.flush()
        except OSError as error:
            raise ResourceExhaustedError(
                Reason.STORAGE_FULL,
                "there is no room to receive the request; try again later",
                retry_after_seconds=5.0,
            ) from error
        self._chunks.clear()
        self._waiting_bytes = 0

    def replay(self) -> Receive:
        """Returns a receive function that gives the body, then nothing more."""
        at = 0
        is_done = False

        async def receive() -> Message:
            nonlocal at, is_done
            if is_done:
                return (
                    await asyncio.get_running_loop().create_future()
                )  # cancelled with the request
            if self._file is None:
                is_done = True
                return {"type": "http.request", "body": b"".join(self._chunks), "more_body": False}
            if self._chunks:
                await asyncio.to_thread(self._write)
            data = await asyncio.to_thread(self._read, self._file, at)
            at += len(data)
            is_done = at >= self.size_bytes
            return {"type": "http.request", "body": data, "more_body": not is_done}

        return receive

    @staticmethod
    def _read(file: BinaryIO, at: int) -> bytes:
        file.seek(at)
        return file.read(_PIECE_BYTES)
