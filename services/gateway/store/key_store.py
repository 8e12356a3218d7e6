"""Keys in SQL, looked up by their id."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import time
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select, text, update

from services.gateway.identity.credentials import caller_of_key
from services.gateway.keys import parse_key, pepper_id, secret_hash
from services.gateway.store.key_rows import key_of, live_secrets
from services.gateway.store.standing import standing
from services.gateway.store.tables import api_keys, key_secrets, time_text
from services.rpc.errors import Reason, ServiceError, UnauthenticatedError
from services.rpc.logs import get_logger
from services.sql import bulk

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from services.gateway.identity import Caller
    from services.gateway.keys import ParsedKey, Peppers
    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

CACHE_SECONDS = 3.0
"""What was revoked, disabled or taken back elsewhere is refused after this time."""

USED_SECONDS = 10.0
"""When a key was last used is written this often."""

_CACHE_ENTRIES = 20_000
_MAX_REFUSED = 20_000


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of a key, and when it was asked."""

    asked_at: float
    """Monotonic seconds before the store was read."""
    caller: Caller | None
    """None: no credential of this key opens anything."""
    expires_at: datetime | None
    secrets: dict[str, datetime | None]
    """Hashes of live secrets and when each ends."""

    def accepts(self, stored_hash: str, now: datetime) -> bool:
        """Whether a secret of that hash is a live one."""
        if self.caller is None or stored_hash not in self.secrets:
            return False
        ends = self.secrets[stored_hash]
        return (ends is None or ends > now) and (self.expires_at is None or self.expires_at > now)


class KeyStore:
    """Accepts keys.

    Args:
        reader: For look-ups.
        writer: For the times of use.
        peppers: Secrets that stored hashes are made with.
        clock: Monotonic seconds, for the cache.
        now: The time.
    """

    def __init__(
        self,
        reader: Reader,
        writer: GroupWriter,
        peppers: Peppers,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._peppers = peppers
        self._clock = clock
        self._now = now
        self._cache: OrderedDict[str, _Known] = OrderedDict()
        self._refused: OrderedDict[str, float] = OrderedDict()
        self._proof_key = secrets.token_bytes(32)
        self._proven: OrderedDict[bytes, tuple[str, str]] = OrderedDict()
        """Credentials that were accepted, by a hash only this process can make: key and hash."""
        self._locks: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._used: dict[str, tuple[str, datetime]] = {}
        self._stale: dict[str, str] = {}

    async def accept(self, credential: str) -> Caller:
        """Returns who the credential belongs to.

        A secret that the cache does not know is looked for in the store at once: another replica
        may just have made it. One that the store does not know either is refused for a while.

        Raises:
            UnauthenticatedError: it is malformed, unknown, expired or revoked; which, is not told.
        """
        arrived = self._clock()
        proof = hashlib.blake2b(credential.encode(), key=self._proof_key).digest()
        caller = self._match_again(proof, arrived)
        if caller is not None:
            return caller
        parsed = parse_key(credential)
        if parsed is None:
            raise invalid_key()
        known = self._cache.get(parsed.key_id)
        is_fresh = known is None or known.asked_at + CACHE_SECONDS <= arrived
        if known is None or is_fresh:
            known = await self._ask(parsed.key_id, arrived - CACHE_SECONDS)
        caller = self._match(known, parsed, proof)
        if caller is None and not is_fresh:
            offered = secret_hash(self._peppers.current, parsed)
            if self._refused.get(offered, 0.0) <= arrived:
                caller = self._match(await self._ask(parsed.key_id, arrived), parsed, proof)
                if caller is None:
                    self._refuse(offered)
        if caller is None:
            raise invalid_key()
        return caller

    def forget(self, key_id: str) -> None:
        """Has the key looked up anew: it was changed here."""
        self._cache.pop(key_id, None)

    def forget_all(self) -> None:
        """Has every key looked up anew: a user, group, role or tenant was changed here."""
        self._cache.clear()

    async def flush(self) -> None:
        """Writes when keys were last used, and hashes by the current pepper.

        Raises:
            ServiceError: the store does not take it; nothing is lost.
        """
        used, self._used = self._used, {}
        stale, self._stale = self._stale, {}
        if not used and not stale:
            return
        try:
            await self._writer.run(lambda connection: self._write(connection, used, stale))
        except ServiceError:
            self._used = {**used, **self._used}
            self._stale = {**stale, **self._stale}
            raise
        for key_id in {key_id for key_id, _ in used.values()} if stale else ():
            self.forget(key_id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Flushes regularly while the block runs, and once more at its end."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._flush_regularly())
            try:
                yield
            finally:
                task.cancel()
        with contextlib.suppress(ServiceError):
            await self.flush()

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(USED_SECONDS)
            try:
                await self.flush()
            except ServiceError as error:
                get_logger().warning("use of keys not written yet", reason=error.reason.value)

    def _match_again(self, proof: bytes, arrived: float) -> Caller | None:
        """Returns the caller of a credential that was accepted before, while the cache knows it.

        Its parts and its hash are not worked out anew: that takes as long as all else here, and
        the library lets the interpreter's lock go meanwhile.
        """
        key_id, stored_hash = self._proven.get(proof, ("", ""))
        known = self._cache.get(key_id)
        if known is None or known.asked_at + CACHE_SECONDS <= arrived:
            return None
        now = self._now()
        if not known.accepts(stored_hash, now):
            return None
        self._used[stored_hash] = (key_id, now)
        return known.caller

    def _match(self, known: _Known, parsed: ParsedKey, proof: bytes) -> Caller | None:
        """Returns the caller when the secret is a live one.

        Looking a hash up in a table tells by its time nothing of the secret: who does not have the
        pepper cannot choose the hash.
        """
        now = self._now()
        current = ""
        for stored_hash in self._peppers.hashes(parsed):
            current = current or stored_hash
            if known.accepts(stored_hash, now):
                self._used[stored_hash] = (parsed.key_id, now)
                if stored_hash != current:
                    self._stale[stored_hash] = current
                else:
                    self._proven[proof] = (parsed.key_id, stored_hash)
                    while len(self._proven) > _CACHE_ENTRIES:
                        self._proven.popitem(last=False)
                return known.caller
        return None

    def _refuse(self, offered: str) -> None:
        self._refused[offered] = self._clock() + CACHE_SECONDS
        while len(self._refused) > _MAX_REFUSED:
            self._refused.popitem(last=False)

    async def _ask(self, key_id: str, not_before: float) -> _Known:
        """Returns what the store says of a key, asked after `not_before`; one asks for all."""
        lock = self._locks.get(key_id)
        if lock is None:
            lock = self._locks[key_id] = asyncio.Lock()
        async with lock:
            known = self._cache.get(key_id)
            if known is not None and known.asked_at > not_before:
                return known
            asked_at = self._clock()
            known = await self._reader.run(lambda c: self._look_up(c, key_id, asked_at))
            self._cache[key_id] = known
            self._cache.move_to_end(key_id)
            while len(self._cache) > _CACHE_ENTRIES:
                self._cache.popitem(last=False)
            return known

    def _look_up(self, connection: Connection, key_id: str, asked_at: float) -> _Known:
        nobody = _Known(asked_at, None, None, {})
        row = connection.execute(select(api_keys).where(api_keys.c.key_id == key_id)).first()
        if row is None or row.revoked_at is not None:
            return nobody
        key = key_of(row)
        owner = standing(connection, key.tenant, key_id=key_id, user_id=key.user_id)
        if not owner.is_open:
            return nobody
        secrets = live_secrets(connection, key_id)
        return _Known(asked_at, caller_of_key(key, owner), key.expires_at, secrets)

    def _write(
        self, connection: Connection, used: dict[str, tuple[str, datetime]], stale: dict[str, str]
    ) -> None:
        if used:
            # One time for all of these seconds: two statements, however many keys there are.
            stamp = time_text(max(moment for _, moment in used.values()))
            keys = sorted({key_id for key_id, _ in used.values()})
            for table, column, values in (
                (key_secrets, "secret_hash", sorted(used)),
                (api_keys, "key_id", keys),
            ):
                among = bulk.among(connection, column)
                change = f"UPDATE {table.name} SET last_used_at = :stamp WHERE {among}"  # noqa: S608 - names are ours
                bound = {"stamp": stamp, "ids": bulk.bind(connection, values)}
                connection.execute(text(change), bound)
        name = pepper_id(self._peppers.current)
        for old, new in stale.items():
            connection.execute(
                update(key_secrets)
                .where(key_secrets.c.secret_hash == old)
                .values(secret_hash=new, pepper_id=name)
            )


def invalid_key() -> UnauthenticatedError:
    """Returns the one refusal of keys: it does not tell what is wrong with them."""
    return UnauthenticatedError(
        Reason.CREDENTIAL_INVALID, "the API key is unknown, malformed, expired or revoked"
    )
