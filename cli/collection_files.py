"""Files that hold a whole collection: the messages of an export, one after the other.

A line that names the format, then each message behind its length in four bytes, little-endian. The
last message says that it is the last, so that a file cut short is seen. What an export that broke
off has written is kept under the name with `.part`, and the next one goes on behind it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from google.protobuf.message import DecodeError

from cli.errors import CliError

_FORMAT = b"cairn collection 1\n"
_LENGTH = struct.Struct("<I")


class ExportFile:
    """A file that an export writes to.

    Args:
        path: Its name once it is whole.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._file: BinaryIO | None = None
        self.resume_token = ""
        """Where a former export broke off; empty: there was none."""
        self.document_count = 0
        """Documents in the file."""

    def __enter__(self) -> Self:
        end = 0
        if self._part.exists():
            for end, message in _messages(self._part, is_whole=False):  # noqa: B007 - the last one's
                self.resume_token = message.resume_token
                self.document_count += len(message.documents)
        self._file = self._part.open("r+b" if end else "wb")
        if end:
            self._file.seek(end)
            self._file.truncate()
        else:
            self._file.write(_FORMAT)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def write(self, message: pb.ExportCollectionResponse) -> None:
        """Adds a message."""
        assert self._file is not None
        body = message.SerializeToString()
        self._file.write(_LENGTH.pack(len(body)) + body)
        self.document_count += len(message.documents)
        if message.is_last:
            self._file.flush()
            self._part.replace(self._path)


def read_export(path: Path) -> Iterator[pb.ExportCollectionResponse]:
    """Yields the messages of a whole file.

    Raises:
        CliError: it is no such file, or not whole.
    """
    is_last = False
    for _, message in _messages(path, is_whole=True):
        yield message
        is_last = message.is_last
    if not is_last:
        raise CliError(f"{path} is cut short", "export the collection again")


def _messages(path: Path, *, is_whole: bool) -> Iterator[tuple[int, pb.ExportCollectionResponse]]:
    """Yields messages, each with where it ends; what is not whole at the end is left out."""
    with path.open("rb") as file:
        if file.read(len(_FORMAT)) != _FORMAT:
            if not is_whole:
                return
            raise CliError(f"{path} holds no exported collection")
        while True:
            head = file.read(_LENGTH.size)
            if len(head) < _LENGTH.size:
                return
            body = file.read(_LENGTH.unpack(head)[0])
            if len(body) < _LENGTH.unpack(head)[0]:
                return
            try:
                message = pb.ExportCollectionResponse.FromString(body)
            except DecodeError:
                raise CliError(f"{path} is damaged", "export the collection again") from None
            yield file.tell(), message
