"""Which segments of a view are to become one, and of what kind: decisions only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from services.retrieval.collections import IndexType
from services.retrieval.vectors import BuildSpec, IndexKind, kind_for

if TYPE_CHECKING:
    from services.retrieval.collections import CollectionSettings
    from services.retrieval.view.rows import Part

_MANY_SEGMENTS = 8
_JOINED_TIMES = 2
_KINDS = {
    IndexType.FLAT: IndexKind.FLAT,
    IndexType.HNSW: IndexKind.HNSW,
    IndexType.HNSW_SQ8: IndexKind.HNSW_SQ8,
    IndexType.IVF_FLAT: IndexKind.IVF_FLAT,
    IndexType.IVF_SQ8: IndexKind.IVF_SQ8,
    IndexType.IVF_PQ: IndexKind.IVF_PQ,
    IndexType.RABITQ: IndexKind.RABITQ,
}


@dataclass(frozen=True, slots=True)
class Shape:
    """When views change their shape."""

    segment_rows: int = 5_000
    """Newest rows from which they are closed into a segment: a float vector takes ten times as long
    to compare as its 8-bit code."""
    graph_rows: int = 20_000
    """Rows without a graph from which one is built over them, and from which they are closed into a
    segment if that is fewer."""
    dead_fraction: float = 0.2
    """Share of dead rows from which a view is rebuilt: at 30 % a graph loses .01 recall."""
    max_segment_rows: int = 2_000_000
    """Rows of a merged segment: bounds the memory of the process that builds it (2 kB a row)."""
    saved_rows: int = 20_000
    """Rows written since a view's files were saved from which they are saved again."""
    saved_seconds: float = 60.0
    """Fewer rows are saved after this time."""


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring segments that are to become one."""

    parts: tuple[Part, ...]
    spec: BuildSpec


def spec_for(settings: CollectionSettings, shape: Shape, rows: int) -> BuildSpec:
    """Returns how a segment over so many rows of a collection is to be built."""
    kind = _KINDS.get(settings.index_type)
    if kind is None:
        kind = IndexKind.HNSW_SQ8 if rows >= shape.graph_rows else kind_for(rows)
    wanted = settings.index_parameters
    spec = BuildSpec(kind, settings.dimensions)
    return replace(
        spec,
        links=wanted.links or spec.links,
        build_effort=wanted.build_candidates or spec.build_effort,
        lists=wanted.lists or spec.lists,
        code_bytes=wanted.code_bytes or spec.code_bytes,
    )


def small_run(
    parts: Sequence[Part], segment_rows: int, building: Collection[str]
) -> tuple[Part, ...]:
    """Returns neighbours of about one size that are many, the newest first looked at, or none.

    Sizes rise eight times from one to the next, so that each row is joined a few times at most.

    Args:
        parts: All segments.
        segment_rows: Rows of the smallest.
        building: Names of those that are being joined or merged already.
    """
    floor = 0
    limit = _MANY_SEGMENTS * segment_rows
    for _ in range(_JOINED_TIMES):
        chosen: list[Part] = []
        for part in reversed(parts):
            is_plain = part.segment.spec.kind is IndexKind.FLAT
            if part.name in building or not is_plain or part.row_count > limit:
                break
            if part.row_count > floor:
                chosen.insert(0, part)
            elif chosen:
                break
        if len(chosen) >= _MANY_SEGMENTS:
            return tuple(chosen)
        floor, limit = limit, limit * _MANY_SEGMENTS
    return ()


def run_to_merge(
    parts: tuple[Part, ...],
    spec: BuildSpec,
    shape: Shape,
    building: Collection[str],
    *,
    is_quiet: bool,
    everything: bool,
) -> Run | None:
    """Returns segments that are worth merging now, or None.

    Args:
        parts: All segments.
        spec: What all of them together would be.
        shape: When views change their shape.
        building: Names of segments that are being joined or merged already.
        is_quiet: Whether nothing was written lately, so that a small run will not grow soon.
        everything: Merge all that can be merged.
    """
    most = shape.max_segment_rows
    if everything and sum(part.row_count for part in parts) <= most:
        is_done = len(parts) == 1 and parts[0].segment.spec.kind is spec.kind
        is_taken = any(part.name in building for part in parts)
        return None if is_done or is_taken or not parts else Run(parts, spec)
    raw = 0
    while raw < len(parts) and parts[-1 - raw].segment.spec.kind is not spec.kind:
        raw += 1
    rows = sum(part.row_count for part in parts[len(parts) - raw :])
    grown = sum(part.row_count for part in parts[: len(parts) - raw])
    is_eager = is_quiet or everything
    is_due = raw and (is_eager or rows >= max(4 * shape.graph_rows, grown // 4))
    if not is_due and len(parts) <= _MANY_SEGMENTS:
        return None
    first = len(parts) - max(raw, 1)
    rows = sum(part.row_count for part in parts[first:])
    # Earlier ones come along while they are not much larger: each row is merged a few times.
    while first > 0 and parts[first - 1].row_count <= min(2 * rows, most - rows):
        first -= 1
        rows += parts[first].row_count
    chosen = list(parts[first:])
    while len(chosen) > 1 and rows > most:
        rows -= chosen.pop().row_count
    if len(chosen) == 1 and chosen[0].segment.spec.kind is spec.kind:
        return None
    if any(part.name in building for part in chosen):
        return None  # they are being joined: the result can be merged in a moment
    return Run(tuple(chosen), spec)
