"""A job in progress: what its stages made so far, in memory or fetched from their checkpoints."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import zlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from services.ingestion.chunker import Chunk
from services.ingestion.failures import FailureReason, Stage, StageFailedError
from services.ingestion.jobs.checkpoints import Progress
from services.ingestion.parsers.parsed import ParsedDocument, unpack
from services.ingestion.stages.dependency import calling
from services.rpc.scope import Scope, TenantClass

if TYPE_CHECKING:
    from services.ingestion.jobs.indexing import IndexWindow
    from services.ingestion.jobs.model import Lease
    from services.ingestion.jobs.store import JobStore
    from services.ingestion.ports import Index, IndexDocument

Made = tuple[str, bytes] | None
"""What a stage made, with its kind; None: it was stored before."""
_HELD_CHARACTERS = 8_000
"""What is made of a text up to this length is stored at once at the end: to make it again takes a
few milliseconds, and to store it in between takes as long."""
PARSED, CHUNKS, VECTORS = "parsed", "chunks", "coded-vectors"
"""Kinds of intermediate results."""


_SHORT_CHARACTERS = 50_000
_MARK_BYTES = 8

T = TypeVar("T")
P = ParamSpec("P")


async def aside(characters: int, fn: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Runs a function on a text of so many characters: in a thread when it takes long.

    For short texts the way to a thread and back costs more than the work.
    """
    if characters <= _SHORT_CHARACTERS:
        return fn(*arguments, **named)
    return await asyncio.to_thread(fn, *arguments, **named)


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """The chunks of a document and what they are embedded with."""

    chunks: tuple[Chunk, ...]
    model: str
    model_revision: str
    dimensions: int
    max_prefix_characters: int
    """Longest title-and-headings line before the text that is embedded."""
    coded_count: int = 0
    """So many chunks, from the first, get token codes beside their vectors."""


@dataclass(slots=True)
class Work:
    """One attempt on a job; belongs to one task."""

    lease: Lease
    store: JobStore
    is_express: bool = False
    """Its tenant has next to nothing in work: it does not wait behind the bulk of others."""
    stage_seconds: dict[str, float] = field(init=False)
    warnings: list[str] = field(init=False)
    title: str = field(init=False)
    content_type: str = field(init=False)
    chunk_count: int = field(init=False)
    reused_chunk_count: int = field(init=False)
    vectors: dict[int, bytes] = field(default_factory=dict)
    """Vectors known so far, by the chunks' positions, each with its token codes behind it."""
    next_vector_part: int = 0
    parsed: ParsedDocument | None = None
    plan: ChunkPlan | None = None
    former: IndexDocument | None = None
    """The version in retrieval, once it was asked for."""
    plan_mark: bytes = b""
    """Hash of the plan: vectors belong to one."""
    window: IndexWindow | None = None
    """In which the document may be written, when it was given with the last checkpoint."""
    held: list[tuple[str, bytes]] = field(default_factory=list)
    """What stages made that goes with the next checkpoint."""

    _recording: Callable[[Made], Awaitable[None]] | None = None

    def __post_init__(self) -> None:
        job = self.lease.job
        self.stage_seconds = dict(job.stage_seconds)
        self.warnings = list(job.warnings)
        self.title = job.title
        self.content_type = job.content_type
        self.chunk_count = job.chunk_count
        self.reused_chunk_count = job.reused_chunk_count

    def begin(self, record: Callable[[Made], Awaitable[None]]) -> None:
        """Begins a stage, with what sets the checkpoint behind it."""
        self._recording = record

    async def record(self, made: Made) -> None:
        """Sets the stage's checkpoint, once: a stage may do so itself, before it is over.

        Raises:
            LeaseLostError: the job was taken away.
        """
        recording, self._recording = self._recording, None
        if recording is not None:
            await recording(made)

    @property
    def holds_back(self) -> bool:
        """Whether checkpoints may wait for the last.

        Not those of a job that was in work before: what it got to then shall stand.
        """
        assert self.parsed is not None
        is_first = self.lease.job.attempt_count <= 1 and not self.lease.postponed_count
        return is_first and len(self.parsed.text) <= _HELD_CHARACTERS

    @property
    def scope(self) -> Scope:
        """On whose behalf other services are called."""
        return Scope(
            tenant=self.lease.job.key.tenant,
            principals=(),
            actor=self.lease.actor or "service:ingestion",
            tenant_class=TenantClass(self.lease.tenant_class),
        )

    @property
    def readers(self) -> Scope:
        """A scope that may read the document's versions."""
        principals = dict.fromkeys((*self.lease.acl[:999], "everyone"))
        return Scope(
            tenant=self.lease.job.key.tenant,
            principals=tuple(principals),
            actor=self.scope.actor,
            tenant_class=self.scope.tenant_class,
        )

    def progress(self, stage: Stage) -> Progress:
        """Returns what the completed stage changes in the job."""
        return Progress(
            stage=stage,
            stage_seconds=self.stage_seconds,
            warnings=tuple(self.warnings),
            title=self.title,
            content_type=self.content_type,
            chunk_count=self.chunk_count,
            reused_chunk_count=self.reused_chunk_count,
        )

    async def load_former(self, index: Index, *, with_codes: bool = False) -> IndexDocument | None:
        """Returns the version that retrieval holds, with its chunks and vectors, if there is one.

        Args:
            index: Retrieval.
            with_codes: Whether token codes are wanted, the first time it is asked for.

        Raises:
            DependencyDownError: retrieval does not answer.
        """
        key = self.lease.job.key
        if self.former is None and self.lease.indexed_version:
            with calling("retrieval", FailureReason.INDEX_REFUSED):
                held = await index.get_documents(
                    self.readers,
                    key.collection,
                    [key.document_id],
                    with_chunks=True,
                    with_codes=with_codes,
                )
            self.former = held[0] if held else None
        return self.former

    async def load_parsed(self) -> ParsedDocument:
        """Returns the parsed document.

        Raises:
            StageFailedError: its checkpoint is gone; it is parsed again.
        """
        if self.parsed is None:
            parts = await self.store.read_artifact(self.lease.job.job_id, PARSED)
            if not parts:
                raise _checkpoint_lost(Stage.RECEIVED)
            self.parsed = await aside(len(parts[0]) * 8, unpack, parts[0])
        return self.parsed

    async def load_plan(self) -> ChunkPlan:
        """Returns the chunks.

        Raises:
            StageFailedError: their checkpoint is gone; they are cut again.
        """
        if self.plan is None:
            parts = await self.store.read_artifact(self.lease.job.job_id, CHUNKS)
            if not parts:
                raise _checkpoint_lost(Stage.PARSED)
            self.plan = await aside(len(parts[0]) * 8, unpack_plan, parts[0])
            self.plan_mark = _mark(parts[0])
        return self.plan

    def set_plan(self, plan: ChunkPlan) -> bytes:
        """Takes a new plan and returns it for storing."""
        packed = pack_plan(plan)
        self.plan, self.plan_mark = plan, _mark(packed)
        return packed

    async def load_vectors(self) -> dict[int, bytes]:
        """Returns the vectors stored so far for the plan, by the chunks' positions."""
        job = self.lease.job
        is_first = job.stage < Stage.CHUNKED and job.attempt_count <= 1
        if not self.vectors and not is_first:
            parts = await self.store.read_artifact(job.job_id, VECTORS)
            for number, part in parts.items():
                # A plan made anew, for another model, say, has no use for the former's.
                if part.startswith(self.plan_mark):
                    self.vectors.update(unpack_vectors(part[_MARK_BYTES:]))
                self.next_vector_part = number + 1
        return self.vectors

    def pack_vectors(self) -> bytes:
        """Returns all vectors for storing."""
        return self.plan_mark + pack_vectors(self.vectors)

    async def save_vectors(self, vectors: Mapping[int, bytes]) -> None:
        """Stores further vectors, so that a crash costs one batch at most."""
        packed = self.plan_mark + pack_vectors(vectors)
        # Parts of a document may be stored at the same time.
        part, self.next_vector_part = self.next_vector_part, self.next_vector_part + 1
        await self.store.save_artifact(
            self.lease, VECTORS, part, packed, is_bulk=not self.is_express
        )
        self.vectors.update(vectors)


def _mark(packed_plan: bytes) -> bytes:
    return hashlib.blake2b(packed_plan, digest_size=_MARK_BYTES).digest()


def _checkpoint_lost(stage: Stage) -> StageFailedError:
    return StageFailedError(
        FailureReason.INTERNAL,
        "an intermediate result is gone; the job goes back to where it can be made again",
        is_retryable=True,
        restart_from=stage,
    )


def pack_plan(plan: ChunkPlan) -> bytes:
    """Returns the plan for storing."""
    paths: dict[tuple[str, ...], int] = {}
    rows = [
        [
            chunk.start,
            chunk.end,
            paths.setdefault(chunk.heading_path, len(paths)),
            chunk.page,
            chunk.body_start,
        ]
        for chunk in plan.chunks
    ]
    plain = {
        "model": plan.model,
        "model_revision": plan.model_revision,
        "dimensions": plan.dimensions,
        "max_prefix_characters": plan.max_prefix_characters,
        "coded_count": plan.coded_count,
        "paths": [list(path) for path in paths],
        "chunks": rows,
    }
    return zlib.compress(json.dumps(plain).encode(), level=3)


def unpack_plan(data: bytes) -> ChunkPlan:
    """Reads what `pack_plan` wrote."""
    plain: dict[str, Any] = json.loads(zlib.decompress(data))
    paths = [tuple(path) for path in plain["paths"]]
    chunks = tuple(
        Chunk(start, end, paths[path], page, body_start)
        for start, end, path, page, body_start in plain["chunks"]
    )
    return ChunkPlan(
        chunks,
        plain["model"],
        plain["model_revision"],
        plain["dimensions"],
        plain["max_prefix_characters"],
        plain.get("coded_count", 0),
    )


def pack_vectors(vectors: Mapping[int, bytes]) -> bytes:
    """Returns rows of any length with their positions: count, positions, lengths, then the rows."""
    lengths = (len(row) for row in vectors.values())
    head = struct.pack(f"<{2 * len(vectors) + 1}I", len(vectors), *vectors, *lengths)
    return head + b"".join(vectors.values())


def unpack_vectors(data: bytes) -> dict[int, bytes]:
    """Reads what `pack_vectors` wrote."""
    (count,) = struct.unpack_from("<I", data)
    numbers = struct.unpack_from(f"<{2 * count}I", data, 4)
    start = 4 * (2 * count + 1)
    found: dict[int, bytes] = {}
    for position, length in zip(numbers[:count], numbers[count:], strict=True):
        found[position] = data[start : start + length]
        start += length
    return found
