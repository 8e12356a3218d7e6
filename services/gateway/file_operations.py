"""What callers may do with files that are kept to be taken in later."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.gateway.audit.trail import note_subjects
from services.gateway.identity import Caller, Operation
from services.gateway.store.file_store import PIECE_BYTES, FileListing, StoredFile
from services.gateway.texts import check_text
from services.rpc.errors import (
    InvalidArgumentError,
    NotFoundError,
    Reason,
    ResourceExhaustedError,
)

if TYPE_CHECKING:
    from services.gateway.requests import UploadedFile
    from services.gateway.store.file_store import FileStore

MAX_FILES_PAGE = 10_000
MIN_EXPIRY_SECONDS, MAX_EXPIRY_SECONDS = 3_600, 2_592_000


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file to keep."""

    name: str
    content_type: str
    purpose: str
    content: UploadedFile
    expires_after_seconds: int | None = None


class FileOperations:
    """Everything a caller may ask about files. A file is its sender's; operators see all.

    Args:
        store: Where files are.
        max_tenant_bytes: What one tenant may keep.
        now: The time.
    """

    def __init__(
        self, store: FileStore, max_tenant_bytes: int, now: Callable[[], datetime] = _now
    ) -> None:
        self._store = store
        self._max_tenant_bytes = max_tenant_bytes
        self._now = now

    async def add(self, caller: Caller, new: NewFile) -> StoredFile:
        """Keeps a file.

        Raises:
            ResourceExhaustedError: the tenant keeps too much already.
        """
        caller.require(Operation.INGEST)
        check_text("file (name)", new.name, limit=1_024, required=True)
        check_text("file (content type)", new.content_type, limit=256)
        if not new.content.size_bytes:
            raise InvalidArgumentError.for_field("file", "must not be empty", Reason.EMPTY_TEXT)
        now = self._now()
        await self._store.delete_expired(now)
        kept = await self._store.total_bytes(caller.scope.tenant)
        if kept + new.content.size_bytes > self._max_tenant_bytes:
            raise ResourceExhaustedError(
                Reason.QUOTA_EXCEEDED,
                f"the tenant keeps {kept} bytes of files and may keep {self._max_tenant_bytes}; "
                "delete files that are taken in already",
            )
        file = StoredFile(
            file_id=f"file-{secrets.token_hex(12)}",
            tenant=caller.scope.tenant,
            owner=caller.scope.actor,
            file_name=new.name,
            content_type=new.content_type,
            purpose=new.purpose,
            size_bytes=new.content.size_bytes,
            created_at=now,
            expires_at=_expiry(now, new.expires_after_seconds),
        )
        note_subjects("file", (file.file_id,))
        return await self._keep(file, new.content.pieces())

    async def get(self, caller: Caller, file_id: str) -> StoredFile:
        """Returns a file.

        Raises:
            NotFoundError: there is none, or not one of this caller.
        """
        caller.require(Operation.READ_DOCUMENTS)
        check_text("file_id", file_id, limit=512, required=True)
        note_subjects("file", (file_id,))
        found = await self._store.find(caller.scope.tenant, file_id)
        if found is None or self._is_over(found) or not _sees(caller, found):
            raise NotFoundError(
                Reason.DOCUMENT_NOT_FOUND, "there is no such file, or it is not this key's"
            )
        return found

    async def page(
        self,
        caller: Caller,
        *,
        purpose: str = "",
        limit: int = MAX_FILES_PAGE,
        after: str = "",
        is_ascending: bool = False,
    ) -> tuple[list[StoredFile], bool]:
        """Returns files in order of their times, and whether there are more."""
        caller.require(Operation.READ_DOCUMENTS)
        found = await self._store.page(
            FileListing(
                tenant=caller.scope.tenant,
                owner=None if caller.may(Operation.SEE_ALL_DOCUMENTS) else caller.scope.actor,
                purpose=purpose,
                limit=limit + 1,
                after=await self.get(caller, after) if after else None,
                is_ascending=is_ascending,
            )
        )
        live = [each for each in found if not self._is_over(each)]
        return live[:limit], len(found) > limit

    async def delete(self, caller: Caller, file_id: str) -> None:
        """Deletes a file; documents made of it stay."""
        caller.require(Operation.DELETE_DOCUMENT)
        await self.get(caller, file_id)
        await self._store.delete(caller.scope.tenant, file_id)

    def content(self, file: StoredFile) -> KeptFile:
        """Returns what reads a file's bytes; get the file first."""
        return KeptFile(self._store, file)

    def _is_over(self, file: StoredFile) -> bool:
        return file.expires_at is not None and file.expires_at <= self._now()

    async def _keep(self, file: StoredFile, content: AsyncIterator[bytes]) -> StoredFile:
        size_bytes, ordinal = 0, 0
        try:
            async for piece in _even(content):
                await self._store.add_piece(file, ordinal, piece)
                size_bytes += len(piece)
                ordinal += 1
            whole = replace(file, size_bytes=size_bytes)
            await self._store.finish(whole)
        except BaseException:
            # Also when the client leaves half-way: nothing of it stays.
            await self._store.delete(file.tenant, file.file_id)
            raise
        return whole


class KeptFile:
    """A kept file as what ingestion reads.

    Args:
        store: Where it is.
        file: Which.
    """

    def __init__(self, store: FileStore, file: StoredFile) -> None:
        self._store = store
        self._file = file

    @property
    def size_bytes(self) -> int:
        """How many bytes it has."""
        return self._file.size_bytes

    def pieces(self) -> AsyncIterator[bytes]:
        """Yields its bytes, from the beginning."""
        return self._store.pieces(self._file.file_id)


def _sees(caller: Caller, file: StoredFile) -> bool:
    return file.owner == caller.scope.actor or caller.may(Operation.SEE_ALL_DOCUMENTS)


def _expiry(now: datetime, seconds: int | None) -> datetime | None:
    if seconds is None:
        return None
    if not MIN_EXPIRY_SECONDS <= seconds <= MAX_EXPIRY_SECONDS:
        raise InvalidArgumentError.for_field(
            "expires_after.seconds",
            f"must be between {MIN_EXPIRY_SECONDS} and {MAX_EXPIRY_SECONDS}",
        )
    return now + timedelta(seconds=seconds)


async def _even(content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yields the same bytes in pieces of one size."""
    held = bytearray()
    async for piece in content:
        held += piece
        while len(held) >= PIECE_BYTES:
            yield bytes(held[:PIECE_BYTES])
            del held[:PIECE_BYTES]
    if held:
        yield bytes(held)
