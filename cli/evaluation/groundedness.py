"""Answers that people judged: how well the gateway's check of an answer follows them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CliError
from cli.evaluation import metrics
from cli.evaluation.dataset import lines_of
from cli.evaluation.loading import each_of, retried

if TYPE_CHECKING:
    from cli.gateway_client import GatewayClient

FILE = "responses.jsonl"
_AT_ONCE = 2
FAITHFUL = 2.5
"""Mean score, 1..4, from which people hold an answer to be faithful: the middle of their scale."""


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """A line of `responses.jsonl`."""

    number: int
    answer: str
    contexts: tuple[str, ...]
    faithfulness: float
    """Mean over the people who judged it, 1..4."""


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """What the gateway says of an answer."""

    judged: JudgedAnswer
    grounded: float
    degraded: tuple[str, ...]


def has_judged_answers(folder: Path) -> bool:
    """Whether the folder holds answers with judgements instead of a corpus with queries."""
    return (folder / FILE).is_file()


def read_judged_answers(folder: Path) -> list[JudgedAnswer]:
    """Reads `responses.jsonl`: `response`, `contexts` and `human.faithfulness`, scores 1..4.

    Raises:
        CliError: the file or a line of it is wrong.
    """
    path = folder / FILE
    found: list[JudgedAnswer] = []
    for line in lines_of(path):
        content = line.content
        try:
            scores = [float(score) for score in content["human"]["faithfulness"]]
            contexts = tuple(str(context) for context in content["contexts"])
            answer = str(content["response"])
        except (ValueError, KeyError, TypeError) as error:
            raise CliError(
                f"{path}, line {line.number}: {error}",
                "a line needs response, contexts and human.faithfulness, a list of scores",
            ) from None
        if answer.strip() and scores:
            found.append(JudgedAnswer(line.number, answer, contexts, sum(scores) / len(scores)))
    if not found:
        raise CliError(f"{path} has no judged answer")
    return found


async def check(gateway: GatewayClient, judged: JudgedAnswer) -> CheckedAnswer:
    """Asks the gateway how well an answer's contexts carry it."""
    body = {"answer": judged.answer, "sources": list(judged.contexts)}
    content = (await retried(lambda: gateway.post("/v1/verify", body))).content
    return CheckedAnswer(judged, content["grounded"], tuple(content["degraded"]))


async def check_all(
    gateway: GatewayClient,
    judged: Sequence[JudgedAnswer],
    on_done: Callable[[CheckedAnswer], object],
) -> list[CheckedAnswer]:
    """Checks every answer, in order.

    Raises:
        CliError: the gateway refuses one, or does not answer.
    """
    async with gateway:
        return await each_of(judged, lambda each: check(gateway, each), _AT_ONCE, on_done)


def figures(checked: Sequence[CheckedAnswer]) -> dict[str, float | int | None]:
    """Returns how the check follows people."""
    grounded = [each.grounded for each in checked]
    faithful = [each.judged.faithfulness for each in checked]
    good = [score for score, judged in zip(grounded, faithful, strict=True) if judged >= FAITHFUL]
    bad = [score for score, judged in zip(grounded, faithful, strict=True) if judged < FAITHFUL]
    return {
        "auroc": metrics.auroc(good, bad),
        "spearman": metrics.spearman(grounded, faithful),
        "grounded_faithful": metrics.mean(good),
        "grounded_unfaithful": metrics.mean(bad),
        "faithful": len(good),
        "unfaithful": len(bad),
    }


def run_lines(checked: Sequence[CheckedAnswer]) -> list[str]:
    """Returns a JSON object per answer, for others to score."""
    rows: list[dict[str, Any]] = [
        {
            "line": each.judged.number,
            "grounded": each.grounded,
            "faithfulness": round(each.judged.faithfulness, 4),
        }
        for each in checked
    ]
    return [json.dumps(row) for row in rows]
