"""Hands fetched items to the intake, waiting while the queue is full."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.ingestion.document import DocumentHeader
from services.ingestion.intake import Submitted
from services.ingestion.sharing import SharedCalls
from services.ingestion.sources.model import (
    Fetched,
    Found,
    ItemFailedError,
    Problem,
    Source,
    StoredItem,
)
from services.ingestion.sources.placement import document_id_of
from services.rpc.errors import (
    AbortedError,
    DeadlineExceededError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
)
from services.rpc.logs import get_logger
from services.rpc.scope import Scope

if TYPE_CHECKING:
    from services.ingestion.intake import Intake
    from services.ingestion.jobs.model import Accepted
    from services.ingestion.sources.placement import Placement

_REPEATABLE = (AbortedError, DeadlineExceededError, ResourceExhaustedError, UnavailableError)
_MAX_WAIT_SECONDS = 30.0
_DEFAULT_WAIT_SECONDS = 2.0
_DOCUMENTS_AT_ONCE = 16
_BYTES_AT_ONCE = 16 << 20


class ItemSubmitter:
    """Submits the items of one source.

    Args:
        intake: Takes documents in.
        source: Where they come from.
        scope: On whose behalf.
    """

    def __init__(self, intake: Intake, source: Source, scope: Scope) -> None:
        self._intake = intake
        self._source = source
        self._scope = scope
        self._submitting = SharedCalls[str, Submitted, "Accepted"](
            self._submit_shared,
            most=_BYTES_AT_ONCE,
            weigh=_weight,
            # Each may fit where not all of them do.
            parts_on=lambda error: isinstance(error, ResourceExhaustedError),
        )

    async def submit(
        self, found: Found, fetched: Fetched, placement: Placement
    ) -> Accepted | ServiceError:
        """Submits one item; waits as long as the queue is full or the database is away."""
        header = DocumentHeader(
            document_id=document_id_of(self._source, found.path),
            uri=found.uri,
            content_type=fetched.content_type,
            file_name=fetched.file_name,
            metadata=placement.metadata,
            acl=placement.acl,
            priority=placement.priority,
        )
        document = Submitted(header, fetched.content, "header", "content")
        while True:
            try:
                return await self._submitting.ask(placement.collection, document)
            except _REPEATABLE as error:
                get_logger().info(
                    "a source waits for the queue",
                    reason=error.reason.value,
                    name=self._source.name,
                )
                wait = error.retry_after_seconds or _DEFAULT_WAIT_SECONDS
            except ServiceError as error:
                return error
            await asyncio.sleep(min(wait, _MAX_WAIT_SECONDS))

    async def _submit_shared(
        self, collection: str, documents: Sequence[Submitted]
    ) -> list[Accepted | ServiceError]:
        return await self._intake.submit(self._scope, collection, documents)


def _weight(document: Submitted) -> int:
    return max(document.content.size_bytes, _BYTES_AT_ONCE // _DOCUMENTS_AT_ONCE)


def problem_of(error: ServiceError | ItemFailedError) -> Problem:
    """Returns why an item was not taken in."""
    if isinstance(error, ItemFailedError):
        return error.problem
    return Problem(error.reason.value, error.message, isinstance(error, _REPEATABLE))


def failed_item(
    source: Source, found: Found, placement: Placement, known: StoredItem | None, problem: Problem
) -> StoredItem:
    """Returns what is remembered of an item that was not taken in; its former document stays."""
    if known is not None:
        return dataclasses.replace(
            known, version=found.version, placement=placement.digest, problem=problem
        )
    return StoredItem(
        path=found.path,
        collection=placement.collection,
        document_id=document_id_of(source, found.path),
        job_id="",
        version=found.version,
        digest="",
        placement=placement.digest,
        size_bytes=max(found.size_bytes, 0),
        modified_us=found.modified_us,
        submitted_us=0,
        problem=problem,
    )
