"""Throughput, time to the first text and CPU of the front processes, in turns."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.generation.systems import Bare, Setup, System, bare, served
from benchmarks.generation.workload import Workload, median, questions

_WORDS = 40
_SETTLING = 16
"""Lone requests of each system that do not count: a caller that has just started is slow itself."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    concurrency: tuple[int, ...]
    requests_per_stream: int
    max_tokens: int
    lone_requests: int
    """Requests one after the other, for the time to the first text."""
    rounds: int


@dataclass(slots=True)
class _Turn:
    """What a system did in one turn."""

    tokens_per_second: float = 0.0
    front_ms_per_1k: float = 0.0
    engine_ms_per_1k: float = 0.0
    first_text_ms: float = 0.0
    tokens_per_message: float = 0.0
    tokens: int = 0


@dataclass(slots=True)
class _Table:
    turns: dict[tuple[str, str], list[_Turn]] = field(default_factory=dict)

    def note(self, case: str, system: str, turn: _Turn) -> None:
        self.turns.setdefault((case, system), []).append(turn)

    def middle(self, case: str, system: str, metric: str) -> float:
        return median([getattr(turn, metric) for turn in self.turns[case, system]])


async def compare(
    setup: Setup, model: str, plan: Plan, seed: int, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Returns rows for one model.

    Args:
        setup: What the systems have in common.
        model: Its name, for the rows.
        plan: How much is asked.
        seed: Of the questions.
        names: Of the systems beside the engine alone.
    """
    async with _systems(setup, names) as (systems, alone):
        table = _Table()
        await _warm(systems, alone, seed)
        for turn in range(plan.rounds):
            for concurrency in (1, *plan.concurrency):
                many = plan.lone_requests if concurrency == 1 else plan.requests_per_stream
                asked = questions(concurrency * many, _WORDS, seed + 1000 * turn + concurrency)
                limit = 8 if concurrency == 1 else plan.max_tokens
                ids = await alone.encode(asked)
                workload = Workload(asked, concurrency, limit, tuple(map(tuple, ids)))
                case = f"{model}_{concurrency}_at_once"
                # Each system begins a round once: what the machine does meanwhile is spread.
                order = systems[turn % len(systems) :] + systems[: turn % len(systems)]
                for system in order:
                    table.note(case, system.name, await _turn(system, workload))
                    _say(case, system.name, table.turns[case, system.name][-1])
        return list(_rows(table, [each.name for each in systems]))


@contextlib.asynccontextmanager
async def _systems(setup: Setup, names: Sequence[str]) -> AsyncIterator[tuple[list[System], Bare]]:
    async with contextlib.AsyncExitStack() as stack:
        # Loading takes each of them half a minute: side by side they take less.
        (first, alone), others = await asyncio.gather(
            stack.enter_async_context(bare(setup)),
            asyncio.gather(*(stack.enter_async_context(served(setup, each)) for each in names)),
        )
        yield [first, *others], alone


async def _warm(systems: Sequence[System], alone: Bare, seed: int) -> None:
    asked = questions(32, _WORDS, seed - 1)
    ids = await alone.encode(asked)
    for system in systems:
        await system.measure(Workload(asked, 16, 16, tuple(map(tuple, ids))))


async def _turn(system: System, workload: Workload) -> _Turn:
    front, engine = system.front_seconds(), system.engine_seconds()
    result = await system.measure(workload)
    per_1k = 1e6 / max(1, result.tokens)
    settled = _SETTLING if workload.concurrency == 1 else 0
    return _Turn(
        result.tokens / result.seconds,
        (system.front_seconds() - front) * per_1k,
        (system.engine_seconds() - engine) * per_1k,
        1000 * median(result.first_text_seconds[settled:]),
        result.tokens / max(1, result.messages),
        result.tokens,
    )


def _say(case: str, system: str, turn: _Turn) -> None:
    print(
        f"{case:18} {system:12} {turn.tokens_per_second:8.1f} tokens/s, front "
        f"{turn.front_ms_per_1k:6.1f} ms/1k, engine {turn.engine_ms_per_1k:7.0f} ms/1k, first text "
        f"{turn.first_text_ms:7.1f} ms, {turn.tokens_per_message:4.1f} tokens/message",
        file=sys.stderr,
    )


def _rows(table: _Table, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    cases = dict.fromkeys(case for case, _ in table.turns)
    for case in cases:
        alone = case.endswith("_1_at_once")
        metrics = (
            ["first_text_ms"]
            if alone
            else [
                "tokens_per_second",
                "first_text_ms",
                "front_ms_per_1k",
                "engine_ms_per_1k",
                "tokens_per_message",
            ]
        )
        for metric in metrics:
            for name in names:
                value = table.middle(case, name, metric)
                row = {"case": case, "system": name, "metric": metric, "value": round(value, 2)}
                yield row | _compared(table, case, name, metric, names)


def _compared(
    table: _Table, case: str, name: str, metric: str, names: Sequence[str]
) -> dict[str, Any]:
    """Returns the ratio that counts: speed against the engine alone, CPU against vLLM's fronts."""
    if metric.startswith("front"):
        against = "vllm gRPC" if "vllm gRPC" in names else "vllm HTTP"
    else:
        against = "AsyncLLM"
    if name == against or against not in names or metric == "tokens_per_message":
        return {}
    ours = table.turns[case, name]
    theirs = table.turns[case, against]
    # Turn by turn, because the machine's own speed changes more between turns than within one.
    ratios = [
        getattr(a, metric) / getattr(b, metric)
        for a, b in zip(ours, theirs, strict=True)
        if getattr(b, metric)
    ]
    more = {"ratio": round(median(ratios), 3), "against": against} if ratios else {}
    if metric == "first_text_ms":
        gaps = [a.first_text_ms - b.first_text_ms for a, b in zip(ours, theirs, strict=True)]
        more["difference_ms"] = round(median(gaps), 2)
    return more
