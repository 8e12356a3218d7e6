"""Questions over a few contexts, asked for by Zipf's law, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services.gateway.clients.generation_client import GenerationClient
from services.gateway.passages import Passage, ScoredPassage, Scores
from services.gateway.pipeline.ports import Finished, Prompt
from services.rpc.errors import ServiceError
from services.rpc.placement import Placed, Placement
from services.rpc.replicas import Replicas
from services.rpc.scope import Scope

CONTEXTS = 20
CONTEXT_TOKENS = 800
AT_ONCE = 4
_SECONDS = 60.0
_WORDS = re.findall(
    r"\w+",
    "the passages answer question with numbers in brackets after each part an index is view over "
    "stored rows it can be thrown away and built again from truth every request has one deadline",
)
_CHARACTERS_PER_TOKEN = 5.4
"""Of the tiny model's tokenizer and these words."""


class ByTurns(Placement):
    """Gives each request to the next replica."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = itertools.count()

    def place(self, key: bytes | None, tokens: float, usable: Iterable[str]) -> Placed | None:  # type: ignore[override]
        """Takes the next one."""
        replicas = sorted(usable)
        if not replicas:
            return None
        return super().place(None, tokens, [replicas[next(self._turn) % len(replicas)]])


@dataclass(frozen=True, slots=True)
class Asked:
    """What one question used."""

    prompt_tokens: int
    cached_tokens: int


class Questions:
    """Contexts of about the same length, and questions over them.

    Args:
        seed: Of texts and order.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.contexts = [self._text() for _ in range(CONTEXTS)]
        self._weights = [1 / (1 + rank) for rank in range(CONTEXTS)]

    def draw(self, count: int) -> list[int]:
        """Returns so many numbers of contexts."""
        return self._random.choices(range(CONTEXTS), self._weights, k=count)

    def prompt(self, context: int) -> Prompt:
        """Returns a question over a context."""
        text = self.contexts[context]
        name = f"doc-{context}"
        passage = Passage(
            chunk_id=f"{name}-0",
            document_id=name,
            document_version=1,
            collection="default",
            ordinal=0,
            start=0,
            end=len(text),
            text=text,
            uri=name,
        )
        return Prompt(
            query=" ".join(self._random.choices(_WORDS, k=3)),
            history=(),
            instructions="",
            passages=(ScoredPassage(passage, Scores(fused=1.0, final=1.0)),),
            model="",
            max_tokens=4,
            temperature=0.0,
            request_id="",
            is_live=False,
        )

    def _text(self) -> str:
        words: list[str] = []
        size = 0
        while size < CONTEXT_TOKENS * _CHARACTERS_PER_TOKEN:
            words.append(self._random.choice(_WORDS))
            size += len(words[-1]) + 1
        return " ".join(words)


@dataclass(slots=True)
class Run:
    """What became of a run."""

    asked: list[Asked | None]
    """In the order of asking; None: failed."""
    per_replica: Counter[str]

    @property
    def failed(self) -> int:
        """Questions without an answer."""
        return sum(each is None for each in self.asked)

    def uncached(self, part: slice = slice(None)) -> int:
        """Prompt tokens that no cache had."""
        return sum(a.prompt_tokens - a.cached_tokens for a in self.asked[part] if a is not None)

    def most_to_mean(self) -> float:
        """Requests of the busiest replica to those of a replica on average."""
        counts = self.per_replica.values()
        return max(counts) * len(counts) / sum(counts)


async def ask_all(
    client: GenerationClient,
    replicas: Replicas,
    questions: Questions,
    order: Sequence[int],
    tenant: str,
    *,
    on_start: Callable[[int], None] = lambda _: None,
) -> Run:
    """Asks in order, a few at once.

    Args:
        client: Asks.
        replicas: Where it does, for the count.
        questions: What.
        order: Contexts.
        tenant: Asks for it; each has a cache of its own.
        on_start: Told the number of each question before it is asked.
    """
    scope = Scope(tenant, ("everyone",), "benchmark")
    numbers = iter(range(len(order)))
    run = Run([None] * len(order), Counter(dict.fromkeys(replicas.addresses, 0)))
    visited = replicas.visit

    def counting_visit(*args: object, **kwargs: object) -> object:
        manager = visited(*args, **kwargs)  # type: ignore[arg-type]

        @contextlib.contextmanager
        def counted():  # noqa: ANN202 - as visit
            with manager as visit:
                run.per_replica[visit.address] += 1
                yield visit

        return counted()

    async def ask_some() -> None:
        for number in numbers:
            on_start(number)
            with contextlib.suppress(ServiceError):
                async for event in client.generate(
                    scope, questions.prompt(order[number]), _SECONDS
                ):
                    if isinstance(event, Finished):
                        used = event.usage
                        run.asked[number] = Asked(used.prompt_tokens, used.cached_prompt_tokens)

    replicas.visit = counting_visit  # type: ignore[method-assign]
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(ask_some())
    finally:
        replicas.visit = visited  # type: ignore[method-assign]
    return run
