"""The audit log in SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import and_, bindparam, delete, func, or_, select, update

from services.gateway.audit.chain import (
    FIRST_HASH,
    AuditEntry,
    AuditEvent,
    AuditKeys,
    Verification,
    body_of,
)
from services.gateway.store.audit_tables import entries, heads
from services.gateway.store.tables import time_text
from services.sql import bulk
from services.sql.engine import upserts

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Row

    from services.sql.reader import Reader
    from services.sql.writer import GroupWriter

_CHUNK = 2_000
_PRUNED_AT_ONCE = 10_000
_PROBLEM_FLOOR = "its beginning was removed, and not by the gateway"


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are looked for; empty fields: any."""

    tenant: str
    actor: str = ""
    action: str = ""
    outcome: str = ""
    from_time: datetime | None = None
    to_time: datetime | None = None
    subject_hashes: tuple[str, ...] = ()
    before_seq: int = 0
    """Entries below this number; 0: from the newest on."""


# Made once: making them takes longer than running them.
_HEAD = (
    select(heads.c.seq, heads.c.hash).where(heads.c.tenant == bindparam("which")).with_for_update()
)
_MOVE = (
    update(heads)
    .where(heads.c.tenant == bindparam("which"))
    .values(seq=bindparam("last_seq"), hash=bindparam("last_hash"))
)


class AuditStore:
    """Appends to chains, reads and checks them.

    Args:
        reader: For lists.
        writer: For entries.
        keys: Of the chains.
    """

    def __init__(self, reader: Reader, writer: GroupWriter, keys: AuditKeys) -> None:
        self._reader = reader
        self._writer = writer
        self.keys = keys

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Adds events to the chains of their tenants, in order, all or none."""
        by_tenant: dict[str, list[AuditEvent]] = defaultdict(list)
        for event in events:
            by_tenant[event.tenant].append(event)

        def add(connection: Connection) -> None:
            for tenant in sorted(by_tenant):  # in one order: replicas wait and do not deadlock
                self._append(connection, tenant, by_tenant[tenant])

        await self._writer.run(add)

    async def find(self, query: AuditQuery, limit: int) -> tuple[AuditEntry, ...]:
        """Returns entries, newest first."""
        statement = (
            select(entries)
            .where(and_(*_conditions(query)))
            .order_by(entries.c.seq.desc())
            .limit(limit)
        )
        rows = await self._reader.run(lambda c: c.execute(statement).all())
        return tuple(_entry(row) for row in rows)

    async def read(self, tenant: str, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Returns entries in the order of the chain."""
        statement = (
            select(entries)
            .where(entries.c.tenant == tenant, entries.c.seq > after)
            .order_by(entries.c.seq)
            .limit(limit)
        )
        rows = await self._reader.run(lambda c: c.execute(statement).all())
        return tuple(_entry(row) for row in rows)

    async def begin(self, tenant: str) -> Verification:
        """Returns a verification that stands at the beginning of a chain."""

        def find(connection: Connection) -> Verification:
            found = Verification(self.keys, tenant)
            head = connection.execute(select(heads).where(heads.c.tenant == tenant)).first()
            if head is not None and head.floor_seq:
                found.seq, found.last = head.floor_seq, head.floor_hash
                proof = (head.floor_proof, tenant, head.floor_seq, head.floor_hash)
                if not self.keys.proves(*proof):
                    found.broken_seq, found.problem = head.floor_seq, _PROBLEM_FLOOR
            return found

        return await self._reader.run(find)

    async def verify_on(self, walk: Verification) -> bool:
        """Checks the next entries; returns whether the end of the chain was reached."""

        def check(connection: Connection) -> bool:
            rows = connection.execute(
                select(entries)
                .where(entries.c.tenant == walk.tenant, entries.c.seq > walk.seq)
                .order_by(entries.c.seq)
                .limit(_CHUNK)
            ).all()
            for row in rows:
                columns = {name: getattr(row, name) for name in _BESIDE}
                if not walk.check(_entry(row), columns):
                    return True
            if len(rows) == _CHUNK:
                return False
            head = connection.execute(select(heads).where(heads.c.tenant == walk.tenant)).first()
            walk.check_end(*((head.seq, head.hash) if head is not None else (0, FIRST_HASH)))
            return True

        return await self._reader.run(check)

    async def prune(self, before: datetime) -> int:
        """Removes entries that are older, from the beginnings of chains; returns how many."""

        def remove(connection: Connection) -> int:
            count = 0
            for tenant in connection.scalars(select(heads.c.tenant).order_by(heads.c.tenant)).all():
                count += self._prune(connection, tenant, time_text(before))
            return count

        return await self._writer.run(remove)

    def _append(self, connection: Connection, tenant: str, events: Sequence[AuditEvent]) -> None:
        head = connection.execute(_HEAD, {"which": tenant}).first()
        if head is None:
            insert = upserts(connection)(heads).values(
                tenant=tenant,
                seq=0,
                hash=FIRST_HASH,
                floor_seq=0,
                floor_hash=FIRST_HASH,
                floor_proof="",
            )
            connection.execute(insert.on_conflict_do_nothing())
            head = connection.execute(_HEAD, {"which": tenant}).one()
        seq, last = head.seq, head.hash
        rows = []
        for event in events:
            seq += 1
            body = body_of(event, seq, self.keys)
            last = self.keys.link(self.keys.current_id, last, body)
            at = time_text(event.at)
            rows.append((tenant, seq, at, event.actor, event.action, event.outcome, body, last))
        # Other replicas wait for the head's lock: each row by itself would hold it too long.
        bulk.insert(connection, entries, rows)
        connection.execute(_MOVE, {"which": tenant, "last_seq": seq, "last_hash": last})

    def _prune(self, connection: Connection, tenant: str, before: str) -> int:
        head = connection.execute(
            select(heads).where(heads.c.tenant == tenant).with_for_update()
        ).one()
        mine = entries.c.tenant == tenant
        kept = connection.scalar(
            select(func.min(entries.c.seq)).where(mine, entries.c.at >= before)
        )
        last = min((kept or head.seq + 1) - 1, head.floor_seq + _PRUNED_AT_ONCE)
        if last <= head.floor_seq:
            return 0
        floor_hash = connection.scalar(select(entries.c.hash).where(mine, entries.c.seq == last))
        if floor_hash is None:  # a gap: for verification to find, not for us to hide
            return 0
        connection.execute(
            update(heads)
            .where(heads.c.tenant == tenant)
            .values(
                floor_seq=last,
                floor_hash=floor_hash,
                floor_proof=self.keys.proof(tenant, last, floor_hash),
            )
        )
        return connection.execute(delete(entries).where(mine, entries.c.seq <= last)).rowcount


_BESIDE = ("at", "actor", "action", "outcome")


def _conditions(query: AuditQuery) -> list[ColumnElement[bool]]:
    found = [entries.c.tenant == query.tenant]
    for column, value in (
        (entries.c.actor, query.actor),
        (entries.c.action, query.action),
        (entries.c.outcome, query.outcome),
    ):
        if value:
            found.append(column == value)
    if query.from_time is not None:
        found.append(entries.c.at >= time_text(query.from_time))
    if query.to_time is not None:
        found.append(entries.c.at < time_text(query.to_time))
    if query.before_seq:
        found.append(entries.c.seq < query.before_seq)
    if query.subject_hashes:
        found.append(or_(*(entries.c.body.contains(each) for each in query.subject_hashes)))
    return found


def _entry(row: Row) -> AuditEntry:
    return AuditEntry(row.tenant, row.seq, row.body, row.hash)
