"""EMBEDDED → READY: the whole version is written to retrieval at once, and by nobody too late.

A worker writes only inside a window that the jobs table gives to one worker at a time, and on the
condition that the document still has the version the table knows. So a worker that was frozen, or
whose job was superseded or whose document was deleted meanwhile, changes nothing.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.ingestion.chunker import chunk_ids
from services.ingestion.failures import (
    DependencyDownError,
    FailureReason,
    Stage,
    StageFailedError,
)
from services.ingestion.jobs.indexing import IndexWindow, WindowBusy
from services.ingestion.jobs.rows import MICROSECONDS
from services.ingestion.jobs.store import BULK_LINGER_SECONDS
from services.ingestion.ports import Embedder, Index, IndexDocument, IndexedChunk
from services.ingestion.sharing import SharedCalls
from services.ingestion.stages.chunk import resolve_model
from services.ingestion.stages.dependency import calling, is_refusal
from services.ingestion.stages.work import aside
from services.rpc.errors import AbortedError, NotFoundError

if TYPE_CHECKING:
    from services.filters.values import Value
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.stages.work import Work
    from services.rpc.scope import Scope

WINDOW_SECONDS = 30.0
"""How long one worker may be writing one document."""

_MARGIN_SECONDS = 2.0
"""The write gives up so much before its window ends."""
_BUSY_POLL_SECONDS = 0.1
_MAX_TRIES = 4
_WRITE_BYTES = 1 << 20
"""Documents written together come to about so much."""
_MAX_HEADINGS = 64
_MAX_HEADING_CHARACTERS = 4096
_MAX_TITLE_CHARACTERS = 4096
_MAX_FIELDS = 128
_MAX_KEYWORD_CHARACTERS = 8192
_MAX_TAGS = 1000
_BUILT_IN_FIELDS = frozenset({"document_id", "uri", "source"})
_OTHER_MODEL = frozenset({FailureReason.MODEL_MISMATCH, FailureReason.DIMENSION_MISMATCH})
_MUST_NOT_EXIST = -1
_ANY = 0


@dataclass(frozen=True, slots=True)
class _Key:
    """Documents that may be written together."""

    scope: Scope
    collection: str
    expected_version: int
    alone: int
    """Job that shares with no other; 0: shares."""
    is_express: bool


@dataclass(frozen=True, slots=True)
class _Write:
    """A document and the window in which it may be written."""

    document: IndexDocument
    window: IndexWindow
    store: JobStore


class IndexStage:
    """Writes documents to retrieval.

    Args:
        embedder: Says which model a missing collection is made for.
        index: Retrieval.
        before_commit: Called between retrieval's acknowledgement and its being recorded.
    """

    def __init__(
        self, embedder: Embedder, index: Index, before_commit: Callable[[], Awaitable[None]]
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._before_commit = before_commit
        self._writing = SharedCalls[_Key, _Write, int](
            self._write_shared,
            most=_WRITE_BYTES,
            weigh=_weight,
            linger_seconds=BULK_LINGER_SECONDS,
            is_urgent=lambda key: key.is_express or key.alone != 0,
            parts_on=is_refusal,
        )

    async def run(self, work: Work) -> bool:
        """Writes the document and ends its job; False when the job was taken away meanwhile.

        Raises:
            LeaseLostError: the job was taken away before the write.
            StageFailedError: retrieval refused the document.
            DependencyDownError: retrieval does not answer.
        """
        started = time.monotonic()
        document = await self._document(work)
        expected_version: int | None = None
        for _ in range(_MAX_TRIES):
            window = await self._open_window(work)
            if expected_version is None:
                expected_version = window.known_version or _MUST_NOT_EXIST
            try:
                version = await self._write(work, document, window, expected_version)
            except AbortedError:
                # Written by others, or by this job before a crash: go by what is there now.
                await work.store.abandon_indexing(work.lease, window)
                held = await self._held_version(work)
                # Held but not readable by anyone the document names: the window must do.
                is_hidden = expected_version == _MUST_NOT_EXIST and held == _MUST_NOT_EXIST
                expected_version = _ANY if is_hidden else held
                continue
            except NotFoundError:
                # The collection was dropped after the model was looked up.
                await work.store.abandon_indexing(work.lease, window)
                await resolve_model(work, self._embedder, self._index)
                expected_version = _MUST_NOT_EXIST
                continue
            except StageFailedError as error:
                await work.store.abandon_indexing(work.lease, window)
                if error.reason in _OTHER_MODEL:
                    # The collection was made anew, for another model, after the text was cut.
                    raise StageFailedError(
                        error.reason,
                        error.message,
                        is_retryable=True,
                        restart_from=Stage.PARSED,
                    ) from error
                document = _without_own_metadata(work, document, error)
                continue
            await self._before_commit()
            work.stage_seconds["index"] = round(time.monotonic() - started, 6)
            progress = work.progress(Stage.INDEXED)
            return await work.store.finish_indexing(
                work.lease, progress, version, is_bulk=not work.is_express
            )
        raise StageFailedError(
            FailureReason.CONFLICT,
            "others kept changing the document in retrieval while it was written",
            is_retryable=True,
        )

    async def _document(self, work: Work) -> IndexDocument:
        parsed = await work.load_parsed()
        plan = await work.load_plan()
        vectors = await work.load_vectors()
        if len(vectors) < len(plan.chunks):
            raise StageFailedError(
                FailureReason.INTERNAL,
                "an intermediate result is gone; the job goes back to where it can be made again",
                is_retryable=True,
                restart_from=Stage.CHUNKED,
            )
        ids = await aside(len(parsed.text), chunk_ids, parsed.text, plan.chunks)
        width = plan.dimensions * 4
        return IndexDocument(
            document_id=work.lease.job.key.document_id,
            title=work.title[:_MAX_TITLE_CHARACTERS],
            uri=work.lease.job.uri,
            text=parsed.text,
            content_hash=work.lease.content_digest,
            metadata={**_own_metadata(work), **work.lease.metadata},
            acl=work.lease.acl,
            chunks=tuple(
                IndexedChunk(
                    chunk_id,
                    chunk.start,
                    chunk.end,
                    tuple(
                        name[:_MAX_HEADING_CHARACTERS]
                        for name in chunk.heading_path[:_MAX_HEADINGS]
                    ),
                    chunk.page,
                    vectors[place][:width],
                    vectors[place][width:],
                )
                for place, (chunk_id, chunk) in enumerate(zip(ids, plan.chunks, strict=True))
            ),
        )

    async def _open_window(self, work: Work) -> IndexWindow:
        """Waits until no other worker may be writing the document."""
        if work.window is not None:
            window, work.window = work.window, None
            return window
        give_up_us = work.store.now_us() + int(2 * WINDOW_SECONDS * MICROSECONDS)
        while True:
            window = await work.store.begin_indexing(
                work.lease, WINDOW_SECONDS, is_bulk=not work.is_express
            )
            if isinstance(window, IndexWindow):
                return window
            assert isinstance(window, WindowBusy)
            if work.store.now_us() > give_up_us:
                raise DependencyDownError("retrieval", "another write of the document is open")
            await asyncio.sleep(_BUSY_POLL_SECONDS)

    async def _write(
        self, work: Work, document: IndexDocument, window: IndexWindow, expected_version: int
    ) -> int:
        # A version that is replaced goes alone: the condition is one for all that is written.
        alone = 0 if expected_version == _MUST_NOT_EXIST else work.lease.job.number
        collection = work.lease.job.key.collection
        key = _Key(work.scope, collection, expected_version, alone, work.is_express)
        with calling(
            "retrieval", FailureReason.INDEX_REFUSED, passing=(AbortedError, NotFoundError)
        ):
            return await self._writing.ask(key, _Write(document, window, work.store))

    async def _write_shared(self, key: _Key, writes: Sequence[_Write]) -> list[int]:
        until_us = min(write.window.until_us for write in writes)
        left = (until_us - writes[0].store.now_us()) / MICROSECONDS - _MARGIN_SECONDS
        if left <= 0:
            raise DependencyDownError("retrieval", "the window for the write has passed")
        return await self._index.upsert(
            key.scope,
            key.collection,
            [write.document for write in writes],
            key.expected_version,
            left,
        )

    async def _held_version(self, work: Work) -> int:
        key = work.lease.job.key
        with calling("retrieval", FailureReason.INDEX_REFUSED):
            found = await self._index.get_documents(work.readers, key.collection, [key.document_id])
        return found[0].version if found else _MUST_NOT_EXIST


def _weight(write: _Write) -> int:
    chunk_bytes = sum(
        len(chunk.vector) + len(chunk.token_codes) + 200 for chunk in write.document.chunks
    )
    return len(write.document.text) + chunk_bytes + 1000


def _own_metadata(work: Work) -> dict[str, Value | None]:
    """Returns what was found out about the document and what it says about itself, as it fits."""
    assert work.parsed is not None
    own = dict(work.parsed.enriched)
    for name, value in work.parsed.metadata.items():
        is_full = len(own) + len(work.lease.metadata) >= _MAX_FIELDS
        if is_full or name in own or name in _BUILT_IN_FIELDS:
            continue
        if isinstance(value, tuple):
            own[name] = frozenset(tag[:_MAX_KEYWORD_CHARACTERS] for tag in value[:_MAX_TAGS])
        else:
            own[name] = value[:_MAX_KEYWORD_CHARACTERS]
    return own


def _without_own_metadata(
    work: Work, document: IndexDocument, error: StageFailedError
) -> IndexDocument:
    """Returns the document without what it says about itself, if that is what was refused.

    Raises:
        StageFailedError: the error, when it is about something else.
    """
    is_own = document.metadata != work.lease.metadata
    if error.reason != FailureReason.TYPE_CONFLICT or not is_own:
        raise error
    work.warnings.append(
        "metadata stated in the document was left out: "
        "its types conflict with the collection's fields"
    )
    return dataclasses.replace(document, metadata=work.lease.metadata)
