"""Keys and their secrets as rows: made, listed, rotated, revoked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError

from services.gateway.identity.permissions import Role
from services.gateway.keys import ApiKey, KeyKind, KeySecret, pepper_id, secret_hash
from services.gateway.store.directory import ensure_tenant
from services.gateway.store.standing import read_grants, replace_grants
from services.gateway.store.tables import api_keys, key_secrets, marks, read_time, time_text
from services.rpc.errors import FailedPreconditionError, NotFoundError, Reason
from services.rpc.scope import TenantClass

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

    from services.gateway.keys import ParsedKey, Peppers
    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

MAX_LIVE_SECRETS = 5
"""Secrets of a key at once, so that a rotation that goes wrong cannot fill the table."""

_BOOTSTRAP_MARK = "bootstrap_key_id"
_MAX_LISTED = 1_000


class KeyRows:
    """Makes, lists, rotates and revokes keys.

    Args:
        reader: For lists.
        writer: For changes.
        peppers: Secrets that stored hashes are made with.
        now: The time.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        peppers: Peppers,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._peppers = peppers
        self._now = now

    async def add(self, key: ApiKey, parsed: ParsedKey) -> None:
        """Stores a fresh key; its tenant is made when there is none."""
        await self._writer.run(lambda connection: self._insert(connection, key, parsed))

    async def bootstrap(self, key: ApiKey, parsed: ParsedKey) -> bool:
        """Stores the first key of all; False when there was one already."""

        def insert_first(connection: Connection) -> bool:
            if connection.scalar(select(func.count()).select_from(marks)):
                return False
            connection.execute(marks.insert().values(name=_BOOTSTRAP_MARK, value=key.key_id))
            self._insert(connection, key, parsed)
            return True

        try:
            return await self._writer.run(insert_first)
        except IntegrityError:  # another replica was first
            return False

    async def has_bootstrapped(self) -> bool:
        """Whether a first key was made, here or by another replica."""
        count = await self._reader.run(
            lambda connection: connection.scalar(select(func.count()).select_from(marks))
        )
        return bool(count)

    async def list_keys(self, tenant: str | None) -> tuple[ApiKey, ...]:
        """Returns the keys of a tenant, or of all, newest first."""
        query = select(api_keys).order_by(api_keys.c.created_at.desc()).limit(_MAX_LISTED)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        return await self._reader.run(
            lambda connection: _with_details(connection, connection.execute(query).all())
        )

    async def get(self, key_id: str, tenant: str | None) -> ApiKey:
        """Returns a key of a tenant, or of any.

        Raises:
            NotFoundError: there is none.
        """
        found = await self._reader.run(lambda c: _find(c, key_id, tenant))
        if not found:
            raise _no_key()
        return found[0]

    async def rotate(
        self, key_id: str, tenant: str | None, parsed: ParsedKey, overlap: timedelta
    ) -> ApiKey:
        """Gives a key one more secret; the others end after the overlap. Returns the key.

        Raises:
            NotFoundError: there is no such live key.
            FailedPreconditionError: it has as many live secrets as a key may have.
        """

        def change(connection: Connection) -> ApiKey:
            now = self._now()
            _lock_live(connection, key_id, tenant, now)
            live = live_secrets(connection, key_id)
            ending = [each for each, ends in live.items() if ends is None or ends > now]
            if len(ending) >= MAX_LIVE_SECRETS and overlap:
                raise FailedPreconditionError(
                    Reason.STATE_CONFLICT,
                    f"the key has {len(ending)} live secrets: revoke one or rotate at once",
                )
            until = time_text(now + overlap)
            connection.execute(
                update(key_secrets)
                .where(
                    key_secrets.c.key_id == key_id,
                    key_secrets.c.revoked_at.is_(None),
                    or_(key_secrets.c.expires_at.is_(None), key_secrets.c.expires_at > until),
                )
                .values(expires_at=until)
            )
            self._insert_secret(connection, parsed, now)
            return _find(connection, key_id, None)[0]

        return await self._writer.run(change)

    async def revoke(self, key_id: str, tenant: str | None) -> None:
        """Revokes a key of a tenant, or of any.

        Raises:
            NotFoundError: there is no such live key.
        """
        change = (
            update(api_keys)
            .where(*_named(key_id, tenant), api_keys.c.revoked_at.is_(None))
            .values(revoked_at=time_text(self._now()))
        )
        if not await self._writer.run(lambda connection: connection.execute(change).rowcount):
            raise _no_key()

    async def revoke_secret(self, key_id: str, tenant: str | None, secret_id: str) -> None:
        """Revokes one of a key's secrets.

        Raises:
            NotFoundError: there is no such live one.
        """

        def change(connection: Connection) -> int:
            now = self._now()
            _lock_live(connection, key_id, tenant, now)
            return connection.execute(
                update(key_secrets)
                .where(
                    key_secrets.c.key_id == key_id,
                    key_secrets.c.secret_id == secret_id,
                    key_secrets.c.revoked_at.is_(None),
                )
                .values(revoked_at=time_text(now))
            ).rowcount

        if not await self._writer.run(change):
            raise NotFoundError(Reason.SUBJECT_NOT_FOUND, "the key has no live secret of that id")

    def _insert(self, connection: Connection, key: ApiKey, parsed: ParsedKey) -> None:
        ensure_tenant(connection, key.tenant, key.created_at)
        connection.execute(
            api_keys.insert().values(
                key_id=key.key_id,
                tenant=key.tenant,
                name=key.name,
                role=int(key.role),
                principals=list(key.principals),
                tenant_class=int(TenantClass.STANDARD),
                created_at=time_text(key.created_at),
                expires_at=time_text(key.expires_at) if key.expires_at else None,
                user_id=key.user_id,
                kind=key.kind.value,
            )
        )
        replace_grants(connection, key.tenant, f"key:{key.key_id}", key.grants)
        self._insert_secret(connection, parsed, key.created_at)

    def _insert_secret(self, connection: Connection, parsed: ParsedKey, now: datetime) -> None:
        stored_hash = secret_hash(self._peppers.current, parsed)
        connection.execute(
            key_secrets.insert().values(
                secret_hash=stored_hash,
                key_id=parsed.key_id,
                pepper_id=pepper_id(self._peppers.current),
                created_at=time_text(now),
                secret_id=stored_hash[:12],
            )
        )


def live_secrets(connection: Connection, key_id: str) -> dict[str, datetime | None]:
    """Returns the hashes of a key's secrets that were not revoked, and when each ends."""
    rows = connection.execute(
        select(key_secrets.c.secret_hash, key_secrets.c.expires_at).where(
            key_secrets.c.key_id == key_id, key_secrets.c.revoked_at.is_(None)
        )
    ).all()
    return {stored_hash: read_time(ends) for stored_hash, ends in rows}


def key_of(row: Row) -> ApiKey:
    """Returns the key of a row, without grants and secrets."""
    created = read_time(row.created_at)
    assert created is not None
    return ApiKey(
        key_id=row.key_id,
        tenant=row.tenant,
        name=row.name,
        role=Role(row.role),
        principals=tuple(row.principals),
        created_at=created,
        expires_at=read_time(row.expires_at),
        revoked_at=read_time(row.revoked_at),
        last_used_at=read_time(row.last_used_at),
        user_id=row.user_id,
        kind=KeyKind(row.kind),
    )


def _find(connection: Connection, key_id: str, tenant: str | None) -> tuple[ApiKey, ...]:
    query = select(api_keys).where(*_named(key_id, tenant))
    return _with_details(connection, connection.execute(query).all())


def _with_details(connection: Connection, rows: Sequence[Row]) -> tuple[ApiKey, ...]:
    """Returns the keys of rows with their grants and secrets."""
    ids = [row.key_id for row in rows]
    by_key: dict[str, list[KeySecret]] = defaultdict(list)
    for start in range(0, len(ids), 500):
        found = connection.execute(
            select(key_secrets)
            .where(key_secrets.c.key_id.in_(ids[start : start + 500]))
            .order_by(key_secrets.c.created_at.desc())
        ).all()
        for row in found:
            by_key[row.key_id].append(_secret(row))
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_tenant[row.tenant].append(f"key:{row.key_id}")
    given = {
        subject: granted
        for tenant, subjects in by_tenant.items()
        for subject, granted in read_grants(connection, tenant, subjects).items()
    }
    return tuple(
        replace(
            key_of(row),
            grants=given.get(f"key:{row.key_id}", ()),
            secrets=tuple(by_key[row.key_id]),
        )
        for row in rows
    )


def _secret(row: Row) -> KeySecret:
    created = read_time(row.created_at)
    assert created is not None
    return KeySecret(
        secret_id=row.secret_id,
        created_at=created,
        expires_at=read_time(row.expires_at),
        revoked_at=read_time(row.revoked_at),
        last_used_at=read_time(row.last_used_at),
    )


def _named(key_id: str, tenant: str | None) -> list[ColumnElement[bool]]:
    named = [api_keys.c.key_id == key_id]
    return named if tenant is None else [*named, api_keys.c.tenant == tenant]


def _lock_live(connection: Connection, key_id: str, tenant: str | None, now: datetime) -> None:
    """Keeps other changes of a key out until the transaction ends.

    Raises:
        NotFoundError: there is no such live key.
    """
    row = connection.execute(
        select(api_keys.c.expires_at, api_keys.c.revoked_at)
        .where(*_named(key_id, tenant))
        .with_for_update()
    ).first()
    ends = read_time(row.expires_at) if row is not None else None
    if row is None or row.revoked_at is not None or (ends is not None and ends <= now):
        raise _no_key()


def _no_key() -> NotFoundError:
    return NotFoundError(Reason.KEY_NOT_FOUND, "there is no live key of that id")
