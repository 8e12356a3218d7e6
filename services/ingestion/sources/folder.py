"""A folder and everything below it.

Names that begin with a dot and editors' leftovers are passed over. Links to folders are not
followed; a link to a file is taken when the file lies in the folder, too, and is not found there
by itself (as in a mounted ConfigMap). Pipes, sockets and devices are never opened.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from services.ingestion.document import PIECE_BYTES, ContentCollector
from services.ingestion.sources.model import (
    Fetched,
    Found,
    ItemFailedError,
    ItemGoneError,
    Source,
    SourceFailedError,
)
from services.ingestion.sources.reader import BATCH

if TYPE_CHECKING:
    from services.ingestion.document import Content

_LEFTOVERS = ("~$", ".~lock.")
_LEFTOVER_ENDS = ("~", ".swp", ".tmp", ".part", ".crdownload")
_MAX_DEPTH = 64
_UNDECODABLE = "\ufffd"


class FolderReader:
    """Lists and reads files.

    Args:
        source: The folder.
        max_bytes: Largest file.
        spool_folder: Where large files lie while they are submitted.
    """

    def __init__(self, source: Source, max_bytes: int, spool_folder: Path) -> None:
        self._name = source.name
        self._root = Path(source.location)
        self._max_bytes = max_bytes
        self._spool_folder = spool_folder
        self.excluded_count = 0

    async def scan(self) -> AsyncIterator[Sequence[Found]]:
        """Yields the files (see `SourceReader`)."""
        walk = self._walk()
        while batch := await asyncio.to_thread(_take, walk):
            yield batch

    async def find(self, path: str) -> Found | None:
        """Returns one file (see `SourceReader`)."""
        return await asyncio.to_thread(self._find, path)

    async def read(self, item: Found, known_version: str) -> Fetched | None:
        """Returns a file's bytes (see `SourceReader`)."""
        return await asyncio.to_thread(self._read, item)

    def _walk(self) -> Iterator[Found]:
        root = self._checked_root()
        seen: set[tuple[int, int]] = set()
        links: list[Path] = []
        folders = [(root, 0)]
        while folders:
            folder, depth = folders.pop()
            for entry in self._entries(folder, is_root=folder == root):
                path = Path(entry.path)
                if _is_leftover(entry.name):
                    self.excluded_count += 1
                elif entry.is_symlink():
                    links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    if depth < _MAX_DEPTH:
                        folders.append((path, depth + 1))
                elif (status := _status(path)) is None:
                    continue  # gone since
                elif stat.S_ISREG(status.st_mode):
                    seen.add((status.st_dev, status.st_ino))
                    yield self._found(path, status)
                else:
                    self.excluded_count += 1
        yield from self._linked(root, links, seen)

    def _linked(
        self, root: Path, links: Sequence[Path], seen: set[tuple[int, int]]
    ) -> Iterator[Found]:
        for path in sorted(links):
            status = _target_status(path, root)
            if status is None or (status.st_dev, status.st_ino) in seen:
                self.excluded_count += 1
                continue
            seen.add((status.st_dev, status.st_ino))
            yield self._found(path, status)

    def _checked_root(self) -> Path:
        try:
            root = self._root.resolve(strict=True)
            is_folder = root.is_dir()
        except OSError as error:
            raise _unreadable(error) from error
        if root != self._root or not is_folder:
            raise SourceFailedError(
                "INVALID_FIELD",
                "the location is not a folder, or leads through a link; give the real path",
                is_retryable=False,
            )
        return root

    def _entries(self, folder: Path, *, is_root: bool) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                return sorted(entries, key=lambda each: each.name)
        except FileNotFoundError:
            if is_root:
                raise SourceFailedError("NOT_FOUND", "the folder is not there") from None
            return []  # removed while we went through it
        except OSError as error:
            # What cannot be listed would look removed.
            raise _unreadable(error) from error

    def _found(self, path: Path, status: os.stat_result) -> Found:
        name = os.fsencode(path.relative_to(self._root)).decode("utf-8", "replace")
        return Found(
            path=name,
            uri=f"{self._name}/{name}",
            size_bytes=status.st_size,
            modified_us=status.st_mtime_ns // 1000,
            version=_version(status),
        )

    def _find(self, path: str) -> Found | None:
        root = self._checked_root()
        parts = Path(path).parts
        if not parts or path.startswith("/") or ".." in parts or any(map(_is_leftover, parts)):
            return None
        status = _target_status(root / path, root)
        return None if status is None else self._found(root / path, status)

    def _read(self, item: Found) -> Fetched:
        if _UNDECODABLE in item.path:
            raise ItemFailedError("INVALID_TEXT", "its name is not UTF-8; rename it")
        path = self._root / item.path
        if _target_status(path, self._root) is None:
            raise ItemGoneError
        try:
            # Without O_NONBLOCK a pipe that took the file's place would be waited for.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise ItemGoneError from None
        except OSError as error:
            raise ItemFailedError(
                "SOURCE_UNREADABLE", f"cannot be read: {error.strerror}", is_retryable=True
            ) from error
        try:
            return self._read_open(descriptor, path.name)
        except OSError as error:
            raise ItemFailedError(
                "SOURCE_UNREADABLE", f"cannot be read: {error.strerror}", is_retryable=True
            ) from error
        finally:
            os.close(descriptor)

    def _read_open(self, descriptor: int, name: str) -> Fetched:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise ItemGoneError
        if before.st_size > self._max_bytes:
            raise too_large(before.st_size, self._max_bytes)
        content = _content(descriptor, self._max_bytes, self._spool_folder)
        after = os.fstat(descriptor)
        if _version(before) != _version(after) or content.size_bytes != after.st_size:
            raise ItemFailedError(
                "CONFLICT", "was being written while it was read", is_retryable=True
            )
        return Fetched(
            content,
            name,
            version=_version(after),
            modified_us=after.st_mtime_ns // 1000,
        )


def too_large(size_bytes: int, max_bytes: int) -> ItemFailedError:
    """Returns the error for an item over the limit."""
    return ItemFailedError(
        "TOO_LARGE", f"has {size_bytes} bytes or more, {max_bytes} are allowed; split it"
    )


def _content(descriptor: int, max_bytes: int, spool_folder: Path) -> Content:
    collector = ContentCollector(spool_folder)
    while data := os.read(descriptor, PIECE_BYTES):
        if collector.size_bytes + len(data) > max_bytes:
            raise too_large(collector.size_bytes + len(data), max_bytes)
        collector.add(data)
    return collector.finish()


def _take(walk: Iterator[Found]) -> list[Found]:
    batch: list[Found] = []
    for found in walk:
        batch.append(found)
        if len(batch) == BATCH:
            break
    return batch


def _version(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}"


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.lstat()
    except OSError:
        return None


def _target_status(path: Path, root: Path) -> os.stat_result | None:
    """Returns the status of a regular file that lies in the folder, links resolved; else None."""
    try:
        real = path.resolve(strict=True)
        status = real.lstat()
    except (OSError, RuntimeError):
        return None
    return status if real.is_relative_to(root) and stat.S_ISREG(status.st_mode) else None


def _is_leftover(name: str) -> bool:
    return (
        name.startswith(".")
        or name.startswith(_LEFTOVERS)
        or name.lower().endswith(_LEFTOVER_ENDS)
        or name in {"Thumbs.db", "desktop.ini"}
    )


def _unreadable(error: OSError) -> SourceFailedError:
    return SourceFailedError("SOURCE_UNREADABLE", f"the folder cannot be read: {error.strerror}")
