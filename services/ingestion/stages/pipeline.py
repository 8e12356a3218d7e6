"""Takes a job from where its last checkpoint is to its end."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.ingestion import metrics
from services.ingestion.failures import (
    DependencyDownError,
    LeaseLostError,
    Stage,
    StageFailedError,
)
from services.ingestion.jobs.indexing import IndexWindow
from services.ingestion.stages.chunk import ChunkStage
from services.ingestion.stages.embed import EmbedStage
from services.ingestion.stages.index import WINDOW_SECONDS, IndexStage
from services.ingestion.stages.parse import ParseStage
from services.ingestion.stages.work import Work
from services.rpc.telemetry import span

if TYPE_CHECKING:
    from services.ingestion.chunker import ChunkerSettings
    from services.ingestion.enrichment.enricher import Enriching
    from services.ingestion.failpoint import Failpoint
    from services.ingestion.jobs.model import Lease
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.parsers.sandbox import ParserPool
    from services.ingestion.ports import Embedder, Index


@dataclass(frozen=True, slots=True)
class _Step:
    """A stage that ends with a checkpoint of its own."""

    completes: Stage
    name: str
    run: Callable[[Work], Awaitable[tuple[str, bytes] | None]]
    """Returns the intermediate result to store with the checkpoint, if any."""


class Pipeline:
    """Runs jobs.

    Args:
        store: The queue.
        parsers: Parse documents.
        embedder: Counts tokens and makes vectors.
        index: Makes documents searchable.
        chunker: Sizes of chunks.
        failpoint: Where tests kill the process.
        express_parsers: Parse documents of tenants that have next to nothing in work; None: the
            same as all.
        enricher: Finds out more about parsed documents; None: nothing.
        with_codes: Whether chunks get token codes, where the model gives them.
    """

    def __init__(
        self,
        store: JobStore,
        parsers: ParserPool,
        embedder: Embedder,
        index: Index,
        *,
        chunker: ChunkerSettings,
        failpoint: Failpoint,
        express_parsers: ParserPool | None = None,
        enricher: Enriching | None = None,
        with_codes: bool = True,
    ) -> None:
        self._store = store
        self._failpoint = failpoint
        self._steps: Sequence[_Step] = (
            _Step(Stage.PARSED, "parse", ParseStage(parsers, express_parsers, enricher).run),
            _Step(
                Stage.CHUNKED,
                "chunk",
                ChunkStage(embedder, index, chunker, with_codes=with_codes).run,
            ),
            _Step(Stage.EMBEDDED, "embed", EmbedStage(embedder, index).run),
        )
        self._index = IndexStage(embedder, index, self._before_ready)

    async def run(
        self, lease: Lease, reached: Callable[[Stage], None], *, is_express: bool = False
    ) -> None:
        """Runs a job to its end.

        Args:
            lease: The job.
            reached: Told each completed stage, so that a failure can be laid to the next.
            is_express: Whether it goes before the bulk of others.

        Raises:
            LeaseLostError: the job was taken away.
            StageFailedError: the document cannot be taken in.
            DependencyDownError: a service does not answer.
        """
        work = Work(lease, self._store, is_express=is_express)
        self._failpoint.reach("after-received")
        done = lease.job.stage
        try:
            for step in self._steps:
                if step.completes <= lease.job.stage:
                    continue
                work.begin(functools.partial(self._record, work, step, time.monotonic()))
                with span(f"ingestion.{step.name}", attributes={"cairn.job_id": lease.job.job_id}):
                    made = await step.run(work)
                await work.record(made)
                done = step.completes
                reached(done)
                self._failpoint.reach(f"after-{done.name.lower()}")
        except (StageFailedError, DependencyDownError):
            # What was done is not to be done again when the job comes back.
            if work.held:
                await self._store_held(work, done)
            raise
        started = time.monotonic()
        with span("ingestion.index", attributes={"cairn.job_id": lease.job.job_id}):
            is_held = await self._index.run(work)
        if not is_held:
            raise LeaseLostError
        metrics.STAGE_SECONDS.labels("index").observe(time.monotonic() - started)
        metrics.CHUNKS.labels("reused").inc(work.reused_chunk_count)
        metrics.CHUNKS.labels("embedded").inc(work.chunk_count - work.reused_chunk_count)
        self._failpoint.reach("after-indexed")

    async def _record(
        self, work: Work, step: _Step, started: float, made: tuple[str, bytes] | None
    ) -> None:
        """Sets the checkpoint behind a stage; that of a short document's first waits for the last.

        The last one asks for the window to write the document as well.
        """
        _note(work, step.name, started)
        self._failpoint.reach(step.completes.name.lower())
        if made is not None:
            work.held.append(made)
        if step.completes is not Stage.EMBEDDED:
            if not work.holds_back:
                await self._store_held(work, step.completes)
            return
        window = await self._store.begin_indexing(
            work.lease,
            WINDOW_SECONDS,
            work.progress(Stage.EMBEDDED),
            *work.held,
            is_bulk=not work.is_express,
        )
        work.held.clear()
        work.window = window if isinstance(window, IndexWindow) else None

    async def _store_held(self, work: Work, done: Stage) -> None:
        await self._store.complete_stage(
            work.lease, work.progress(done), *work.held, is_bulk=not work.is_express
        )
        work.held.clear()

    async def _before_ready(self) -> None:
        self._failpoint.reach("indexed")


def _note(work: Work, name: str, started: float) -> None:
    seconds = time.monotonic() - started
    work.stage_seconds[name] = round(work.stage_seconds.get(name, 0.0) + seconds, 6)
    metrics.STAGE_SECONDS.labels(name).observe(seconds)
