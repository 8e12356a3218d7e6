"""Buckets of S3-like stores, through fsspec, which no other module imports."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services.ingestion.document import PIECE_BYTES, ContentCollector
from services.ingestion.sources.folder import too_large
from services.ingestion.sources.model import (
    Fetched,
    Found,
    ItemFailedError,
    ItemGoneError,
    SourceFailedError,
)
from services.ingestion.sources.reader import BATCH

if TYPE_CHECKING:
    from services.ingestion.sources.model import Source

_FOLDERS_SUFFIX = "/"
_READ_SECONDS = 300.0
_LIST_SECONDS = 600.0
_MAX_FOLDERS = 1000
_EXTRAS = {"s3": "s3", "s3a": "s3"}


class ObjectStoreReader:
    """Lists and reads the objects below a prefix.

    Args:
        source: Bucket and prefix.
        options: What fsspec is given: keys, endpoint.
        max_bytes: Largest object.
        max_items: Most objects.
        spool_folder: Where large objects lie while they are submitted.
    """

    def __init__(
        self,
        source: Source,
        options: Mapping[str, Any],
        *,
        max_bytes: int,
        max_items: int,
        spool_folder: Path,
    ) -> None:
        parts = urlsplit(source.location)
        self._scheme = parts.scheme
        self._options = options
        self._prefix = f"{parts.netloc}{parts.path}".rstrip("/")
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._spool_folder = spool_folder
        self._store: Any = None
        self.excluded_count = 0

    async def scan(self) -> AsyncIterator[Sequence[Found]]:
        """Yields the objects (see `SourceReader`)."""
        walk = self._walk()
        while batch := await self._call(_LIST_SECONDS, _take, walk):
            yield batch

    async def find(self, path: str) -> Found | None:
        """Returns one object (see `SourceReader`)."""
        if not path or ".." in PurePosixPath(path).parts:
            return None
        return await self._call(_READ_SECONDS, self._info, path)

    async def read(self, item: Found, known_version: str) -> Fetched | None:
        """Returns an object's bytes (see `SourceReader`)."""
        if item.size_bytes > self._max_bytes:
            raise too_large(item.size_bytes, self._max_bytes)
        return await self._call(_READ_SECONDS, self._read, item)

    async def _call(self, seconds: float, function: Any, *arguments: Any) -> Any:
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.to_thread(function, *arguments)
        except (ItemFailedError, ItemGoneError, SourceFailedError):
            raise
        except TimeoutError:
            raise SourceFailedError(
                "DEPENDENCY_UNAVAILABLE", f"the store did not answer within {seconds:g} seconds"
            ) from None
        except Exception as error:  # each store has errors of its own
            raise SourceFailedError(
                "SOURCE_UNREADABLE", f"the store cannot be read: {_words(error)}"
            ) from error

    def _open_store(self) -> Any:
        if self._store is None:
            try:
                import fsspec  # noqa: PLC0415 - heavy, and only where a source needs it

                self._store = fsspec.filesystem(
                    self._scheme, skip_instance_cache=True, use_listings_cache=False,
                    **self._options,
                )  # fmt: skip
            except ImportError as error:
                extra = _EXTRAS.get(self._scheme, self._scheme)
                raise SourceFailedError(
                    "NOT_SUPPORTED",
                    f"the library for {self._scheme}:// is not installed; install extra {extra!r}",
                    is_retryable=False,
                ) from error
        return self._store

    def _walk(self) -> Iterator[Found]:
        """Yields the objects, one part of the listing in memory at a time."""
        store = self._open_store()
        root = _stripped(store, self._prefix)
        count = 0
        for listing in _listings(store, self._prefix):
            for path, info in sorted(listing.items()):
                relative = path.removeprefix(root).lstrip("/")
                is_marker = path.endswith(_FOLDERS_SUFFIX) or info.get("type") == "directory"
                if is_marker or not relative or PurePosixPath(relative).name.startswith("."):
                    self.excluded_count += 1
                    continue
                count += 1
                if count > self._max_items:
                    raise SourceFailedError(
                        "TOO_LARGE",
                        f"has more than {self._max_items} objects; make a source of each part",
                        is_retryable=False,
                    )
                yield self._found(relative, info)

    def _info(self, path: str) -> Found | None:
        try:
            info = self._open_store().info(f"{self._prefix}/{path}")
        except FileNotFoundError:
            return None
        return None if info.get("type") == "directory" else self._found(path, info)

    def _read(self, item: Found) -> Fetched:
        collector = ContentCollector(self._spool_folder)
        try:
            with self._open_store().open(
                f"{self._prefix}/{item.path}", "rb", block_size=4 * PIECE_BYTES, cache_type="none"
            ) as file:
                while data := file.read(PIECE_BYTES):
                    if collector.size_bytes + len(data) > self._max_bytes:
                        raise too_large(collector.size_bytes + len(data), self._max_bytes)
                    collector.add(data)
        except FileNotFoundError:
            raise ItemGoneError from None
        except PermissionError as error:
            raise ItemFailedError("SOURCE_UNREADABLE", _words(error), is_retryable=True) from error
        return Fetched(
            collector.finish(),
            PurePosixPath(item.path).name,
            version=item.version,
            modified_us=item.modified_us,
        )

    def _found(self, path: str, info: Mapping[str, Any]) -> Found:
        size_bytes = int(info.get("size") or 0)
        modified = _modified(info)
        etag = str(info.get("ETag") or info.get("etag") or "")
        version = etag or (f"{modified}:{size_bytes}" if modified else "")
        uri = f"{self._scheme}://{self._prefix}/{path}"
        return Found(path, uri, size_bytes, modified, version)


def _listings(store: Any, prefix: str) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """Yields what lies below a prefix: all that lies in it directly, then one folder at a time.

    Stores list whole trees only. A prefix with very many folders is listed at once all the same:
    one by one they would take a request each.
    """
    try:
        entries = store.ls(prefix, detail=True)
    except FileNotFoundError:
        entries = []  # says `find` so too, but of a bucket
    folders = sorted(each["name"] for each in entries if each.get("type") == "directory")
    if not folders or len(folders) > _MAX_FOLDERS:
        del entries
        yield store.find(prefix, detail=True)
        return
    yield {each["name"]: each for each in entries if each.get("type") != "directory"}
    del entries
    for folder in folders:
        yield store.find(folder, detail=True)


def _take(walk: Iterator[Found]) -> list[Found]:
    return list(itertools.islice(walk, BATCH))


def _stripped(store: Any, path: str) -> str:
    return str(store._strip_protocol(path))  # noqa: SLF001 - how fsspec's own tools do it


def _modified(info: Mapping[str, Any]) -> int:
    """Returns when an object was changed, in microseconds since 1970; 0: not known."""
    for name in ("LastModified", "mtime", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
            return int(moment.timestamp() * 1e6)
        if isinstance(value, int | float):
            return int(value * 1e6)
    return 0


def _words(error: BaseException) -> str:
    """Returns what may be told of a store's error: its kind, and no address or key."""
    if isinstance(error, PermissionError):
        return "access is denied; check the credentials"
    if isinstance(error, FileNotFoundError):
        return "the bucket or prefix is not there"
    return type(error).__name__
