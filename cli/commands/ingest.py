"""`cairn ingest`: files and folders become documents of a collection."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from cli.connection import find_gateway
from cli.documents_to_ingest import SourceFile, find_files, parse_metadata
from cli.errors import CliError
from cli.gateway_client import GatewayClient
from cli.ingestion import IngestOptions, Outcome
from cli.ingestion import ingest as ingest_files
from cli.options import DEFAULT_DATA_DIR, Collection, DataDir
from cli.terminal import err, out, plain, styled, write_json


def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    acl: Annotated[
        list[str] | None,
        typer.Option(help="Principal who may read the documents; repeat for more."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="key=value for every document; repeat for more.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one object with every file's outcome.")
    ] = False,
) -> None:
    """Brings documents in and waits until they can be searched. Exits with 1 if any failed."""
    options = IngestOptions(
        collection=collection, metadata=parse_metadata(metadata or []), acl=acl or []
    )
    files, skipped_count = find_files(paths)
    if not files:
        raise CliError(
            f"no document in {', '.join(str(path) for path in paths)}",
            f"{skipped_count} files of other types were passed over; name a file to send it anyway",
        )
    gateway = GatewayClient(find_gateway(data_dir))
    outcomes = asyncio.run(_ingest(gateway, files, options))
    if as_json:
        write_json(json.dumps({"files": [asdict(outcome) for outcome in outcomes]}, indent=2))
    else:
        show_summary(out, outcomes, skipped_count)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise typer.Exit(1)


async def _ingest(
    gateway: GatewayClient, files: Sequence[SourceFile], options: IngestOptions
) -> list[Outcome]:
    async with gateway:
        return await ingest_with_bar(err, gateway, files, options)


async def ingest_with_bar(
    console: Console, gateway: GatewayClient, files: Sequence[SourceFile], options: IngestOptions
) -> list[Outcome]:
    """Ingests with a progress bar; failures show at once."""
    with Progress(
        TextColumn("Ingesting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[last]}"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        task = progress.add_task("", total=len(files), last="")
        return await ingest_files(gateway, files, options, _reporter(progress, task))


def _reporter(progress: Progress, task: TaskID) -> Callable[[Outcome], None]:
    def report(outcome: Outcome) -> None:
        if outcome.state == "failed":
            progress.console.print(styled(f"failed: {outcome.uri}: {outcome.reason}", "red"))
        for warning in (outcome.document or {}).get("warnings", []):
            progress.console.print(styled(f"{outcome.uri}: {warning}", "yellow"))
        progress.update(task, advance=1, last=plain(outcome.uri).replace("[", r"\["))

    return report


def show_summary(console: Console, outcomes: Sequence[Outcome], skipped_count: int) -> None:
    """Writes one line that says what became of all files."""
    counts = Counter(outcome.state for outcome in outcomes)
    chunk_count = sum((outcome.document or {}).get("chunk_count", 0) for outcome in outcomes)
    states = [state for state in ("ready", "unchanged", "failed") if counts[state]]
    parts = [f"{counts[state]} {state}" for state in states]
    if skipped_count:
        parts.append(f"{skipped_count} of other types passed over")
    console.print(f"{len(outcomes)} files: {', '.join(parts)}; {chunk_count} chunks")
