"""Jobs whose documents a deletion by condition has to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from services.ingestion.document import metadata_from_json
from services.ingestion.jobs.model import UNENDED, JobState
from services.ingestion.jobs.tables import jobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from services.filters.values import Value

ON_THE_WAY = (*UNENDED, JobState.DEAD_LETTER, JobState.CANCELLED)
"""States of jobs whose documents retrieval does not have, or not in their newest version."""


@dataclass(frozen=True, slots=True)
class SubmittedFields:
    """What a filter can be held against before a document is indexed."""

    number: int
    document_id: str
    uri: str
    actor: str
    metadata: Mapping[str, Value | None]


def has_jobs(connection: Connection, tenant: str, collection: str) -> bool:
    """Returns whether anything was ever submitted to a collection."""
    query = select(jobs.c.number).where(jobs.c.tenant == tenant, jobs.c.collection == collection)
    return connection.execute(query.limit(1)).first() is not None


def unended_count(connection: Connection, tenant: str, collection: str, ids: Sequence[str]) -> int:
    """Returns how many jobs of some documents have not ended."""
    query = (
        select(func.count())
        .select_from(jobs)
        .where(
            jobs.c.tenant == tenant,
            jobs.c.collection == collection,
            jobs.c.document_id.in_(ids),
            jobs.c.state.in_(UNENDED),
        )
    )
    return connection.scalar(query) or 0


def page(
    connection: Connection, tenant: str, collection: str, actor: str, after: int, limit: int
) -> list[SubmittedFields]:
    """Returns newest jobs whose documents retrieval may not have, or that an actor submitted."""
    is_wanted = jobs.c.state.in_(ON_THE_WAY)
    if actor:
        is_wanted |= jobs.c.actor == actor
    rows = connection.execute(
        select(jobs.c.number, jobs.c.document_id, jobs.c.uri, jobs.c.actor, jobs.c.metadata_json)
        .where(
            jobs.c.tenant == tenant,
            jobs.c.collection == collection,
            jobs.c.is_latest,
            is_wanted,
            jobs.c.number > after,
        )
        .order_by(jobs.c.number)
        .limit(limit)
    )
    return [
        SubmittedFields(
            row.number, row.document_id, row.uri, row.actor, metadata_from_json(row.metadata_json)
        )
        for row in rows
    ]
