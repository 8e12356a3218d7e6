"""Ratings are kept with what the answer was made of."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from sqlalchemy import select

from services.gateway.store import quality_tables, tables
from services.gateway.store.feedback import MAX_ORIGINS, Feedback, FeedbackStore, Origin
from services.sql.engine import open_engine, sqlite_url
from services.sql.reader import Reader
from services.sql.schema import ensure_schema
from services.sql.writer import GroupWriter
from tests.kit.pipeline_fakes import SCOPE

TRACE = "0af7651916cd43dd8448eb211c80319c"


class Caller:
    """Whoever rates."""

    scope = SCOPE
    key_id = "k1"


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[FeedbackStore, Reader]]:
    engine = open_engine(sqlite_url(folder / "gateway.db"))
    for each in (tables, quality_tables):
        ensure_schema(engine, each.metadata, each.VERSION, component=each.COMPONENT)
    try:
        async with GroupWriter(engine) as writer, Reader(engine, 1) as reader:
            yield FeedbackStore(writer), reader
    finally:
        engine.dispose()


async def rows(reader: Reader, table: Any) -> list[Any]:
    return await reader.run(lambda connection: list(connection.execute(select(table)).all()))


async def test_a_rating_names_question_and_versions(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, reader):
        store.remember(SCOPE.tenant, TRACE, Origin("abc", {"engine": "extractive"}))
        given = Feedback.checked(trace_id=TRACE, rating="down", comment="No.", markers=[2])
        feedback_id = await store.add(Caller(), given)  # pyright: ignore[reportArgumentType] - what it reads
        (rating,) = await rows(reader, tables.feedback)
        (origin,) = await rows(reader, quality_tables.feedback_origins)
    assert (rating.trace_id, rating.rating, rating.markers) == (TRACE, "down", [2])
    assert origin.feedback_id == feedback_id == rating.feedback_id
    assert (origin.query_hash, origin.versions) == ("abc", {"engine": "extractive"})


async def test_other_tenants_answers_are_not_known(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, reader):
        store.remember("rival", TRACE, Origin("abc", {}))
        await store.add(Caller(), Feedback.checked(trace_id=TRACE, rating="up"))  # pyright: ignore[reportArgumentType] - as above
        assert len(await rows(reader, tables.feedback)) == 1
        assert await rows(reader, quality_tables.feedback_origins) == []


async def test_only_so_many_answers_are_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path) as (store, reader):
        store.remember(SCOPE.tenant, TRACE, Origin("first", {}))
        for number in range(MAX_ORIGINS):
            store.remember(SCOPE.tenant, f"{number:032x}", Origin("x", {}))
        await store.add(Caller(), Feedback.checked(trace_id=TRACE, rating="up"))  # pyright: ignore[reportArgumentType] - as above
        assert await rows(reader, quality_tables.feedback_origins) == []
