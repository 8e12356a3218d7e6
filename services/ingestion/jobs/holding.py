"""Which of some leases still hold their jobs: asked at the head of every write of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, bindparam, select

from services.ingestion.document import DocumentKey
from services.ingestion.jobs.model import JobState
from services.ingestion.jobs.tables import documents, jobs

if TYPE_CHECKING:
    from services.ingestion.jobs.model import Lease

# Made once: to make a statement takes longer than SQLite takes to run it.
_FIND_TOKENS = (
    select(jobs.c.number, jobs.c.job_id, jobs.c.lease_token)
    .where(
        jobs.c.number.in_(bindparam("numbers", expanding=True)), jobs.c.state == JobState.RUNNING
    )
    .order_by(jobs.c.number)
    .with_for_update()
)
_FIND_DOCUMENTS = (
    select(documents)
    .where(documents.c.document_key.in_(bindparam("keys", expanding=True)))
    .order_by(documents.c.document_key)
    .with_for_update()
)


def held_numbers(connection: Connection, leases: Sequence[Lease]) -> set[int]:
    """Returns the numbers of the jobs whose newest token a lease has, locked until the end.

    In the order of their numbers, so that two processes never wait for each other in a circle.
    """
    # The id too: SQLite gives the number of an erased job to the next one.
    tokens = {lease.job.number: (lease.job.job_id, lease.token) for lease in leases}
    rows = connection.execute(_FIND_TOKENS, {"numbers": sorted(tokens)})
    return {row.number for row in rows if (row.job_id, row.lease_token) == tokens[row.number]}


def lock_documents(connection: Connection, leases: Sequence[Lease]) -> dict[int, Row[Any]]:
    """Returns the rows of the leases' documents by their keys, locked until the transaction ends.

    A key that was given to another document meanwhile has none.
    """
    names = {lease.document_key: lease.job.key for lease in leases}
    rows = connection.execute(_FIND_DOCUMENTS, {"keys": sorted(names)})
    return {
        row.document_key: row
        for row in rows
        if DocumentKey(row.tenant, row.collection, row.document_id) == names[row.document_key]
    }
