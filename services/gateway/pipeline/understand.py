"""What is asked, seen with the turns before it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from services.gateway.pipeline.ports import WeightedQuery
from services.gateway.pipeline.rewrite import WEIGHT
from services.gateway.requests import Speaker
from services.languages.telling import language_of_question
from services.rpc.instruments import Counter
from services.rpc.metrics import series

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.pipeline.rewrite import Rewrite
    from services.gateway.pipeline.run import Run
    from services.gateway.requests import Turn

LAST_TURN_WEIGHT = 0.7
"""Weight of the last turn alone; the rest goes to the previous and the last turn together. Measured
on multi-turn questions: nDCG@10 .764 against .742 for the last turn alone and .517 for the whole
history in one text."""

MAX_JOINED_CHARACTERS = 8_000

_QUERIES = Counter(
    "cairn_gateway_queries_total", "Questions and searches understood, by language.", ["language"]
)


class Understand:
    """Makes readings of the question out of it and its history.

    Args:
        rewrite: Says the question anew, for one more reading; None: nothing does.
    """

    name = "understand"

    def __init__(self, rewrite: Rewrite | None = None) -> None:
        self._rewrite = rewrite

    async def run(
        self, run: Run, query: str, history: Sequence[Turn] = (), *, may_rewrite: bool = False
    ) -> tuple[WeightedQuery, ...]:
        """Returns readings with their weights: first what was asked itself, never left out.

        Args:
            run: The request; told what was understood.
            query: What is asked.
            history: Turns before it, oldest first.
            may_rewrite: Whether there is time for a model to say it anew.
        """
        async with run.stage(self.name) as stage:
            language = language_of_question(query)
            stage.set_attribute("cairn.query.language", language or "unknown")
            series(_QUERIES, language or "unknown").inc()
            run.notes.append(f"language: {language or 'unknown'}")
            readings = _readings(query, history)
        if self._rewrite is not None and may_rewrite:
            rewritten = await self._rewrite.run(run, query, history)
            if rewritten:
                run.notes.append(f"rewritten: {rewritten}")
                kept = [replace(each, weight=each.weight * (1 - WEIGHT)) for each in readings]
                readings = (*kept, WeightedQuery(rewritten, WEIGHT))
        return readings


def _readings(query: str, history: Sequence[Turn]) -> tuple[WeightedQuery, ...]:
    previous = next(
        (
            turn.text
            for turn in reversed(history)
            if turn.speaker is Speaker.USER and turn.text.strip()
        ),
        "",
    )
    if not previous:
        return (WeightedQuery(query, 1.0),)
    room = max(0, MAX_JOINED_CHARACTERS - len(query) - 1)
    return (
        WeightedQuery(query, LAST_TURN_WEIGHT),
        WeightedQuery(f"{previous[:room]} {query}", 1.0 - LAST_TURN_WEIGHT),
    )
