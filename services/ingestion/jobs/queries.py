"""Reading jobs: one, a page, those that changed, and the queue's figures."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, bindparam, func, select

from services.ingestion.document import DocumentKey
from services.ingestion.jobs.control import job_not_found
from services.ingestion.jobs.model import UNENDED, IndexedDocument, Job, JobState, QueueStats
from services.ingestion.jobs.rows import MICROSECONDS, job_from_row
from services.ingestion.jobs.tables import artifacts, contents, documents, jobs
from services.rpc.errors import InvalidArgumentError, NotFoundError, Reason

# Asked for each submission and each claim, so made once: to make a statement takes longer than
# SQLite takes to run it.
_FIND_READY = (
    select(
        documents.c.document_id,
        documents.c.indexed_version,
        documents.c.indexed_fingerprint,
        jobs.c.job_id,
    )
    .join(jobs, jobs.c.document_key == documents.c.document_key)
    .where(
        documents.c.tenant == bindparam("tenant"),
        documents.c.collection == bindparam("collection"),
        documents.c.document_id.in_(bindparam("ids", expanding=True)),
        documents.c.is_deleted.is_(False),
        documents.c.indexed_generation == documents.c.generation,
        jobs.c.generation == documents.c.generation,
        jobs.c.state == JobState.READY,
    )
)
_FIND_CONTENTS = (
    select(contents.c.content_id, contents.c.data)
    .where(contents.c.content_id.in_(bindparam("ids", expanding=True)))
    .order_by(contents.c.content_id, contents.c.piece)
)

_OF_TENANT = jobs.c.tenant == bindparam("tenant")
_COUNTS = select(jobs.c.state, func.count()).group_by(jobs.c.state)
_COUNTS_OF_TENANT = _COUNTS.where(_OF_TENANT)
_OLDEST = [select(func.min(jobs.c.created_us)).where(jobs.c.state.in_(UNENDED))]
# Of each state the first by number, as the index has them: jobs are numbered as they come.
_OLDEST_OF_TENANT = [
    select(jobs.c.created_us)
    .where(_OF_TENANT, jobs.c.state == state)
    .order_by(jobs.c.number)
    .limit(1)
    for state in UNENDED
]


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list."""

    tenant: str
    collection: str = ""
    states: tuple[JobState, ...] = ()
    latest_only: bool = False


def get(connection: Connection, tenant: str, job_id: str) -> Job:
    """Returns a job.

    Raises:
        NotFoundError: the tenant has no such job.
    """
    row = connection.execute(
        select(jobs).where(jobs.c.tenant == tenant, jobs.c.job_id == job_id)
    ).first()
    if row is None:
        raise job_not_found(job_id)
    return job_from_row(row)


def get_by_document(connection: Connection, key: DocumentKey) -> Job:
    """Returns the newest job of a document.

    Raises:
        NotFoundError: it has none.
    """
    row = connection.execute(
        select(jobs)
        .where(
            jobs.c.tenant == key.tenant,
            jobs.c.collection == key.collection,
            jobs.c.document_id == key.document_id,
        )
        .order_by(jobs.c.number.desc())
        .limit(1)
    ).first()
    if row is None:
        raise NotFoundError(
            Reason.JOB_NOT_FOUND,
            "the document has no ingestion job; it was never submitted or it is deleted",
            metadata={"document_id": key.document_id},
        )
    return job_from_row(row)


def list_page(
    connection: Connection, wanted: JobFilter, page_size: int, page_token: str
) -> tuple[list[Job], str]:
    """Returns a page of jobs, the newest first, and the token of the next page.

    Raises:
        InvalidArgumentError: the token is not one of this list.
    """
    query = _filtered(wanted).order_by(jobs.c.number.desc()).limit(page_size + 1)
    if page_token:
        query = query.where(jobs.c.number < _read_token(page_token, wanted))
    rows = connection.execute(query).all()
    page = [job_from_row(row) for row in rows[:page_size]]
    token = _make_token(page[-1].number, wanted) if len(rows) > page_size else ""
    return page, token


def _filtered(wanted: JobFilter) -> Select[tuple]:
    query = select(jobs).where(jobs.c.tenant == wanted.tenant)
    if wanted.collection:
        query = query.where(jobs.c.collection == wanted.collection)
    if wanted.latest_only:
        query = query.where(jobs.c.is_latest)
    if wanted.states:
        states = set(wanted.states)
        if JobState.QUEUED in states:
            states.add(JobState.WAITING)
        query = query.where(jobs.c.state.in_(sorted(states)))
    return query


def _filter_mark(wanted: JobFilter) -> int:
    return zlib.crc32(repr(wanted).encode())


def _make_token(number: int, wanted: JobFilter) -> str:
    text = json.dumps([number, _filter_mark(wanted)])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_token(token: str, wanted: JobFilter) -> int:
    try:
        number, mark = json.loads(base64.b64decode(token, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        number, mark = None, None
    if not isinstance(number, int) or not 0 < number < 2**63 or mark != _filter_mark(wanted):
        raise InvalidArgumentError.for_field(
            "page_token",
            "is not a token of this list; use next_page_token of the former page with the same "
            "filter, or leave it empty",
            Reason.INVALID_PAGE_TOKEN,
        )
    return number


def get_many(connection: Connection, tenant: str, job_ids: Sequence[str]) -> dict[str, Job]:
    """Returns those of the jobs that the tenant has, by their ids."""
    rows = connection.execute(
        select(jobs).where(jobs.c.tenant == tenant, jobs.c.job_id.in_(job_ids))
    ).all()
    return {row.job_id: job_from_row(row) for row in rows}


def changed(
    connection: Connection, tenant: str, seen: Mapping[str, int]
) -> tuple[list[Job], set[str]]:
    """Returns jobs whose revision is not the one seen, and the ids of those that are gone."""
    rows = connection.execute(
        select(jobs.c.job_id, jobs.c.revision).where(
            jobs.c.tenant == tenant, jobs.c.job_id.in_(list(seen))
        )
    ).all()
    revisions = {row.job_id: row.revision for row in rows}
    news = [job_id for job_id, revision in revisions.items() if revision != seen[job_id]]
    found = get_many(connection, tenant, news) if news else {}
    return [found[job_id] for job_id in news if job_id in found], set(seen) - set(revisions)


def ready_documents(
    connection: Connection, keys: Mapping[DocumentKey, str]
) -> list[IndexedDocument]:
    """Returns documents whose newest job is ready and has the fingerprint given for them."""
    names = sorted({(key.tenant, key.collection) for key in keys})
    found = []
    for tenant, collection in names:
        ids = [
            key.document_id for key in keys if (key.tenant, key.collection) == (tenant, collection)
        ]
        wanted = {"tenant": tenant, "collection": collection, "ids": ids}
        rows = connection.execute(_FIND_READY, wanted)
        for row in rows:
            key = DocumentKey(tenant, collection, row.document_id)
            if row.indexed_fingerprint == keys[key]:
                found.append(
                    IndexedDocument(key, row.job_id, row.indexed_version, row.indexed_fingerprint)
                )
    return found


def principals_of(connection: Connection, tenant: str, collection: str) -> set[str]:
    """Returns all principals that the newest jobs of a collection name in their access lists."""
    lists = connection.scalars(
        select(jobs.c.acl_json)
        .where(jobs.c.tenant == tenant, jobs.c.collection == collection, jobs.c.is_latest)
        .distinct()
    )
    return {principal for text in lists for principal in json.loads(text)}


def read_contents(connection: Connection, content_ids: Sequence[str]) -> list[list[bytes]]:
    """Returns the stored bytes of documents, in pieces."""
    rows = connection.execute(_FIND_CONTENTS, {"ids": sorted(set(content_ids))})
    found: dict[str, list[bytes]] = {}
    for row in rows:
        found.setdefault(row.content_id, []).append(row.data)
    return [found.get(content_id, []) for content_id in content_ids]


def read_artifact(connection: Connection, job_id: str, kind: str) -> dict[int, bytes]:
    """Returns the parts of an intermediate result by their numbers; empty: there is none."""
    rows = connection.execute(
        select(artifacts.c.part, artifacts.c.data)
        .where(artifacts.c.job_id == job_id, artifacts.c.kind == kind)
        .order_by(artifacts.c.part)
    ).all()
    return {row.part: row.data for row in rows}


def stats(connection: Connection, tenant: str | None, now_us: int) -> QueueStats:
    """Returns the figures of a tenant, or of all."""
    of = {} if tenant is None else {"tenant": tenant}
    counting = _COUNTS if tenant is None else _COUNTS_OF_TENANT
    looking = _OLDEST if tenant is None else _OLDEST_OF_TENANT
    counts = {row[0]: row[1] for row in connection.execute(counting, of)}
    found = [connection.scalar(query, of) for query in looking]
    oldest_us = min((each for each in found if each is not None), default=None)
    age_us = max(0, now_us - oldest_us) if oldest_us is not None else 0
    return QueueStats(
        queued_count=counts.get(JobState.QUEUED, 0) + counts.get(JobState.WAITING, 0),
        running_count=counts.get(JobState.RUNNING, 0),
        dead_letter_count=counts.get(JobState.DEAD_LETTER, 0),
        ready_count=counts.get(JobState.READY, 0),
        oldest_job_age_seconds=age_us / MICROSECONDS,
    )
