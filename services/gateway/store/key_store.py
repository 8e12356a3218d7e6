"""Keys in SQL, looked up by their id."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from services.gateway.identity import Caller, Role
from services.gateway.keys import ApiKey, ParsedKey, parse_key, pepper_id, secret_hash
from services.gateway.store.tables import api_keys, key_secrets, marks, read_time, time_text
from services.rpc.errors import NotFoundError, Reason, UnauthenticatedError
from services.rpc.scope import Scope, TenantClass

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

CACHE_SECONDS = 3.0
"""A revoked key is refused everywhere after this time."""

_CACHE_ENTRIES = 20_000
_BOOTSTRAP_MARK = "bootstrap_key_id"


class KeyStore:
    """Accepts, makes and revokes keys.

    Args:
        reader: For look-ups.
        writer: For changes.
        pepper: Secret that stored hashes are made with.
        clock: Monotonic seconds, for the cache.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        pepper: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._pepper = pepper
        self._pepper_id = pepper_id(pepper)
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, ApiKey | None, frozenset[str]]] = OrderedDict()

    async def accept(self, credential: str) -> Caller:
        """Returns who the credential belongs to.

        Raises:
            UnauthenticatedError: it is malformed, unknown, expired or revoked; which, is not told.
        """
        parsed = parse_key(credential)
        if parsed is None:
            raise _invalid()
        key, hashes = await self._find(parsed.key_id)
        offered = secret_hash(self._pepper, parsed)
        matches = sum(hmac.compare_digest(offered, stored) for stored in hashes) > 0
        if key is None or not matches or key.revoked_at is not None:
            raise _invalid()
        if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
            raise _invalid()
        return Caller(
            key_id=key.key_id,
            role=key.role,
            scope=Scope(
                tenant=key.tenant,
                principals=key.principals,
                actor=f"key:{key.key_id}",
                tenant_class=key.tenant_class,
            ),
        )

    async def add(self, key: ApiKey, parsed: ParsedKey) -> None:
        """Stores a fresh key."""
        await self._writer.run(lambda connection: self._insert(connection, key, parsed))
        self._cache.pop(key.key_id, None)

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
        query = select(api_keys).order_by(api_keys.c.created_at.desc()).limit(1_000)
        if tenant is not None:
            query = query.where(api_keys.c.tenant == tenant)
        rows = await self._reader.run(lambda connection: connection.execute(query).all())
        return tuple(_key(row) for row in rows)

    async def revoke(self, key_id: str, tenant: str | None) -> None:
        """Revokes a key of a tenant, or of any.

        Raises:
            NotFoundError: there is no such live key.
        """
        change = (
            update(api_keys)
            .where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
            .values(revoked_at=time_text(datetime.now(UTC)))
        )
        if tenant is not None:
            change = change.where(api_keys.c.tenant == tenant)
        count = await self._writer.run(lambda connection: connection.execute(change).rowcount)
        self._cache.pop(key_id, None)
        if not count:
            raise NotFoundError(Reason.KEY_NOT_FOUND, "there is no live key of that id")

    def _insert(self, connection: Connection, key: ApiKey, parsed: ParsedKey) -> None:
        created = time_text(key.created_at)
        connection.execute(
            api_keys.insert().values(
                key_id=key.key_id,
                tenant=key.tenant,
                name=key.name,
                role=int(key.role),
                principals=list(key.principals),
                tenant_class=int(key.tenant_class),
                created_at=created,
                expires_at=time_text(key.expires_at) if key.expires_at else None,
            )
        )
        connection.execute(
            key_secrets.insert().values(
                secret_hash=secret_hash(self._pepper, parsed),
                key_id=key.key_id,
                pepper_id=self._pepper_id,
                created_at=created,
            )
        )

    async def _find(self, key_id: str) -> tuple[ApiKey | None, frozenset[str]]:
        """Returns a key and its live secrets' hashes, from the cache for `CACHE_SECONDS`."""
        cached = self._cache.get(key_id)
        now = self._clock()
        if cached is not None and cached[0] > now:
            return cached[1], cached[2]

        def look_up(connection: Connection) -> tuple[ApiKey | None, frozenset[str]]:
            row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
            hashes = connection.scalars(
                select(key_secrets.c.secret_hash).where(
                    key_secrets.c.key_id == key_id, key_secrets.c.revoked_at.is_(None)
                )
            ).all()
            return (_key(row) if row is not None else None), frozenset(hashes)

        key, hashes = await self._reader.run(look_up)
        self._cache[key_id] = (now + CACHE_SECONDS, key, hashes)
        self._cache.move_to_end(key_id)
        while len(self._cache) > _CACHE_ENTRIES:
            self._cache.popitem(last=False)
        return key, hashes


def _key(row: Row) -> ApiKey:
    created = read_time(row.created_at)
    return ApiKey(
        key_id=row.key_id,
        tenant=row.tenant,
        name=row.name,
        role=Role(row.role),
        principals=tuple(row.principals),
        tenant_class=TenantClass(row.tenant_class),
        created_at=created or datetime.now(UTC),
        expires_at=read_time(row.expires_at),
        revoked_at=read_time(row.revoked_at),
        last_used_at=read_time(row.last_used_at),
    )


def _invalid() -> UnauthenticatedError:
    return UnauthenticatedError(
        Reason.CREDENTIAL_INVALID, "the API key is unknown, malformed, expired or revoked"
    )
