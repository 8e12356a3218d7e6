"""Decides how a segment is searched, by what each way is expected to cost.

What a search must do is known: the exact number of allowed rows, and how many rows a walk or a
visit of lists compares for which recall, measured when the segment was built (`Profile`). What it
costs is known for this machine (`Costs`, from `calibration`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from services.retrieval.vectors.spec import IndexKind, RecallClass

EXACT, GRAPH, FILTERED_GRAPH, IVF, SKIP = "exact", "graph", "filtered_graph", "ivf", "skip"
GPU = "gpu"
TARGETS = {RecallClass.HIGH: 0.992, RecallClass.FAST: 0.968}
"""Recall@10 wanted of a segment's sample, for the .99 and .97 that are meant. Rows walked to as if
they were not there are harder queries than others: with .968 of them .975 of 1,000 queries' ten
nearest of 100,000 are found."""
EXACT_ROWS = 50_000
"""Allowed rows of a narrow filter up to which class `high` finds all."""
_WIDE_SHARE = 0.45
"""Share of allowed rows from which a filter is not narrow."""
GRAPHS = frozenset({IndexKind.HNSW, IndexKind.HNSW_SQ8})
LISTS = frozenset({IndexKind.IVF_FLAT, IndexKind.IVF_SQ8, IndexKind.IVF_PQ, IndexKind.RABITQ})
COMPRESSED = frozenset({IndexKind.IVF_PQ, IndexKind.RABITQ})
CODED = frozenset({IndexKind.FLAT, IndexKind.HNSW_SQ8, IndexKind.IVF_SQ8})
"""Kinds that hold 8-bit codes."""
_HOP_NANOSECONDS = 6.0
"""Looking at one second neighbour that a filter stops."""
_GATED_STEPS, _GATED_STEPS_A_SHARE = 0.8, 3.9
"""Rows that a gated walk compares for each of an open one: 1.2 at 10 % allowed, 2.75 at 50 %, where
second neighbours are many and most were in sight anyway."""
_FOREIGN = 2
"""Lists visited for a query for each that a row of the segment needs: questions lie elsewhere than
passages do. Of SQuAD's, 6 of 38 lists find .952 and 12 .980, where rows find .993 by 6."""
FEW_ROWS = 5_000
"""Allowed rows up to which no lists are visited: all are compared in 50 µs, while a question that
lies between lists loses its answer (.015 of SQuAD's nDCG@10, with a third of the lists)."""
_DEFAULT_EFFORT = {RecallClass.HIGH: 192, RecallClass.FAST: 96}


@dataclass(frozen=True, slots=True)
class Costs:
    """Nanoseconds of what searches consist of."""

    row: float = 9.0
    """One row of 384 codes compared in a scan."""
    far_row: float = 13.0
    """The same when the rows do not fit the processor's cache."""
    step: float = 130.0
    """One row of 384 codes compared in a walk of a graph."""
    base: float = 4_000.0
    """One search, whatever it does."""


@dataclass(frozen=True, slots=True)
class Rung:
    """What an effort gave on the segment's sample."""

    effort: int
    recall: float
    """Recall@10."""
    compared: float
    """Rows compared for a query."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a planner knows of a segment."""

    kind: IndexKind
    rows: int
    width: int
    """Bytes of a row of codes."""
    lists: int = 0
    """Lists of an IVF kind."""
    ladder: tuple[Rung, ...] = ()
    """Efforts that were tried, ascending."""

    def effort(self, recall: RecallClass, count: int) -> int:
        """Returns the least effort that finds enough of the sample, for `count` rows."""
        found = self._least_effort(recall)
        if self.kind in GRAPHS:
            return max(found, found // 2 + 2 * count)
        found *= _FOREIGN
        return max(1, min(self.lists, found + (found * (count - 10)) // 100))

    def _least_effort(self, recall: RecallClass) -> int:
        target = TARGETS.get(recall, 1.0)
        before: Rung | None = None
        for rung in self.ladder:
            if rung.recall >= target:
                if before is None:
                    return rung.effort
                share = (target - before.recall) / (rung.recall - before.recall)
                return math.ceil(before.effort + share * (rung.effort - before.effort))
            before = rung
        return before.effort if before else _DEFAULT_EFFORT.get(recall, 256)

    def compared(self, effort: int) -> float:
        """Returns about how many rows a search of some effort compares."""
        if not self.ladder:
            return 1_800.0 * (effort / 128) ** 0.6
        nearest = min(self.ladder, key=lambda rung: abs(math.log(rung.effort / effort)))
        power = 0.65 if self.kind in GRAPHS else 1.0
        return nearest.compared * (effort / nearest.effort) ** power


@dataclass(frozen=True, slots=True)
class Plan:
    """How a segment is to be searched."""

    name: str
    why: str
    effort: int = 0
    """Rows kept in sight on a graph, lists visited of an IVF."""


def choose(profile: Profile, allowed: int, count: int, recall: RecallClass, costs: Costs) -> Plan:
    """Returns the cheapest plan that is good enough.

    Args:
        profile: The segment.
        allowed: How many of its rows may be returned.
        count: Rows wanted.
        recall: How much of the truth must be found.
        costs: What things cost here.
    """
    if allowed == 0:
        return Plan(SKIP, "nothing is allowed here")
    if recall == RecallClass.EXACT:
        return Plan(EXACT, "the recall class is exact")
    if profile.kind is IndexKind.FLAT:
        return Plan(EXACT, "the segment has no index")
    if allowed <= count:
        return Plan(EXACT, "no more rows are allowed than wanted")
    if profile.kind in GRAPHS:
        return _choose_graph(profile, allowed, count, recall, costs)
    return _choose_lists(profile, allowed, count, recall, costs)


def exact_cost(profile: Profile, allowed: int, costs: Costs) -> float:
    """Returns the nanoseconds of comparing all allowed rows."""
    share = profile.width / 384 * (1 if profile.kind in CODED else 3)
    return costs.base + allowed * share * (costs.row if allowed < 20_000 else costs.far_row)


def _choose_graph(
    profile: Profile, allowed: int, count: int, recall: RecallClass, costs: Costs
) -> Plan:
    share = allowed / profile.rows
    is_narrow = share < _WIDE_SHARE
    exact = exact_cost(profile, allowed, costs)
    if is_narrow and allowed <= EXACT_ROWS and recall == RecallClass.HIGH:
        return Plan(EXACT, f"{allowed} rows are allowed: few enough to compare all")
    step = costs.step * profile.width / 384 * (1 if profile.kind in CODED else 1.5)
    effort = profile.effort(recall, count)
    if is_narrow:
        # An open walk would keep little in sight that is allowed. A gated one may end on an
        # island far from the query (allowed rows that have nothing to do with it): with four
        # times the effort it finds .95 of those and .999 of others, so it must save much.
        narrow = effort * 4
        more = _GATED_STEPS + _GATED_STEPS_A_SHARE * share
        gated = costs.base + more * profile.compared(narrow) * (step + _HOP_NANOSECONDS / share)
        said = f"expected: exact {exact / 1e3:.0f} µs, filtered graph {gated / 1e3:.0f} µs"
        if exact <= 2 * gated:
            return Plan(EXACT, said)
        return Plan(FILTERED_GRAPH, said, narrow)
    # Of what is kept in sight only a share is allowed. Links lead to near rows of all kinds, so
    # somewhat less than the inverse share gives the same recall.
    wide = min(profile.rows, int(effort * share**-0.6))
    walked = costs.base + profile.compared(wide) * step
    said = f"expected: exact {exact / 1e3:.0f} µs, graph {walked / 1e3:.0f} µs"
    return Plan(EXACT, said) if exact <= walked else Plan(GRAPH, said, wide)


def _choose_lists(
    profile: Profile, allowed: int, count: int, recall: RecallClass, costs: Costs
) -> Plan:
    share = allowed / profile.rows
    exact = exact_cost(profile, allowed, costs)
    is_few = share < _WIDE_SHARE and allowed <= EXACT_ROWS and recall == RecallClass.HIGH
    if is_few or allowed <= FEW_ROWS:
        return Plan(EXACT, f"{allowed} rows are allowed: few enough to compare all")
    # Lists shrink with the filter: more of them for as many rows, but not for all of the effort.
    effort = min(profile.lists, math.ceil(profile.effort(recall, count) * share**-0.5))
    row = costs.far_row * profile.width / 384 * (1 if profile.kind in CODED else 3)
    visited = costs.base * 3 + profile.lists * 20 + profile.compared(effort) * share * row
    if exact <= visited:
        return Plan(EXACT, f"expected: exact {exact / 1e3:.0f} µs, lists {visited / 1e3:.0f} µs")
    return Plan(IVF, f"expected: lists {visited / 1e3:.0f} µs, exact {exact / 1e3:.0f} µs", effort)
