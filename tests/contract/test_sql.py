"""The SQL layer keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    func,
    select,
)

from services.rpc.deadline import deadline_in
from services.rpc.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    InvalidArgumentError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.sql import bulk
from services.sql.engine import WRITES, open_engine
from services.sql.failures import is_constraint_violation
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter
from tests.kit.postgres import database_url as database_url  # noqa: PLC0414 - a fixture
from tests.kit.postgres import postgres_url as postgres_url  # noqa: PLC0414 - a fixture

metadata = MetaData()
notes = Table(
    "notes",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("text", String, nullable=False),
)


@pytest.fixture
def engine(database_url):
    engine = open_engine(database_url)
    ensure_schema(engine, metadata, 1, component="notes")
    yield engine
    engine.dispose()


def insert(number: int, text: str = "x"):
    def write(connection):
        connection.execute(notes.insert().values(id=number, text=text))
        return number

    return write


def count(connection) -> int:
    return connection.scalar(select(func.count()).select_from(notes))


async def test_a_write_is_visible_to_readers_after_it_was_acknowledged(engine: Engine):
    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        assert await writer.run(insert(1)) == 1
        assert await reader.run(count) == 1


async def test_concurrent_writes_share_commits(engine: Engine):
    commits = []
    event.listen(engine, "commit", commits.append)
    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        results = await asyncio.gather(*(writer.run(insert(n)) for n in range(100)))
        assert results == list(range(100))
        assert await reader.run(count) == 100
    # The reader's transaction counts as one; far fewer commits than writes shows the grouping.
    assert len(commits) < 50


async def test_a_failing_function_fails_alone(engine: Engine):
    def refuse(connection):
        insert(1000)(connection)
        raise InvalidArgumentError(Reason.INVALID_FIELD, "no")

    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        await writer.run(insert(5))
        fns = [insert(0), refuse, insert(5), insert(1), insert(2)]
        results = await asyncio.gather(*map(writer.run, fns), return_exceptions=True)
        assert [results[0], results[3], results[4]] == [0, 1, 2]
        assert isinstance(results[1], InvalidArgumentError)
        assert is_constraint_violation(results[2])
        ids = await reader.run(lambda c: sorted(c.scalars(select(notes.c.id))))
        assert ids == [0, 1, 2, 5]


async def test_a_program_fault_reaches_its_caller_and_the_writer_lives_on(engine: Engine):
    async with GroupWriter(engine) as writer:
        with pytest.raises(ZeroDivisionError):
            await writer.run(lambda _: 1 // 0)
        assert await writer.run(insert(1)) == 1


async def test_a_full_queue_refuses_and_says_when_to_come_back(engine: Engine):
    gate = threading.Event()

    def block(_):
        assert gate.wait(10)

    async with GroupWriter(engine, max_queue=2, max_group=1) as writer:
        tasks = [asyncio.create_task(writer.run(block))]
        while writer._queue or not tasks:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        while writer._queue:
            await asyncio.sleep(0.001)
        tasks += [asyncio.create_task(writer.run(insert(n))) for n in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gate.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [r for r in results if isinstance(r, ResourceExhaustedError)]
    assert refused
    assert refused[0].reason is Reason.OVERLOADED
    assert refused[0].retry_after_seconds


async def test_a_cancelled_write_that_has_not_begun_never_happens(engine: Engine):
    gate = threading.Event()
    begun = threading.Event()

    def block(_):
        begun.set()
        assert gate.wait(10)

    async with GroupWriter(engine, max_group=1) as writer, Reader(engine) as reader:
        blocked = asyncio.create_task(writer.run(block))
        await asyncio.to_thread(begun.wait)
        waiting = asyncio.create_task(writer.run(insert(1)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await blocked
        await writer.run(insert(2))
        assert await reader.run(lambda c: list(c.scalars(select(notes.c.id)))) == [2]


async def test_a_write_waits_for_another_writer_and_then_succeeds(engine: Engine):
    """Another process holds the lock for longer than one statement waits for it."""
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with engine.execution_options(**WRITES).connect() as connection, connection.begin():
            connection.execute(notes.insert().values(id=1, text="other"))
            held.set()
            let_go.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    await asyncio.to_thread(held.wait)
    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        task = asyncio.create_task(
            writer.run(lambda c: c.execute(notes.update().values(text="mine")) and None)
        )
        other = asyncio.create_task(writer.run(insert(2)))
        await asyncio.sleep(0.4)
        assert not (task.done() and other.done() and engine.dialect.name == "sqlite")
        let_go.set()
        await task
        await other
        await asyncio.to_thread(thread.join)
        assert await reader.run(count) == 2


async def test_a_lock_held_past_the_deadline_is_unavailable(engine: Engine):
    held, let_go = threading.Event(), threading.Event()

    def hold():
        with engine.execution_options(**WRITES).connect() as connection, connection.begin():
            connection.execute(notes.insert().values(id=1, text="other"))
            held.set()
            let_go.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    await asyncio.to_thread(held.wait)
    try:
        async with GroupWriter(engine, timeout_seconds=0.6) as writer:
            before = time.monotonic()
            with pytest.raises((UnavailableError, DeadlineExceededError)):
                await writer.run(insert(1))
            assert time.monotonic() - before < 3
            let_go.set()
    finally:
        let_go.set()
        thread.join()


async def test_a_passed_deadline_is_reported_before_anything_is_written(engine: Engine):
    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        with deadline_in(-1):
            with pytest.raises(DeadlineExceededError):
                await writer.run(insert(1))
            with pytest.raises(DeadlineExceededError):
                await reader.run(count)
        assert await reader.run(count) == 0


async def test_a_reader_sees_one_snapshot_through_its_whole_function(engine: Engine):
    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        first, go_on = threading.Event(), threading.Event()

        def twice(connection):
            before = count(connection)
            first.set()
            assert go_on.wait(10)
            return before, count(connection)

        reading = asyncio.create_task(reader.run(twice))
        await asyncio.to_thread(first.wait)
        await writer.run(insert(1))
        go_on.set()
        assert await reading == (0, 0)
        assert await reader.run(count) == 1


async def test_closing_finishes_what_was_queued(engine: Engine):
    writer = GroupWriter(engine)
    tasks = [asyncio.create_task(writer.run(insert(n))) for n in range(10)]
    await asyncio.sleep(0)
    await writer.close()
    assert await asyncio.gather(*tasks) == list(range(10))
    with pytest.raises(UnavailableError):
        await writer.run(insert(99))


async def test_many_processes_worth_of_writers_lose_nothing(engine: Engine):
    async with GroupWriter(engine) as one, GroupWriter(engine) as two, Reader(engine) as reader:
        writers = [one, two]
        await asyncio.gather(*(writers[n % 2].run(insert(n)) for n in range(200)))
        assert await reader.run(count) == 200


def test_the_schema_is_created_once_by_processes_that_start_together(database_url):
    failures: list[BaseException] = []

    def start():
        engine = open_engine(database_url)
        try:
            ensure_schema(engine, metadata, 1, component="notes")
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_older_schema_is_upgraded_and_a_newer_one_refused(engine: Engine):
    def add_row(connection):
        insert(7)(connection)

    ensure_schema(engine, metadata, 3, component="notes", upgrades={1: add_row, 2: lambda _: None})
    ensure_schema(engine, metadata, 3, component="notes", upgrades={1: add_row, 2: lambda _: None})
    with engine.connect() as connection:
        assert count(connection) == 1
    with pytest.raises(FailedPreconditionError) as caught:
        ensure_schema(engine, metadata, 2, component="notes")
    assert caught.value.reason is Reason.STATE_CONFLICT
    with pytest.raises(FailedPreconditionError):
        ensure_schema(engine, metadata, 9, component="notes")


@pytest.mark.postgres
async def test_a_broken_connection_is_unavailable_to_the_whole_group(postgres_url):
    """The server ends the writer's session while one of several functions runs."""
    engine = open_engine(postgres_url)
    ensure_schema(engine, metadata, 1, component="notes")
    gate = threading.Event()

    def break_off(connection):
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with engine.connect() as other:
            other.exec_driver_sql("SELECT pg_terminate_backend(%s)", (pid,))
        connection.exec_driver_sql("SELECT 1")

    async with GroupWriter(engine) as writer:
        blocked = asyncio.create_task(writer.run(lambda _: gate.wait(10)))
        await asyncio.sleep(0.05)
        jobs = [writer.run(fn) for fn in (insert(1), break_off, insert(2), insert(3))]
        tasks = [asyncio.create_task(each) for each in jobs]
        await asyncio.sleep(0.05)
        gate.set()
        assert await blocked
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, UnavailableError) for each in results), results
        assert await writer.run(insert(4)) == 4
    async with Reader(engine) as reader:
        assert await reader.run(count) == 1
    engine.dispose()


def test_many_rows_of_every_type_go_in_together(engine: Engine):
    table = Table(
        "kinds",
        MetaData(),
        Column("name", String(32), primary_key=True),
        Column("count", BigInteger, nullable=False),
        Column("is_true", Boolean, nullable=False),
        Column("note", String(64)),
    )
    table.metadata.create_all(engine)
    rows = [(f"row {n:04}", n << 33, bool(n % 2), None if n % 3 else "ä") for n in range(700)]
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    with engine.begin() as connection:
        bulk.insert(connection, table, rows)
    inserts = [each for each in statements if each.startswith("INSERT")]
    assert len(inserts) < 12, "few statements: each one waits for the interpreter"
    with engine.connect() as connection:
        found = connection.execute(select(table).order_by(table.c.name)).all()
    assert [tuple(each) for each in found] == rows


async def test_a_lone_function_that_fails_leaves_nothing(engine: Engine):
    async with GroupWriter(engine) as writer, Reader(engine) as reader:

        def fail(connection):
            insert(1)(connection)
            raise InvalidArgumentError.for_field("x", "is wrong")

        with pytest.raises(InvalidArgumentError):
            await writer.run(fail)
        assert await reader.run(count) == 0
        assert await writer.run(insert(1)) == 1


async def test_those_that_are_urgent_share_a_transaction_and_the_others_need_not(engine: Engine):
    begun, go_on = threading.Event(), threading.Event()
    commits: list[int] = []
    event.listen(engine, "commit", lambda _: commits.append(1))

    def block(_: object) -> None:
        begun.set()
        assert go_on.wait(30)

    async with GroupWriter(engine, max_group=4, max_patient_group=1) as writer:
        blocking = asyncio.create_task(writer.run(block))
        assert await asyncio.to_thread(begun.wait, 30)
        waiting = [
            asyncio.create_task(writer.run(insert(number), is_urgent=number % 2 == 0))
            for number in range(6)
        ]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(blocking, *waiting)
    assert len(commits) == 1 + 1 + 3


def test_rows_are_put_left_and_changed_each_in_its_own_way(engine: Engine):
    metadata = MetaData()
    table = Table(
        "each_in_its_own_way",
        metadata,
        Column("name", Text, primary_key=True),
        Column("part", Integer, primary_key=True),
        Column("size", BigInteger),
        Column("is_new", Boolean),
        Column("data", LargeBinary),
    )
    metadata.create_all(engine)
    rows = [
        {"name": f"n{number}", "part": 1, "size": number, "is_new": True, "data": b"a"}
        for number in range(300)
    ]
    text = "'; \\ \" ü 🙂 $[0] \n %s :rows"
    with engine.begin() as connection:
        bulk.insert_new(connection, table, rows)
        bulk.insert_new(connection, table, [row | {"size": -1} for row in rows[:20]])
        assert connection.scalar(select(func.min(table.c.size))) == 0
        bulk.put(connection, table, [row | {"size": 2**62, "data": b"b"} for row in rows[:20]])
        bulk.put(connection, table, [rows[0] | {"name": text}])
        bulk.update_each(
            connection,
            table,
            [
                {"name": text, "size": 2**62 + 1},
                {"name": "n299", "size": 7},
                {"name": "-", "size": 1},
            ],
            "part = part + 1, is_new = :is_new",
            is_new=False,
        )
        bulk.update_each(connection, table, [])
        changed = connection.execute(select(table).where(table.c.part == 2).order_by(table.c.size))
        assert [tuple(row) for row in changed] == [
            ("n299", 2, 7, False, b"a"),
            (text, 2, 2**62 + 1, False, b"a"),
        ]
        put = connection.scalars(select(table.c.name).where(table.c.data == b"b")).all()
        assert sorted(put) == sorted(row["name"] for row in rows[:20])
        assert connection.scalar(select(func.count()).select_from(table)) == 301
