"""Engines open with durable settings, and refuse what they cannot keep."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, event, select, text
from sqlalchemy.exc import OperationalError

from services.rpc.errors import (
    DataLossError,
    Reason,
    ResourceExhaustedError,
    UnavailableError,
)
from services.sql.engine import open_engine, sqlite_url
from services.sql.failures import translate
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter

metadata = MetaData()
notes = Table("notes", metadata, Column("id", Integer, primary_key=True), Column("text", String))


def test_sqlite_commits_are_synced_and_readers_do_not_block(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "deep" / "er" / "a.db"))
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
    engine.dispose()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "sqlite://", "sqlite:///:memory:", "mysql://root:secret@host/name"]
)
def test_unusable_urls_are_refused_without_telling_the_password(url):
    with pytest.raises(ValueError) as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)


async def test_an_unreachable_postgres_is_unavailable():
    engine = open_engine("postgresql://user:secret@127.0.0.1:1/none")
    async with Reader(engine) as reader, GroupWriter(engine) as writer:
        with pytest.raises(UnavailableError) as read:
            await reader.run(lambda c: c.scalar(select(1)))
        with pytest.raises(UnavailableError) as write:
            await writer.run(lambda c: c.scalar(select(1)))
    assert "secret" not in str(read.value) + str(write.value)
    assert read.value.reason is Reason.DEPENDENCY_UNAVAILABLE
    engine.dispose()


async def test_a_full_database_refuses_writes_and_still_reads(tmp_path):
    engine = open_engine(sqlite_url(tmp_path / "full.db"))
    ensure_schema(engine, metadata, 1, component="notes")

    @event.listens_for(engine, "engine_connect")
    def limit(connection):
        connection.exec_driver_sql("PRAGMA max_page_count=12")
        connection.rollback()

    def big(connection):
        connection.execute(notes.insert().values(text="x" * 200_000))

    def small(connection):
        connection.execute(notes.insert().values(text="y"))

    async with GroupWriter(engine) as writer, Reader(engine) as reader:
        results = await asyncio.gather(
            *(writer.run(fn) for fn in [small, big, small]), return_exceptions=True
        )
        assert isinstance(results[1], ResourceExhaustedError)
        assert results[1].reason is Reason.STORAGE_FULL
        assert results[0] is None
        assert results[2] is None
        assert await reader.run(lambda c: list(c.scalars(select(notes.c.text)))) == ["y", "y"]
    engine.dispose()


async def test_a_damaged_file_is_data_loss(tmp_path):
    path = tmp_path / "bad.db"
    path.write_bytes(b"this is not a database " * 400)
    engine = open_engine(sqlite_url(path))
    async with Reader(engine) as reader:
        with pytest.raises(DataLossError):
            await reader.run(lambda c: c.scalar(text("SELECT count(*) FROM notes")))
    engine.dispose()


def test_program_faults_are_not_dressed_up_as_database_failures():
    fault = KeyError("x")
    assert translate(fault) is fault
    wrong_sql = OperationalError("SELECT", {}, sqlite3.OperationalError("no such table"))
    assert translate(wrong_sql) is wrong_sql


async def test_the_log_is_moved_into_the_file_beside_the_commits(tmp_path):
    path = tmp_path / "a.db"
    engine = open_engine(sqlite_url(path), log_pages=1_000_000)
    metadata.create_all(engine)
    async with GroupWriter(engine, moves_log=True) as writer:
        rows = [{"id": number, "text": "x" * 1000} for number in range(500)]
        await writer.run(lambda connection: connection.execute(notes.insert(), rows))
        async with asyncio.timeout(30):
            while path.stat().st_size < 500_000:
                await asyncio.sleep(0.02)
    engine.dispose()
