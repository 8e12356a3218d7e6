"""Engines against each other: queries per CPU second at a recall, in interleaved rounds."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.retrieval import cases
from benchmarks.retrieval.dataset import COUNT
from benchmarks.retrieval.workers import OURS, Worker, WorkerError, say

if TYPE_CHECKING:
    from benchmarks.retrieval.cases import Case
    from benchmarks.retrieval.dataset import Folder

_SETTINGS = {
    OURS: ("fast", "high"),
    "qdrant": ("48", "64", "128"),
    "faiss": ("64", "256", "flat"),
    "pgvector": ("64",),
    "chroma": ("",),
    "lancedb": ("20",),
}
"""What each system is tried with; ratios are taken against the fastest that passes the bar."""
_GRAPHS = {
    "qdrant": ("32", "48", "56", "64", "96", "128", "192"),
    "faiss": ("32", "48", "64", "96", "128", "256"),
}
"""Where graphs serve, more settings are tried, so that none is compared at too much effort."""
_EXACT = 0.9995
"""Recall that counts as 1: the tenth of two equal rows may be either."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    rounds: int
    queries: int
    """Queries of one system in one round."""
    budget_seconds: float
    """CPU seconds of one system in one round."""


QUICK = Effort(rounds=2, queries=100, budget_seconds=0.05)
FULL = Effort(rounds=7, queries=300, budget_seconds=0.12)


@dataclass(slots=True)
class _Tally:
    """What one system did in one setting."""

    speeds: list[float] = field(default_factory=list)
    found: list[list[int]] = field(default_factory=list)
    wanted: list[list[int]] = field(default_factory=list)

    @property
    def speed(self) -> float:
        return statistics.median(self.speeds)


def compare(
    workers: Mapping[str, Worker], folder: Folder, wanted: Sequence[Case], effort: Effort, seed: int
) -> Iterator[dict[str, Any]]:
    """Yields rows: every setting of every system, with ratios against each peer's best.

    Args:
        workers: Systems, open and pinned to one core.
        folder: Data.
        wanted: Cases.
        effort: How long to measure.
        seed: Seed of the order inside a round.
    """
    tallies: dict[str, dict[tuple[str, str], _Tally]] = {}
    for case in wanted:
        label = cases.label(case) if case.is_filtered else ""
        if label not in tallies:
            tallies[label] = _measure(workers, folder, label, effort, seed)
        yield from _rows(case, folder.rows, tallies[label])


def _measure(
    workers: Mapping[str, Worker], folder: Folder, label: str, effort: Effort, seed: int
) -> dict[tuple[str, str], _Tally]:
    """Runs all systems in turns, in another order each round."""
    is_wide = label in {"", cases.label(cases.HALF)}
    settings = _SETTINGS | _GRAPHS if is_wide else _SETTINGS
    order = [(name, setting) for name in workers for setting in settings[name]]
    tallies = {pair: _Tally() for pair in order}
    shuffle = random.Random(seed).shuffle
    truth = folder.truths[label]
    for number in range(effort.rounds):
        shuffle(order)
        first = number * effort.queries % folder.queries
        last = min(first + effort.queries, folder.queries)
        for name, setting in order:
            tally = tallies[name, setting]
            try:
                answer = workers[name].ask(
                    "run", case=label, setting=setting, first=first, last=last, count=COUNT,
                    budget_seconds=effort.budget_seconds,
                )  # fmt: skip
            except WorkerError as error:
                say(f"{label or 'no filter'}: {error}")
                continue
            found = answer["found"]
            tally.speeds.append(len(found) / max(answer["cpu_seconds"], 1e-6))
            tally.found += found
            tally.wanted += truth[first : first + len(found)].tolist()
    return {pair: tally for pair, tally in tallies.items() if tally.speeds}


def _rows(
    case: Case, rows: int, tallies: Mapping[tuple[str, str], _Tally]
) -> Iterator[dict[str, Any]]:
    bar = min(case.bar(rows), _EXACT)
    recalls = {pair: _recall(tally) for pair, tally in tallies.items()}
    best = {
        name: pair
        for name in {name for name, _ in tallies}
        if (pair := _best(name, tallies, recalls, bar if name == OURS else case.recall)) is not None
    }
    ours = best.get(OURS)
    for pair, tally in tallies.items():
        name, setting = pair
        row: dict[str, Any] = {
            "case": f"{case.name}, {rows} rows",
            "system": f"{name} {setting}".strip(),
            "metric": "queries_per_cpu_second",
            "value": round(tally.speed, 1),
            "recall": round(recalls[pair], 4),
        }
        if ours is None or pair != best.get(name):
            yield row
            continue
        if name == OURS:
            yield row | {"bar_recall": bar}
            continue
        yield row
        ratios = [
            mine / theirs for mine, theirs in zip(tallies[ours].speeds, tally.speeds, strict=False)
        ]
        comparison = {
            "case": row["case"],
            "system": f"{OURS} {ours[1]}",
            "metric": "queries_per_cpu_second",
            "value": round(tallies[ours].speed, 1),
            "recall": round(recalls[ours], 4),
            "ratio": round(statistics.median(ratios), 2),
            "against": row["system"],
            "against_recall": row["recall"],
            "least_ratio": round(min(ratios), 2),
        }
        if name == "qdrant":
            has_passed = comparison["ratio"] >= case.ratio and recalls[ours] >= bar
            comparison |= {"bar_recall": bar, "bar_ratio": case.ratio, "passed": has_passed}
        yield comparison


def _best(
    name: str,
    tallies: Mapping[tuple[str, str], _Tally],
    recalls: Mapping[tuple[str, str], float],
    bar: float,
) -> tuple[str, str] | None:
    """Returns a system's fastest setting that passes the bar; else the one of most recall."""
    pairs = [pair for pair in tallies if pair[0] == name]
    passing = [pair for pair in pairs if recalls[pair] >= bar]
    if passing:
        return max(passing, key=lambda pair: tallies[pair].speed)
    return max(pairs, key=lambda pair: recalls[pair], default=None)


def _recall(tally: _Tally) -> float:
    shares = []
    for found, wanted in zip(tally.found, tally.wanted, strict=True):
        real = {row for row in wanted if row >= 0}
        shares.append(len(real.intersection(found)) / len(real) if real else 1.0)
    return statistics.fmean(shares) if shares else 0.0
