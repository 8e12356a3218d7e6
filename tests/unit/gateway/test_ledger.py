"""The ledger: every metered request once, whatever dies, however many processes write."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Column, Float, Integer, MetaData, String, Table

from services.gateway.ledger.events import MOVED, Outcome, Payer, decode_line, encode_progress
from services.gateway.ledger.journal import Journal
from services.gateway.ledger.ledger import Ledger
from services.gateway.ledger.schema import ensure_ledger
from services.gateway.ledger.sums import UsageFilter
from services.gateway.usage import PICOS, Meter, ModelPrices, PriceTable, Usage, current_meter
from services.rpc.errors import InvalidArgumentError, Reason, UnavailableError
from services.rpc.telemetry import span, start_telemetry
from services.sql.engine import open_engine
from services.sql.reader import Reader
from services.sql.writer import GroupWriter
from tests.kit.grpc_server import RpcTestSettings
from tests.kit.postgres import database_url

__all__ = ["database_url"]

PRICES = PriceTable(
    embedding=0.02, prompt=1.0, cached_prompt=0.1, completion=3.0, retrieval=0.000001
)
ANN, BOB = Payer("acme", "user:ann", "k1"), Payer("acme", "key:k2", "k2")
ALL = UsageFilter("2020-01-01", "2030-12-31", "acme")


@dataclass
class Kit:
    """A database and ledgers over it."""

    url: str
    folder: Path
    stack: contextlib.AsyncExitStack
    now: datetime = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)

    async def ledger(self, *, is_mortal: bool = True) -> Ledger:
        """Another process's ledger, with a writer of its own."""
        engine = open_engine(self.url)
        self.stack.callback(engine.dispose)
        ensure_ledger(engine)
        writer = await self.stack.enter_async_context(GroupWriter(engine))
        reader = await self.stack.enter_async_context(Reader(engine, 1))
        folder = self.folder if is_mortal else None
        return Ledger(reader, writer, PRICES, folder=folder, now=lambda: self.now)


@pytest.fixture
async def kit(database_url: str, tmp_path: Path) -> AsyncIterator[Kit]:
    async with contextlib.AsyncExitStack() as stack:
        yield Kit(database_url, tmp_path / "ledger", stack)


def kill(ledger: Ledger) -> None:
    """Ends a process as SIGKILL does: its memory is gone, its lock is free, its file is there."""
    assert ledger._journal is not None
    ledger._journal.abandon()
    ledger._pending.clear()


async def test_sums_of_several_processes_are_those_of_their_events(kit: Kit) -> None:
    ledgers = [await kit.ledger() for _ in range(3)]
    rng = random.Random(7)
    expected = Usage()
    cost = 0
    for _ in range(300):
        usage = Usage(*(rng.randrange(5_000) for _ in range(7)))
        collection = rng.choice(["rocks", "trees"])
        rng.choice(ledgers).record(rng.choice([ANN, BOB]), "query", usage, collection)
        expected += usage
        cost += PRICES.parts(usage).total
    ledgers[0].record(Payer("other", "key:x", "x"), "query", Usage(prompt_tokens=9))
    await asyncio.gather(*(each.flush() for each in ledgers))
    total = await ledgers[2].total(ALL)
    assert (total.request_count, total.usage, total.cost.total) == (300, expected, cost)
    rows = await ledgers[0].rows(ALL, ("collection", "user"))
    assert [(row.collection, row.user) for row in rows] == [
        ("rocks", "key:k2"),
        ("rocks", "user:ann"),
        ("trees", "key:k2"),
        ("trees", "user:ann"),
    ]
    assert sum(row.request_count for row in rows) == 300
    assert await ledgers[1].check("acme") == ("2026-01-31", ())


async def test_days_and_filters(kit: Kit) -> None:
    ledger = await kit.ledger()
    ledger.record(ANN, "query", Usage(prompt_tokens=1_000_000, cached_prompt_tokens=500_000))
    kit.now = datetime(2026, 2, 1, tzinfo=UTC)
    ledger.record(BOB, "search", collection="rocks")
    rows = await ledger.rows(ALL)
    assert [(row.day, row.operation) for row in rows] == [
        ("2026-01-31", "query"),
        ("2026-02-01", "search"),
    ]
    assert rows[0].cost.total == 0.55 * PICOS
    february = await ledger.rows(UsageFilter("2026-02-01", "2026-02-28", "acme", user="key:k2"))
    assert [row.request_count for row in february] == [1]
    events = await ledger.events(ALL, "", 10)
    assert [event.operation for event in events] == ["search", "query"]
    assert await ledger.events(ALL, events[0].event_id, 10) == events[1:]


async def test_a_killed_process_loses_nothing(kit: Kit) -> None:
    dead = await kit.ledger()
    for _ in range(5):
        dead.record(ANN, "search", Usage(embedding_tokens=3))
    await dead.flush()
    dead.record(ANN, "search", Usage(embedding_tokens=3))  # not flushed
    stream = dead.metered(ANN, "query", "rocks")
    meter = stream.__enter__()
    meter.usage += Usage(embedding_tokens=7)
    meter.begin_writing("tiny", Usage(prompt_tokens=100), 0)
    for _ in range(4):
        meter.wrote("word ", 2)
    kill(dead)

    heir = await kit.ledger()
    assert await heir.adopt() == 2
    assert await heir.adopt() == 0
    (interrupted,) = [e for e in await heir.events(ALL, "", 10) if e.operation == "query"]
    assert interrupted.outcome is Outcome.INTERRUPTED
    assert interrupted.usage == Usage(embedding_tokens=7, prompt_tokens=100, completion_tokens=8)
    assert interrupted.cost == PRICES.parts(interrupted.usage, "tiny")
    total = await heir.total(ALL)
    assert (total.request_count, total.failed_count) == (7, 1)
    assert total.usage == Usage(embedding_tokens=25, prompt_tokens=100, completion_tokens=8)
    assert await heir.check("acme") == ("2026-01-31", ())
    assert list(kit.folder.glob("*.journal")) == [heir._journal.path]  # type: ignore[union-attr]


async def test_what_a_killed_process_had_written_is_read_up_to_a_line_that_was_cut_off(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.ledger.journal._STEP_BYTES", 1_000)
    dead = await kit.ledger()
    for _ in range(41):
        dead.record(ANN, "search", Usage(embedding_tokens=3))
    journal = dead._journal
    assert journal is not None
    assert journal.path.stat().st_size > journal.size_bytes > 2_000  # room was made, and is left
    journal.append(b'["half a li')
    journal._close()  # nothing is put in order

    heir = await kit.ledger()
    assert await heir.adopt() == 41
    assert (await heir.total(ALL)).usage == Usage(embedding_tokens=123)


async def test_a_living_process_keeps_its_journal(kit: Kit) -> None:
    one, two = await kit.ledger(), await kit.ledger()
    one.record(ANN, "search")
    assert await two.adopt() == 0
    assert (await one.total(ALL)).request_count == 1


async def test_a_write_of_unknown_end_is_not_counted_twice(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = await kit.ledger()
    ledger.record(ANN, "search", Usage(embedding_tokens=3))
    run = ledger._writer.run

    async def commit_and_fail(*args: object, **options: object) -> object:
        await run(*args, **options)  # type: ignore[arg-type]
        raise UnavailableError(Reason.DEPENDENCY_UNAVAILABLE, "the answer was lost")

    monkeypatch.setattr(ledger._writer, "run", commit_and_fail)
    with pytest.raises(UnavailableError):
        await ledger.flush()
    monkeypatch.undo()
    ledger.record(ANN, "search", Usage(embedding_tokens=4))
    total = await ledger.total(ALL)
    assert (total.request_count, total.usage.embedding_tokens) == (2, 7)


async def test_memory_is_bounded_while_the_database_is_away(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.ledger.ledger._MAX_PENDING", 10)
    ledger = await kit.ledger()
    with ledger.metered(ANN, "query") as meter:
        meter.begin_writing("tiny", Usage(prompt_tokens=5), 0)
        for _ in range(25):
            ledger.record(ANN, "search")
        assert len(ledger._pending) <= 10
        meter.end_writing(Usage(prompt_tokens=5, completion_tokens=1))
    await ledger.adopt()
    await ledger.flush()
    total = await ledger.total(ALL)
    assert (total.request_count, total.failed_count) == (26, 0)
    assert total.usage == Usage(prompt_tokens=5, completion_tokens=1)


async def test_a_journal_that_grew_begins_anew(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.ledger.ledger._ROTATE_BYTES", 1_000)
    ledger = await kit.ledger()
    with ledger.metered(ANN, "query") as meter:
        meter.begin_writing("tiny", Usage(prompt_tokens=5), 0)
        for _ in range(10):
            ledger.record(ANN, "search")
        await ledger.flush()
        assert ledger._journal is not None
        assert ledger._journal.size_bytes < 1_000
        assert list(kit.folder.glob("*.journal")) == [ledger._journal.path]
        kill(ledger)
    heir = await kit.ledger()
    assert await heir.adopt() == 1
    assert (await heir.total(ALL)).usage == Usage(prompt_tokens=5)


async def test_what_comes_while_others_are_written_moves_to_the_next_journal(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.ledger.ledger._ROTATE_BYTES", 1_000)
    ledger = await kit.ledger()
    watcher = _LateRequests(ledger)
    ledger.watcher = watcher
    for _ in range(10):
        ledger.record(ANN, "search")
    await ledger.flush()
    assert len(ledger._pending) == 3
    assert ledger._journal is not None
    # Nothing is left behind to be read again.
    assert list(kit.folder.glob("*.journal")) == [ledger._journal.path]
    kill(ledger)
    heir = await kit.ledger()
    assert await heir.adopt() == 3
    assert (await heir.total(ALL)).request_count == 13


@pytest.mark.parametrize("full", ["folder", "file"])
async def test_a_disk_that_takes_no_further_journal_keeps_the_one_there_is(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    monkeypatch.setattr("services.gateway.ledger.ledger._ROTATE_BYTES", 1_000)
    ledger = await kit.ledger()
    first = ledger._journal
    assert first is not None

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = {"folder": "_create", "file": "_write_zeros"}[full]
    with ledger.metered(BOB, "query") as meter:
        meter.begin_writing("tiny", Usage(prompt_tokens=5), 0)
        for _ in range(10):
            ledger.record(ANN, "search")
        monkeypatch.setattr(f"services.gateway.ledger.journal.{place}", refuse)
        await ledger.flush()
        assert ledger._journal is first
        assert list(kit.folder.glob("*.journal")) == [first.path]
        kill(ledger)
        heir = await kit.ledger(is_mortal=False)
        heir._folder = kit.folder
        assert await heir.adopt() == 1, "what was under way is known still"
        assert (await heir.total(ALL)).request_count == 11


async def test_what_is_under_way_keeps_its_trace_in_the_next_journal(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.ledger.ledger._ROTATE_BYTES", 1)
    ledger = await kit.ledger()
    telemetry = start_telemetry("gateway", RpcTestSettings())
    with span("request") as current:
        metered = ledger.metered(BOB, "query")
    telemetry.shutdown()
    with metered as meter:
        meter.begin_writing("tiny", Usage(prompt_tokens=5), 0)
        await ledger.flush()
        kill(ledger)
    heir = await kit.ledger()
    await heir.adopt()
    (event,) = await heir.events(ALL, "", 10)
    assert event.trace_id == f"{current.get_span_context().trace_id:032x}"


@dataclass
class _LateRequests:
    """Three requests that end while the ones before them are being written."""

    ledger: Ledger

    async def added(self, _: object) -> None:
        for _ in range(3):
            self.ledger.record(BOB, "query", Usage(prompt_tokens=7))


async def test_what_failed_counts_when_it_used_something(kit: Kit) -> None:
    ledger = await kit.ledger(is_mortal=False)
    with contextlib.suppress(InvalidArgumentError), ledger.metered(ANN, "query"):
        raise InvalidArgumentError.for_field("query", "is empty")
    with contextlib.suppress(InvalidArgumentError), ledger.metered(ANN, "query") as meter:
        meter.usage += Usage(embedding_tokens=2)
        raise InvalidArgumentError.for_field("query", "is too long for the engine")
    with contextlib.suppress(asyncio.CancelledError), ledger.metered(ANN, "query") as meter:
        meter.begin_writing("tiny", Usage(), 400)
        meter.wrote("x" * 8)
        raise asyncio.CancelledError
    events = await ledger.events(ALL, "", 10)
    assert {(e.outcome, e.usage.tokens, e.is_estimated) for e in events} == {
        (Outcome.FAILED, 2, False),
        (Outcome.CANCELLED, 102, True),
    }


async def test_work_that_outlives_its_request_is_metered_once(kit: Kit) -> None:
    ledger = await kit.ledger()
    gate = asyncio.Event()

    async def flight() -> None:
        meter = current_meter()
        with meter.held():
            await gate.wait()
            meter.usage += Usage(completion_tokens=9)

    with ledger.metered(ANN, "query"):
        task = asyncio.ensure_future(flight())
        await asyncio.sleep(0)
    assert not ledger._pending
    gate.set()
    await task
    assert (await ledger.total(ALL)).usage == Usage(completion_tokens=9)


async def test_old_events_go_and_their_sums_stay(kit: Kit) -> None:
    ledger = await kit.ledger()
    ledger.record(ANN, "search")
    await ledger.flush()
    kit.now += timedelta(days=36)
    ledger.record(ANN, "search")
    await ledger.flush()
    await ledger.purge()
    assert len(await ledger.events(ALL, "", 10)) == 1
    assert (await ledger.total(ALL)).request_count == 2
    assert await ledger.check("acme") == ("2026-03-08", ())


async def test_check_finds_a_day_that_differs(kit: Kit) -> None:
    ledger = await kit.ledger()
    ledger.record(ANN, "search", Usage(embedding_tokens=3))
    await ledger.flush()
    await ledger._writer.run(
        lambda connection: connection.exec_driver_sql(
            "UPDATE gateway_usage_sums SET embedding_tokens = 4"
        )
    )
    assert await ledger.check("acme") == ("2026-01-31", ("2026-01-31",))


async def test_what_former_versions_metered_is_taken_over_once(kit: Kit) -> None:
    engine = open_engine(kit.url)
    names = [
        "embedding_tokens",
        "rerank_tokens",
        "prompt_tokens",
        "cached_prompt_tokens",
        "completion_tokens",
        "vectors_scanned",
        "embedding_cache_hits",
    ]
    metadata = MetaData()
    former = Table(
        "gateway_usage_days",
        metadata,
        *(Column(name, String(128), primary_key=True) for name in ("tenant", "day", "operation")),
        Column("request_count", Integer),
        *(Column(name, Integer) for name in names),
        Column("cost", Float),
    )
    with engine.begin() as connection:
        metadata.create_all(connection)
        row = dict.fromkeys(names, 2) | {"cost": 0.25, "request_count": 5}
        connection.execute(
            former.insert().values(tenant="acme", day="2025-12-31", operation="query", **row)
        )
    engine.dispose()
    await kit.ledger()
    total = await (await kit.ledger()).total(ALL)
    assert (total.request_count, total.usage.prompt_tokens) == (5, 2)
    assert total.cost.total == 0.25 * PICOS


def test_prices_of_models_and_parts() -> None:
    table = PriceTable(prompt=1.0, models={"small": ModelPrices(prompt=0.0125)})
    usage = Usage(prompt_tokens=1, vectors_scanned=1_000_000)
    assert table.parts(usage).generation == 1_000_000
    assert table.parts(usage, "small").generation == 12_500
    assert PRICES.parts(usage).retrieval == 1_000_000
    assert table.cost(usage).amount == pytest.approx(1e-6)


@pytest.mark.parametrize("line", [b"", b"[", b"{}", b'["a"', b"[1,2,3]\n", b'["x","y"]\n'])
def test_lines_that_were_cut_off_are_passed_over(line: bytes) -> None:
    assert decode_line(line) is None


def test_progress_lines() -> None:
    assert decode_line(encode_progress("ab", 7)) == ("ab", 7)
    assert decode_line(encode_progress("ab", MOVED)) == ("ab", MOVED)


def test_a_full_disk_is_not_tried_for_each_line(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = []

    def no_room(*_: object) -> None:
        tries.append(1)
        raise OSError(errno.ENOSPC, "no space left on device")

    journal = Journal(tmp_path / "journals")
    with monkeypatch.context() as full:
        full.setattr("services.gateway.ledger.journal._write_zeros", no_room)
        for _ in range(20):
            journal.append(b"a line\n")
    assert len(tries) == 1
    assert journal.size_bytes == 0
    # Room was made meanwhile, and the time has passed.
    journal._full_until = 0.0
    journal.append(b"a line\n")
    assert journal.size_bytes == 7
    journal.remove()


async def test_requests_leave_nothing_for_the_collector(kit: Kit) -> None:
    ledger = await kit.ledger()
    gc.disable()
    try:
        before = _live_meters()
        for number in range(50):
            with ledger.metered(ANN, "query") as meter:
                meter.begin_writing("mock", Usage(prompt_tokens=10), 40)
                meter.wrote("granite", 1)
                with contextlib.nullcontext() if number % 2 else meter.held():
                    meter.keep_written()
            del meter
        assert _live_meters() == before
    finally:
        gc.enable()


def _live_meters() -> int:
    # By type: some objects of other libraries warn when they are asked for their class.
    return sum(type(each) is Meter for each in gc.get_objects())
