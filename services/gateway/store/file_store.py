"""Files that were sent to be taken in later: their bytes in SQL, in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, insert, or_, select

from services.gateway.store.openai_tables import file_pieces, files
from services.gateway.store.tables import read_time, time_text

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

PIECE_BYTES = 1024 * 1024
_EXPIRED_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file without its bytes."""

    file_id: str
    tenant: str
    owner: str
    """Actor that sent it."""
    file_name: str
    content_type: str
    purpose: str
    size_bytes: int
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FileListing:
    """Which files to list."""

    tenant: str
    owner: str | None
    """Only this actor's; None: everybody's."""
    purpose: str
    limit: int
    after: StoredFile | None
    is_ascending: bool


class FileStore:
    """Keeps files.

    Args:
        reader: For reading.
        writer: For rows.
    """

    def __init__(self, reader: Reader, writer: GroupWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def add_piece(self, file: StoredFile, ordinal: int, content: bytes) -> None:
        """Stores one piece; the file is seen once `finish` was called."""
        piece = insert(file_pieces).values(file_id=file.file_id, ordinal=ordinal, content=content)

        def run(connection: Connection) -> None:
            if ordinal == 0:
                # Hidden by its purpose until the last piece is there.
                connection.execute(insert(files).values(**_row(file) | {"purpose": ""}))
            connection.execute(piece)

        await self._writer.run(run)

    async def finish(self, file: StoredFile) -> None:
        """Makes a file whole: from now on it is listed and can be read."""
        values = {"purpose": file.purpose, "size_bytes": file.size_bytes}
        change = files.update().where(files.c.file_id == file.file_id).values(**values)
        await self._writer.run(lambda connection: connection.execute(change))

    async def find(self, tenant: str, file_id: str) -> StoredFile | None:
        """Returns a file."""
        wanted = select(files).where(
            files.c.tenant == tenant, files.c.file_id == file_id, files.c.purpose != ""
        )
        row = await self._reader.run(lambda connection: connection.execute(wanted).first())
        return None if row is None else _file(row)

    async def page(self, wanted: FileListing) -> list[StoredFile]:
        """Returns files in order of their times."""
        query = (
            select(files)
            .where(files.c.tenant == wanted.tenant, files.c.purpose != "", *_conditions(wanted))
            .limit(wanted.limit)
        )
        keys = (files.c.created_at, files.c.file_id)
        query = query.order_by(*(keys if wanted.is_ascending else (key.desc() for key in keys)))
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return [_file(row) for row in rows]

    async def total_bytes(self, tenant: str) -> int:
        """Returns how much a tenant keeps."""
        total = select(func.coalesce(func.sum(files.c.size_bytes), 0)).where(
            files.c.tenant == tenant
        )
        return int(
            await self._reader.run(lambda connection: connection.execute(total).scalar_one())
        )

    async def pieces(self, file_id: str) -> AsyncIterator[bytes]:
        """Yields a file's bytes, from the beginning."""
        ordinal = 0
        while True:
            wanted = select(file_pieces.c.content).where(
                file_pieces.c.file_id == file_id, file_pieces.c.ordinal == ordinal
            )
            content = await self._reader.run(
                lambda connection, wanted=wanted: connection.execute(wanted).scalar()
            )
            if content is None:
                return
            yield bytes(content)
            ordinal += 1

    async def delete(self, tenant: str, file_id: str) -> bool:
        """Deletes a file; returns whether there was one."""

        def run(connection: Connection) -> bool:
            owned = select(files.c.file_id).where(
                files.c.tenant == tenant, files.c.file_id == file_id
            )
            if connection.execute(owned).first() is None:
                return False
            _delete(connection, [file_id])
            return True

        return await self._writer.run(run)

    async def delete_expired(self, now: datetime) -> int:
        """Deletes some of what has expired; returns how many."""

        def run(connection: Connection) -> int:
            expired = (
                select(files.c.file_id)
                .where(files.c.expires_at < time_text(now))
                .limit(_EXPIRED_AT_ONCE)
            )
            found = [row.file_id for row in connection.execute(expired)]
            _delete(connection, found)
            return len(found)

        return await self._writer.run(run)


def _conditions(wanted: FileListing) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.owner is not None:
        conditions.append(files.c.owner == wanted.owner)
    if wanted.purpose:
        conditions.append(files.c.purpose == wanted.purpose)
    if wanted.after is not None:
        at, file_id = time_text(wanted.after.created_at), wanted.after.file_id
        same = files.c.created_at == at
        if wanted.is_ascending:
            later = files.c.created_at > at
            conditions.append(or_(later, and_(same, files.c.file_id > file_id)))
        else:
            earlier = files.c.created_at < at
            conditions.append(or_(earlier, and_(same, files.c.file_id < file_id)))
    return conditions


def _delete(connection: Connection, file_ids: list[str]) -> None:
    connection.execute(delete(file_pieces).where(file_pieces.c.file_id.in_(file_ids)))
    connection.execute(delete(files).where(files.c.file_id.in_(file_ids)))


def _row(file: StoredFile) -> dict[str, object]:
    return {
        "file_id": file.file_id,
        "tenant": file.tenant,
        "owner": file.owner,
        "file_name": file.file_name,
        "content_type": file.content_type,
        "purpose": file.purpose,
        "size_bytes": file.size_bytes,
        "created_at": time_text(file.created_at),
        "expires_at": None if file.expires_at is None else time_text(file.expires_at),
    }


def _file(row: Row[tuple[object, ...]]) -> StoredFile:
    created_at = read_time(row.created_at)
    assert created_at is not None
    return StoredFile(
        file_id=row.file_id,
        tenant=row.tenant,
        owner=row.owner,
        file_name=row.file_name,
        content_type=row.content_type,
        purpose=row.purpose,
        size_bytes=row.size_bytes,
        created_at=created_at,
        expires_at=read_time(row.expires_at),
    )
