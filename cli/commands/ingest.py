"""`cairn ingest`: files, folders, web addresses and sources become documents of a collection."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Console

from cli.connection import find_gateway
from cli.documents_to_ingest import SourceFile, find_files, parse_metadata
from cli.errors import CliError
from cli.gateway_client import GatewayClient, GatewayError
from cli.ingest_view import IngestView, summary
from cli.ingestion import IngestOptions, Outcome, fetch
from cli.ingestion import ingest as ingest_files
from cli.options import DEFAULT_DATA_DIR, Collection, DataDir
from cli.sources_to_sync import synchronise
from cli.terminal import err, out, styled, write_json
from cli.watched_files import WatchedFiles

_INTERRUPTED = 130
_WATCH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be brought in."""

    paths: Sequence[Path]
    urls: Sequence[str]
    sources: Sequence[str]
    options: IngestOptions
    is_watching: bool
    deletes_removed: bool
    as_json: bool


def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(help="Files and folders.")] = None,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    url: Annotated[
        list[str] | None,
        typer.Option("--url", help="Web address that the service fetches; repeat for more."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--source", help="Source of the service to go through; repeat for more."),
    ] = None,
    acl: Annotated[
        list[str] | None,
        typer.Option(help="Principal who may read the documents; repeat for more."),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(help="key=value for every document; repeat for more.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow the files and folders until stopped.")
    ] = False,
    delete_removed: Annotated[
        bool,
        typer.Option("--delete-removed", help="With --watch: delete documents of removed files."),
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print one object with every outcome; with --watch, one line per outcome.",
        ),
    ] = False,
) -> None:
    """Brings documents in and waits until they can be searched. Exits with 1 if any failed."""
    options = IngestOptions(
        collection=collection, metadata=parse_metadata(metadata or []), acl=acl or []
    )
    work = _Work(paths or [], url or [], source or [], options, watch, delete_removed, as_json)
    if not (work.paths or work.urls or work.sources):
        raise CliError("there is nothing to ingest", "name files or folders, --url or --source")
    if watch and not work.paths:
        raise CliError(
            "--watch follows files and folders; there are none",
            "a source of the service follows by itself: give it a sync interval",
        )
    if delete_removed and not watch:
        raise CliError("--delete-removed goes with --watch")
    files, skipped_count = find_files(work.paths)
    if not (files or work.urls or work.sources or watch):
        raise CliError(
            f"no document in {', '.join(str(path) for path in work.paths)}",
            f"{skipped_count} files of other types were passed over; name a file to send it anyway",
        )
    gateway = GatewayClient(find_gateway(data_dir))
    outcomes, was_interrupted = _run(gateway, files, work)
    if as_json:
        if not watch:
            write_json(json.dumps({"files": [asdict(outcome) for outcome in outcomes]}, indent=2))
    else:
        show_summary(out, outcomes, skipped_count)
    if was_interrupted and not watch:
        err.print(
            styled("interrupted: what was sent goes on; `cairn documents list` shows it", "yellow")
        )
        raise typer.Exit(_INTERRUPTED)
    if any(outcome.state == "failed" for outcome in outcomes):
        raise typer.Exit(1)


def _run(
    gateway: GatewayClient, files: Sequence[SourceFile], work: _Work
) -> tuple[list[Outcome], bool]:
    """Does the work; returns what became of it, and whether it was interrupted."""
    outcomes: list[Outcome] = []
    total = len(files) + len(work.urls) + len(work.sources)

    async def run() -> bool:
        with IngestView(err, total) as view:

            def report(outcome: Outcome) -> None:
                outcomes.append(outcome)
                view.on_outcome(outcome)
                if work.as_json and work.is_watching:
                    write_json(json.dumps(asdict(outcome)))

            async with gateway:
                task = asyncio.ensure_future(_work(gateway, files, work, view, report))
                with _stopping(task):
                    try:
                        await task
                    except asyncio.CancelledError:
                        return True
            return False

    return outcomes, asyncio.run(run())


@contextlib.contextmanager
def _stopping(task: "asyncio.Future[None]") -> Iterator[None]:
    """Ends the task at Ctrl-C and when the process is told to end."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _work(
    gateway: GatewayClient,
    files: Sequence[SourceFile],
    work: _Work,
    view: IngestView,
    report: Callable[[Outcome], None],
) -> None:
    watched = WatchedFiles(work.paths)
    watched.take(files)
    await ingest_files(gateway, files, work.options, report, view.on_stage)
    await fetch(gateway, work.urls, work.options, report, view.on_stage)
    await synchronise(gateway, work.sources, report)
    while work.is_watching:
        await asyncio.sleep(_WATCH_SECONDS)
        changes = await asyncio.to_thread(watched.look)
        view.expect(len(changes.changed))
        await ingest_files(gateway, changes.changed, work.options, report, view.on_stage)
        if work.deletes_removed:
            view.expect(len(changes.removed))
            for file in changes.removed:
                report(await _delete(gateway, file, work.options))


async def _delete(gateway: GatewayClient, file: SourceFile, options: IngestOptions) -> Outcome:
    try:
        await gateway.delete(
            f"/v1/documents/{quote(file.uri, safe='')}",
            **({"collection": options.collection} if options.collection else {}),
        )
    except GatewayError as error:
        if error.status != 404:
            return Outcome(file.uri, "failed", f"cannot be deleted: {error}")
    except CliError as error:
        return Outcome(file.uri, "failed", f"cannot be deleted: {error}")
    return Outcome(file.uri, "deleted")


async def ingest_with_bar(
    console: Console, gateway: GatewayClient, files: Sequence[SourceFile], options: IngestOptions
) -> list[Outcome]:
    """Ingests with a live view; failures show at once."""
    with IngestView(console, len(files)) as view:
        return await ingest_files(gateway, files, options, view.on_outcome, view.on_stage)


def show_summary(console: Console, outcomes: Sequence[Outcome], skipped_count: int) -> None:
    """Writes one line that says what became of all files."""
    console.print(summary(outcomes, skipped_count))
