"""The audit log: its chain, what breaks it, what it never holds."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, func, select, update

from services.gateway.audit.chain import AuditEvent, AuditKeys
from services.gateway.audit.desk import AuditAsk, AuditDesk, AuditReport
from services.gateway.audit.log import MAX_WAITING, AuditLog
from services.gateway.audit.trail import note_outcome, note_subjects
from services.gateway.identity import Caller, Operation, Role
from services.gateway.store.audit_store import AuditStore
from services.gateway.store.audit_tables import entries, heads
from services.gateway.store.schemas import ensure_identity_tables
from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from services.rpc.scope import Scope
from services.sql.engine import open_engine
from services.sql.reader import Reader
from services.sql.writer import GroupWriter
from tests.kit.postgres import database_url

__all__ = ["database_url"]

HOME = Caller("home", Role.ADMIN, Scope("default", ("everyone",), "key:home"))
ACME = Caller("acme", Role.ADMIN, Scope("acme", ("everyone",), "key:acme"))
PEPPER = b"p" * 32
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Parts:
    reader: Reader
    writer: GroupWriter
    log: AuditLog

    @property
    def desk(self) -> AuditDesk:
        return AuditDesk(self.log)

    def other(self, *peppers: bytes) -> AuditLog:
        """Another replica's log, over the same tables."""
        return AuditLog(AuditStore(self.reader, self.writer, AuditKeys(peppers or (PEPPER,))))

    async def write(self, count: int, tenant: str = "acme", **fields: str) -> None:
        """Appends entries, each a minute after the one before."""
        await self.log.store.append([event(index, tenant, **fields) for index in range(count)])

    async def tamper(self, statement: object) -> None:
        """Changes the tables as somebody who can write to the database would."""
        await self.writer.run(lambda c: c.execute(statement))  # type: ignore[arg-type]

    async def verify(self, after: str = "") -> AuditReport:
        return await self.desk.verify(ACME, after=after)


def event(index: int, tenant: str = "acme", **fields: str) -> AuditEvent:
    whole = AuditEvent(
        tenant=tenant,
        at=START + timedelta(minutes=index),
        actor="key:k",
        action="query",
        outcome="ok",
        surface="http",
        collection="docs",
        subjects=(("query", f"who knows {index}"), ("document", f"d{index}")),
    )
    return replace(whole, **fields)


@pytest.fixture
async def parts(database_url: str) -> AsyncIterator[Parts]:
    engine = open_engine(database_url)
    ensure_identity_tables(engine)
    async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
        log = AuditLog(AuditStore(reader, writer, AuditKeys([PEPPER])))
        async with log.running():
            yield Parts(reader, writer, log)
    engine.dispose()


async def test_an_untouched_chain_is_intact(parts: Parts) -> None:
    assert (await parts.verify()).entry_count == 0
    await parts.write(30)
    report = await parts.verify()
    assert (report.is_intact, report.is_complete, report.entry_count) == (True, True, 30)
    await parts.write(5)
    rest = await parts.verify(report.checkpoint)
    assert (rest.is_intact, rest.entry_count) == (True, 5)


@pytest.mark.parametrize("column", ["body", "hash", "at", "actor", "action", "outcome"])
async def test_a_changed_entry_is_named(parts: Parts, column: str) -> None:
    await parts.write(10)
    old = await parts.reader.run(
        lambda c: c.scalar(select(entries.c[column]).where(entries.c.seq == 4))
    )
    assert isinstance(old, str)
    new = old.replace("acme", "evil") if column == "body" else f"x{old[1:]}"
    await parts.tamper(update(entries).where(entries.c.seq == 4).values({column: new}))
    report = await parts.verify()
    assert (report.is_intact, report.broken_seq) == (False, 4)
    assert report.problem


async def test_removed_entries_are_named(parts: Parts) -> None:
    await parts.write(10)
    await parts.tamper(delete(entries).where(entries.c.seq.in_([5, 6])))
    report = await parts.verify()
    assert (report.broken_seq, report.problem) == (5, "entry 5 is missing")


async def test_exchanged_entries_are_named(parts: Parts) -> None:
    await parts.write(10)
    for old, new in ((3, 99), (4, 3), (99, 4)):
        await parts.tamper(update(entries).where(entries.c.seq == old).values(seq=new))
    assert (await parts.verify()).broken_seq == 3


async def test_an_entry_of_another_tenant_is_no_part_of_the_chain(parts: Parts) -> None:
    await parts.write(3)
    await parts.write(3, "other")
    await parts.tamper(delete(entries).where(entries.c.tenant == "acme", entries.c.seq == 1))
    await parts.tamper(
        update(entries).where(entries.c.tenant == "other", entries.c.seq == 1).values(tenant="acme")
    )
    report = await parts.verify()
    assert report.broken_seq == 1
    assert "column tenant" in report.problem


async def test_a_cut_end_is_noticed_by_the_head_and_by_a_checkpoint(parts: Parts) -> None:
    await parts.write(10)
    kept = (await parts.verify()).checkpoint
    await parts.tamper(delete(entries).where(entries.c.seq > 7))
    report = await parts.verify()
    assert report.broken_seq == 8
    assert "head says 10" in report.problem
    last = await parts.reader.run(
        lambda c: c.scalar(select(entries.c.hash).where(entries.c.seq == 7))
    )
    await parts.tamper(update(heads).values(seq=7, hash=last))
    assert (await parts.verify()).is_intact  # whoever moves the head, too, ...
    report = await parts.verify(kept)  # ... is found by what was kept elsewhere
    assert (report.is_intact, report.broken_seq) == (False, 10)


async def test_without_the_key_nobody_writes_a_chain(parts: Parts) -> None:
    await parts.write(3)
    await parts.tamper(delete(entries))
    await parts.tamper(delete(heads))
    await parts.other(b"somebody else's key").store.append([event(0), event(1)])
    report = await parts.verify()
    assert report.broken_seq == 1
    assert "key" in report.problem


async def test_a_former_pepper_still_verifies(parts: Parts) -> None:
    await parts.write(3)
    later = parts.other(b"n" * 32, PEPPER)
    await later.store.append([event(3)])
    async with later.running():
        report = await AuditDesk(later).verify(ACME)
        assert (report.is_intact, report.entry_count) == (True, 4)
        found = await AuditDesk(later).list_entries(ACME, AuditAsk(subject="document:d1"))
        assert [each.seq for each in found.entries] == [2]


async def test_old_entries_go_and_the_rest_stays_provable(parts: Parts) -> None:
    await parts.write(10)
    assert await parts.log.store.prune(START + timedelta(minutes=4)) == 4
    assert await parts.log.store.prune(START + timedelta(minutes=4)) == 0
    report = await parts.verify()
    assert (report.is_intact, report.entry_count) == (True, 6)
    await parts.tamper(delete(entries).where(entries.c.seq == 5))
    floor = await parts.reader.run(
        lambda c: c.scalar(select(entries.c.hash).where(entries.c.seq == 6))
    )
    await parts.tamper(delete(entries).where(entries.c.seq == 6))
    await parts.tamper(update(heads).values(floor_seq=6, floor_hash=floor))
    report = await parts.verify()
    assert (report.is_intact, report.broken_seq) == (False, 6)


async def test_replicas_write_one_chain(parts: Parts) -> None:
    logs = [parts.log, parts.other(), parts.other()]

    async def write(log: AuditLog) -> None:
        for index in range(20):
            await log.store.append([event(index), event(index, "other")])

    await asyncio.gather(*(write(log) for log in logs))
    report = await parts.verify()
    assert (report.is_intact, report.entry_count) == (True, 60)


async def test_texts_and_identifiers_are_never_stored(parts: Parts) -> None:
    secret = "the merger with Initech"
    await parts.log.commit(replace(event(0), subjects=(("query", secret), ("document", secret))))
    rows = await parts.reader.run(lambda c: c.execute(select(entries)).all())
    assert secret not in str(rows)
    assert "Initech" not in str(rows)
    page = await parts.desk.list_entries(ACME, AuditAsk(subject=f"query:{secret}"))
    assert len(page.entries) == 1
    query, document = page.entries[0].content["subjects"]
    assert query.startswith("query:")
    assert query.split(":")[1] != document.split(":")[1]
    elsewhere = parts.log.store.keys.subject("other", "query", secret)
    assert elsewhere != query  # tenants cannot compare


async def test_lists_filter_and_have_pages(parts: Parts) -> None:
    await parts.write(6)
    await parts.write(2, action="ingest", outcome="ROLE_REQUIRED", actor="user:ada")
    desk = parts.desk

    async def seqs(**fields: object) -> list[int]:
        page = await desk.list_entries(ACME, AuditAsk(**fields))  # type: ignore[arg-type]
        return [each.seq for each in page.entries]

    assert await seqs(action="ingest") == [8, 7]
    assert await seqs(actor="user:ada", outcome="ROLE_REQUIRED") == [8, 7]
    assert await seqs(from_time=START + timedelta(minutes=5)) == [6]
    assert await seqs(to_time=START + timedelta(minutes=1)) == [7, 1]
    page = await desk.list_entries(ACME, AuditAsk(page_size=3))
    assert [each.seq for each in page.entries] == [8, 7, 6]
    assert await seqs(page_size=3, page_token=page.next_page_token) == [5, 4, 3]
    for wrong in ({"page_token": "x"}, {"subject": "x"}, {"subject": "key:x"}):
        with pytest.raises(InvalidArgumentError):
            await seqs(**wrong)
    with pytest.raises(InvalidArgumentError):
        await desk.verify(ACME, after="x")


async def test_tenants_read_their_own_chain_alone(parts: Parts) -> None:
    await parts.write(2)
    await parts.write(3, "other")
    assert (await parts.verify()).entry_count == 2
    assert (await parts.desk.verify(HOME, "other")).entry_count == 3
    with pytest.raises(PermissionDeniedError):
        await parts.desk.verify(ACME, "other")
    with pytest.raises(PermissionDeniedError):
        await parts.desk.verify(ACME, of_installation=True)
    with pytest.raises(PermissionDeniedError):
        await parts.desk.list_entries(Caller("v", Role.OPERATOR, ACME.scope), AuditAsk())


async def test_a_change_is_on_the_disk_before_it_is_answered(parts: Parts) -> None:
    followed = parts.log.follow(ACME, "http", "t")
    ACME.require(Operation.DELETE_COLLECTION, "docs")
    await followed.before_answer()
    count = await parts.reader.run(lambda c: c.scalar(select(func.count()).select_from(entries)))
    assert count == 1
    followed.end()
    await parts.log.flush()
    (entry,) = (await parts.desk.list_entries(ACME, AuditAsk())).entries
    assert entry.content["action"] == "delete_collection"
    assert entry.content["collection"] == "docs"


async def test_a_change_waits_for_its_entry_no_longer_than_its_deadline(parts: Parts) -> None:
    log = parts.other()  # nobody writes, as when the store does not answer
    with deadline_in(0.05), pytest.raises(DeadlineExceededError):
        await log.commit(event(0))
    async with log.running():
        pass
    assert len(await log.store.read("acme", 0, 10)) == 1, "what was done is noted later"


async def test_a_change_does_not_wait_for_accesses_that_never_end(parts: Parts) -> None:
    log = parts.other()

    class Busy(AuditStore):
        """While one batch is written, the next access comes."""

        async def append(self, events: Sequence[AuditEvent]) -> None:
            await super().append(events)
            log.record(event(0))

    log.store = Busy(parts.reader, parts.writer, AuditKeys((PEPPER,)))
    async with log.running(), asyncio.timeout(5):
        await log.commit(event(1))
        (first,) = await log.store.read("acme", 0, 1)
    assert first.content["at"] == "2026-01-01T00:01:00.000000Z"


async def test_an_access_is_noted_with_its_outcome(parts: Parts) -> None:
    followed = parts.log.follow(ACME, "grpc", "t")
    ACME.require(Operation.QUERY, "docs")
    note_subjects("document", (f"d{index}" for index in range(100)))
    note_outcome("NOT_READY")
    await followed.before_answer()
    followed.end()
    (entry,) = (await parts.desk.list_entries(ACME, AuditAsk())).entries
    assert entry.content["outcome"] == "NOT_READY"
    assert len(entry.content["subjects"]) == 64
    assert entry.content["details"] == {"more_subjects": 36}
    idle = parts.log.follow(ACME, "grpc", "t")
    idle.end()
    assert len((await parts.desk.list_entries(ACME, AuditAsk())).entries) == 1


async def test_refused_credentials_are_counted_in_the_installations_chain(parts: Parts) -> None:
    for _ in range(1_000):
        parts.log.note_refused("key")
    page = await parts.desk.list_entries(HOME, AuditAsk(of_installation=True))
    assert sum(each.content["details"]["count"] for each in page.entries) == 1_000
    assert len(page.entries) < 10


async def test_what_cannot_be_noted_is_not_done(parts: Parts) -> None:
    log = parts.other()
    for _ in range(MAX_WAITING):
        log.record(event(0))
    with pytest.raises(UnavailableError, match="audit"):
        log.follow(ACME, "http", "t")


def test_links_are_the_hmac_that_others_can_compute() -> None:
    keys = AuditKeys([PEPPER])
    key = hmac.digest(PEPPER, b"cairn audit chain", "sha256")
    for body in ("", "{}", "x" * 5_000):
        expected = hmac.digest(key, f"0\n{body}".encode(), "sha256").hex()
        assert keys.link(keys.current_id, "0", body) == expected
