"""Decides how a segment is searched, by what each way is expected to cost."""

from __future__ import annotations

from dataclasses import dataclass

from services.retrieval.vectors.spec import IndexKind, RecallClass

EXACT, GRAPH, FILTERED_GRAPH, IVF, SKIP = "exact", "graph", "filtered_graph", "ivf", "skip"
EFFORT = {RecallClass.HIGH: 112, RecallClass.FAST: 56}
"""Rows kept in sight on the way through a graph, for ten results."""
EXACT_ROWS = 50_000
"""Allowed rows of a narrow filter up to which class `high` finds all."""
_GRAPHS = {IndexKind.HNSW, IndexKind.HNSW_SQ8}
_LISTS = {IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.IVF_PQ, IndexKind.RABITQ}


@dataclass(frozen=True, slots=True)
class Costs:
    """Nanoseconds of what searches consist of, on this machine."""

    row: float = 9.0
    """One row of 384 codes compared in a scan."""
    far_row: float = 14.0
    """The same when the scan does not fit the processor's cache."""
    step: float = 80.0
    """One row compared in a walk of a graph."""
    base: float = 4_000.0
    """One search, whatever it does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a segment is to be searched."""

    name: str
    why: str
    effort: int = 0
    """Rows kept in sight on a graph, lists visited of an IVF."""


def choose(
    kind: IndexKind,
    rows: int,
    allowed: int,
    count: int,
    recall: RecallClass,
    code_width: int,
    costs: Costs,
) -> Plan:
    """Returns the cheapest plan that is good enough.

    Args:
        kind: What the segment has.
        rows: Vectors in it.
        allowed: How many may be returned.
        count: Rows wanted.
        recall: How much of the truth must be found.
        code_width: Bytes of a code.
        costs: What things cost here.
    """
    if allowed == 0:
        return Plan(SKIP, "nothing is allowed here")
    if recall == RecallClass.EXACT:
        return Plan(EXACT, "the recall class is exact")
    if kind is IndexKind.FLAT:
        return Plan(EXACT, "the segment has no index")
    lines = code_width / 384
    exact = costs.base + allowed * lines * (costs.row if allowed < 20_000 else costs.far_row)
    if kind in _GRAPHS:
        return _graph(rows, allowed, count, recall, lines, exact, costs)
    return Plan(IVF, "lists", 32)


def _graph(
    rows: int,
    allowed: int,
    count: int,
    recall: RecallClass,
    lines: float,
    exact: float,
    costs: Costs,
) -> Plan:
    effort = max(EFFORT[recall], count + count // 2 + 16)
    wide = int(effort * rows / allowed)
    walked = costs.base + walk_steps(rows, wide) * lines * costs.step
    gated = costs.base + 2.0 * walk_steps(rows, effort) * lines * costs.step
    share = allowed / rows
    if share < 0.45 and allowed <= EXACT_ROWS and recall == RecallClass.HIGH:
        return Plan(EXACT, f"{allowed} rows are allowed: few enough to compare all")
    best = min(exact, walked, gated)
    ways = (("exact", exact), ("graph", walked), ("filtered graph", gated))
    said = "expected µs: " + ", ".join(f"{name} {cost / 1e3:.0f}" for name, cost in ways)
    if best == exact:
        return Plan(EXACT, said)
    if best == walked:
        return Plan(GRAPH, said, wide)
    return Plan(FILTERED_GRAPH, said, effort)


def walk_steps(rows: int, effort: int) -> float:
    """Returns about how many rows a walk compares (measured at 100,000 and 300,000 rows)."""
    return 1_300.0 * (effort / 64) ** 0.6 * (max(rows, 1_000) / 100_000) ** 0.2
