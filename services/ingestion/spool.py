"""Large documents lie on disk while they come in, not in memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

from services.rpc.errors import Reason, ResourceExhaustedError


class SpoolFile:
    """Bytes in a file that has no name and is gone with this object.

    Args:
        folder: Where it lies; made when it is missing.
        piece_bytes: Bytes of one piece when it is read.

    Raises:
        ResourceExhaustedError: the disk is full or the folder cannot be written.
    """

    def __init__(self, folder: Path, piece_bytes: int) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._descriptor, name = tempfile.mkstemp(prefix="upload-", dir=folder)
            Path(name).unlink()
        except OSError as error:
            raise _full(error) from error
        self._piece_bytes = piece_bytes
        self.size_bytes = 0
        weakref.finalize(self, os.close, self._descriptor)

    def append(self, data: bytes | bytearray) -> None:
        """Writes further bytes; blocks.

        Raises:
            ResourceExhaustedError: the disk is full.
        """
        rest = memoryview(data)
        try:
            while rest:
                written = os.pwrite(self._descriptor, rest, self.size_bytes)
                self.size_bytes += written
                rest = rest[written:]
        except OSError as error:
            raise _full(error) from error

    def __iter__(self) -> Iterator[bytes]:
        """Yields the bytes in pieces, from the beginning each time; blocks."""
        for start in range(0, self.size_bytes, self._piece_bytes):
            yield os.pread(self._descriptor, self._piece_bytes, start)


def _full(error: OSError) -> ResourceExhaustedError:
    return ResourceExhaustedError(
        Reason.STORAGE_FULL,
        f"the document cannot be put on disk ({error.strerror}); free some and send it again",
        retry_after_seconds=5.0,
    )
