"""What is asked of each system and what it did, as values that cross processes as JSON."""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SYSTEM_TEXT = "You are a helpful assistant. If you do not know something, say so."
"""The system turn of our own template chat@1, so that all systems read the same prompt."""
_WORDS = [
    "index",
    "view",
    "row",
    "truth",
    "passage",
    "answer",
    "number",
    "bracket",
    "request",
    "deadline",
    "work",
    "service",
    "reason",
    "time",
    "document",
    "search",
    "read",
    "decided",
    "checked",
    "stored",
    "built",
    "again",
    "thrown",
    "cancel",
    "everywhere",
    "said",
    "part",
]


@dataclass(frozen=True, slots=True)
class Workload:
    """Questions, so many at once, each answered with the same number of tokens."""

    questions: tuple[str, ...]
    concurrency: int
    max_tokens: int
    token_ids: tuple[tuple[int, ...], ...] = ()
    """The prompts as tokens, for systems that take no text."""

    def as_json(self) -> dict[str, Any]:
        """Returns the value for `from_json`."""
        return asdict(self)

    @staticmethod
    def from_json(value: dict[str, Any]) -> Workload:
        """Reads `as_json`."""
        return Workload(
            tuple(value["questions"]),
            value["concurrency"],
            value["max_tokens"],
            tuple(tuple(each) for each in value["token_ids"]),
        )


@dataclass(slots=True)
class Result:
    """What a system did with a workload."""

    tokens: int = 0
    seconds: float = 0.0
    first_text_seconds: list[float] = field(default_factory=list)
    messages: int = 0
    """Pieces in which the texts came."""


def questions(count: int, words: int, seed: int) -> tuple[str, ...]:
    """Returns questions that share no beginning."""
    source = random.Random(seed)
    return tuple(
        " ".join([str(source.randrange(10**6)), *source.choices(_WORDS, k=words)])
        for _ in range(count)
    )


Ask = Callable[[int], AsyncIterator[int]]
"""Asks the question of that number; yields, per piece of the answer, the tokens known by then."""


async def run(workload: Workload, ask: Ask) -> Result:
    """Asks all questions, `concurrency` at once, the next one as soon as one is answered."""
    result = Result()
    numbers = iter(range(len(workload.questions)))

    async def work() -> None:
        for number in numbers:
            began = time.perf_counter()
            tokens = 0
            is_first = True
            async for tokens in ask(number):  # noqa: B007 - the last one is the sum
                result.messages += 1
                if is_first:
                    result.first_text_seconds.append(time.perf_counter() - began)
                    is_first = False
            result.tokens += tokens

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(workload.concurrency)))
    result.seconds = time.perf_counter() - began
    return result


def median(values: Sequence[float]) -> float:
    """Returns the middle one, or what lies between the two in the middle."""
    return statistics.median(values) if values else 0.0
