"""`cairn demo`: the main job on this machine, from nothing to cited answers."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.rule import Rule

from cli import snippets
from cli.answer_view import show_answer, stage_table
from cli.commands.ingest import ingest_with_bar, show_summary
from cli.connection import Connection, read_admin_key, running_state
from cli.documents_to_ingest import find_files
from cli.errors import CliError
from cli.gateway_client import GatewayClient
from cli.ingestion import IngestOptions
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.start_view import shown_suite
from cli.suite import stop_signal
from cli.suite_plan import SuiteOptions
from cli.suite_state import StateFolder
from cli.terminal import out, styled

PROJECT = Path(__file__).resolve().parents[2]

QUESTIONS = (
    "What happens to an accepted document when a worker crashes?",
    "How are document permissions enforced?",
    "What does the degraded list mean?",
)


@dataclass(frozen=True, slots=True)
class _Suite:
    """The suite the demo talks to."""

    connection: Connection
    grpc_target: str
    is_ours: bool
    """False: it ran before, and goes on."""


def demo(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Documents to ingest; without any: this project's own documentation."),
    ] = None,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    question: Annotated[
        list[str] | None, typer.Option(help="Question to ask; repeat for more.")
    ] = None,
    should_exit: Annotated[
        bool, typer.Option("--exit", envvar="EXIT", help="Stop after the answers.")
    ] = False,
    http_port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
    grpc_port: Annotated[int | None, typer.Option(min=0, max=65535)] = None,
) -> None:
    """Starts the suite, ingests documentation, asks three questions, and stays up."""
    began = time.monotonic()
    options = SuiteOptions(data_dir=data_dir.resolve(), http_port=http_port, grpc_port=grpc_port)
    stays = not should_exit and sys.stdin.isatty() and sys.stdout.isatty()
    sources = paths or [PROJECT / "README.md", PROJECT / "docs"]
    asyncio.run(_demo(options, sources, question or QUESTIONS, stays=stays, began=began))


async def _demo(
    options: SuiteOptions,
    paths: Sequence[Path],
    questions: Sequence[str],
    *,
    stays: bool,
    began: float,
) -> None:
    async with stop_signal() as stop, _suite(options, stop) as suite:
        if suite is None:
            return
        work = asyncio.ensure_future(_show(suite, paths, questions, began))
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait([work, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            return
        work.result()
        if not suite.is_ours:
            out.print("\nThe suite ran before the demo and goes on; `cairn down` stops it.")
        elif stays:
            out.print("\nCairn stays up. Ctrl-C stops it.")
            await stopped
        stopped.cancel()
        if suite.is_ours:
            out.print("Stopping…")


@contextlib.asynccontextmanager
async def _suite(options: SuiteOptions, stop: asyncio.Event) -> AsyncIterator[_Suite | None]:
    """Gives the suite of the data directory, started if need be; None when `stop` came first."""
    if StateFolder(options.data_dir).is_locked():
        state = running_state(options.data_dir)
        connection = Connection(state.http_url, read_admin_key(state))
        yield _Suite(connection, state.grpc_target, is_ours=False)
        return
    out.print(Rule("Starting five services and Valkey", align="left"))
    async with shown_suite(options) as suite:
        if not await suite.is_ready_before(stop):
            yield None
            return
        key = (options.data_dir / "gateway" / "admin.key").read_text("utf-8").strip()
        connection = Connection(suite.plan.http_url, key)
        yield _Suite(connection, suite.plan.grpc_target, is_ours=True)


async def _show(
    suite: _Suite, paths: Sequence[Path], questions: Sequence[str], began: float
) -> None:
    async with GatewayClient(suite.connection) as gateway:
        await _ingest(gateway, paths)
        times: list[tuple[str, dict[str, float]]] = []
        cited_count = 0
        for number, question in enumerate(questions, start=1):
            out.print()
            out.print(Rule(styled(f"{number}. {question}"), align="left"))
            response = (await gateway.post("/v1/query", {"query": question})).content
            show_answer(out, response, has_shown_text=False)
            times.append((f"question {number}", response["timings_ms"]))
            if response["citations"] and not cited_count:
                seconds = time.monotonic() - began
                out.print(styled(f"First cited answer after {seconds:.1f} s.", "dim"))
            cited_count += bool(response["citations"])
        out.print()
        out.print(stage_table(times))
        _show_ways_in(suite, await _model(gateway), questions[0])
        if cited_count == 0:
            raise CliError("no answer had a citation", "see `cairn status` and the logs")


async def _ingest(gateway: GatewayClient, paths: Sequence[Path]) -> None:
    files, skipped_count = find_files(paths)
    if not files:
        raise CliError("there is nothing to ingest", "name files: `cairn demo PATH…`")
    out.print()
    out.print(Rule(f"Ingesting {len(files)} documents through the gateway", align="left"))
    outcomes = await ingest_with_bar(out, gateway, files, IngestOptions(deadline_seconds=300))
    show_summary(out, outcomes, skipped_count)
    if all(outcome.state == "failed" for outcome in outcomes):
        raise CliError("no document could be ingested", "see the reasons above")


async def _model(gateway: GatewayClient) -> str:
    models: list[dict[str, Any]] = (await gateway.get("/openai/v1/models")).content["data"]
    return models[0]["id"]


def _show_ways_in(suite: _Suite, model: str, question: str) -> None:
    connection, key = suite.connection, suite.connection.api_key
    out.print()
    out.print(Rule("Now yours", align="left"))
    for title, line in (
        ("Console (signs you in)", snippets.console_url(connection)),
        ("curl", snippets.curl_line(connection, question)),
        ("Python, openai client", snippets.openai_line(connection, model, question)),
        (
            "gRPC, generated stubs",
            snippets.grpc_line(suite.grpc_target, key, question),
        ),
    ):
        out.print(styled(title, "bold"))
        # Unwrapped: a broken line could not be pasted.
        out.print(styled(line), soft_wrap=True)
