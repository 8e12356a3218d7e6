"""`cairn collections calibrate`: from which support on a collection's questions are answered."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from cli.commands.collections import Name
from cli.connection import find_gateway
from cli.errors import CliError
from cli.evaluation import metrics
from cli.evaluation.dataset import sample
from cli.evaluation.loading import each_of, retried
from cli.evaluation.off_topic import OFF_TOPIC
from cli.gateway_client import GatewayClient
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, styled, write_json

_AT_ONCE = 2
"""Questions at once. Few: an answer that had too little time says less than it could."""

_ATTEMPTS = 3
_FALLBACK = "generation_fallback"
"""Degradation: support means something else than in the answers that the threshold is for."""

_LEAST_QUESTIONS = 20
"""Fewer say nothing about one in twenty."""


def calibrate(
    name: Name,
    *,
    questions: Annotated[
        Path,
        typer.Option(help="Questions it answers: queries.jsonl (text, answerable), or one a line."),
    ],
    off_topic: Annotated[
        list[Path] | None,
        typer.Option(help="Questions about other things, likewise; none: a list of our own."),
    ] = None,
    false_refusals: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of good questions that may be refused.")
    ] = 0.05,
    limit: Annotated[int, typer.Option(min=_LEAST_QUESTIONS, help="Questions of each kind.")] = 200,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell the figures only.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Finds the support below which answers of a collection become refusals, and keeps it.

    Half of the questions find the threshold, the other half say what it does.
    """
    own = sample(read_questions(questions), limit)
    if len(own) < _LEAST_QUESTIONS:
        raise CliError(f"{questions} has {len(own)} questions", f"give {_LEAST_QUESTIONS} or more")
    files = off_topic or []
    others = [text for file in files for text in read_questions(file)] if files else [*OFF_TOPIC]
    others = sample(others, limit)
    gateway = GatewayClient(find_gateway(data_dir))
    found = asyncio.run(_calibrate(gateway, name, own, others, false_refusals, dry_run=dry_run))
    if as_json:
        write_json(json.dumps(found))
        return
    for key, value in found.items():
        shown = "–" if value is None else f"{value:.4f}" if isinstance(value, float) else f"{value}"
        out.print(styled(f"{key:24} {shown}"))


def read_questions(path: Path) -> list[str]:
    """Returns the questions of a file: JSON lines with `text`, or plain lines.

    Those that are known to have no answer (`answerable: false`) are left out.

    Raises:
        CliError: the file cannot be read, or a line of JSON has no text.
    """
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read: {error}") from None
    found: list[str] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            try:
                content = json.loads(text)
                if content.get("answerable") is False:
                    continue
                text = str(content["text"]).strip()
            except (ValueError, KeyError):
                raise CliError(f"{path}, line {number}: must be JSON with text") from None
        found.append(text)
    return found


async def _calibrate(
    gateway: GatewayClient,
    name: str,
    own: Sequence[str],
    others: Sequence[str],
    false_refusals: float,
    *,
    dry_run: bool,
) -> dict[str, Any]:
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=err
    ) as progress:
        task = progress.add_task("Asking", total=len(own) + len(others))
        async with gateway:
            both = await each_of(
                [*own, *others],
                lambda question: _support(gateway, name, question),
                _AT_ONCE,
                lambda _: progress.advance(task),
            )
            figures = threshold(both[: len(own)], both[len(own) :], false_refusals)
            if not dry_run:
                path = f"/v1/collections/{quote(name, safe='')}/calibration"
                await gateway.put(path, figures)
    return {"collection": name, **figures, "kept": not dry_run}


async def _support(gateway: GatewayClient, name: str, question: str) -> float:
    """Returns how well the collection answers a question, 0..1; 0 when nothing was found."""
    body = {"query": question, "collection": name, "bypass_cache": True}
    content: dict[str, Any] = {}
    for _ in range(_ATTEMPTS):
        content = (await retried(lambda: gateway.post("/v1/query", body))).content
        if not content["degraded"]:
            break
    if not content["passages"]:
        return 0.0
    if _FALLBACK in content["degraded"]:
        raise CliError(
            f"engine {content['engine']!r} stood in for another one, or had no vectors to go by",
            "thresholds hold for the usual way; calibrate when `cairn status` shows all as ready",
        )
    if content["support"] is None:
        raise CliError(
            f"engine {content['engine']!r} does not say how well it answers",
            "thresholds are for the extractive engine; a language model refuses by its prompt",
        )
    return content["support"]


def threshold(
    own: Sequence[float], others: Sequence[float], false_refusals: float
) -> dict[str, Any]:
    """Returns the least support of an answer, with what it does to questions it was not found from.

    As high as the share of false refusals allows, and from there half of the way down to the next
    question about other things: of few questions the lowest one is found by chance, and where both
    kinds lie far apart nothing is won by a threshold close to either.

    Args:
        own: Support of questions that the collection answers.
        others: Support of questions about other things.
        false_refusals: Share of `own` that may be refused.
    """
    # Cut, and cut before its rates are told: what is kept refuses no more than it may.
    most = metrics.quantile(own[::2], false_refusals)
    refused = [score for score in others[::2] if score < most]
    least = math.floor((most + max(refused, default=most)) / 2 * 1e4) / 1e4
    held_out, foreign = own[1::2], others[1::2]
    return {
        "min_support": least,
        "question_count": len(own),
        "off_topic_count": len(others),
        "false_refusal_rate": metrics.mean([float(score < least) for score in held_out]) or 0.0,
        "off_topic_refusal_rate": metrics.mean([float(score < least) for score in foreign]),
        "auroc": metrics.auroc(own, others),
    }
