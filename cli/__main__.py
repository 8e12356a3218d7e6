"""The `cairn` program: puts the commands together."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated

import typer

from cli.commands import (
    audit,
    collection_care,
    documents,
    keys,
    limits,
    people,
    tenants,
    usage,
)
from cli.commands.ask import ask
from cli.commands.bench import bench
from cli.commands.calibrate import calibrate
from cli.commands.demo import demo
from cli.commands.doctor import doctor
from cli.commands.down import down
from cli.commands.eval import evaluate
from cli.commands.ingest import ingest
from cli.commands.search import search
from cli.commands.status import status
from cli.commands.up import up
from cli.errors import CliError
from cli.terminal import err, styled

_INTERRUPTED = 130

app = typer.Typer(
    name="cairn",
    help="Answers from your own documents, with citations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, down, status, doctor, ingest, ask, search, demo):
    app.command()(command)
# A benchmark has options of its own.
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(bench)
app.command("eval")(evaluate)
collection_care.app.command("calibrate")(calibrate)
app.add_typer(collection_care.app, name="collections")
app.add_typer(documents.app, name="documents")
app.add_typer(keys.app, name="keys")
app.add_typer(tenants.app, name="tenants")
app.add_typer(people.users, name="users")
app.add_typer(people.groups, name="groups")
app.add_typer(people.roles, name="roles")
app.add_typer(audit.app, name="audit")
app.add_typer(limits.app, name="limits")
app.add_typer(usage.app, name="usage")


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(metadata.version("cairn-rag"))
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Answers from your own documents, with citations."""


def main() -> None:
    """Runs the program; its exit code tells whether it did what was asked."""
    try:
        app()
    except CliError as error:
        err.print(styled(f"cairn: {error}", "red"), soft_wrap=True)
        if error.hint:
            err.print(styled(f"  {error.hint}", "dim"), soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:  # `cairn … | head` has read enough
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:  # a folder that cannot be written, a full disk
        err.print(styled(f"cairn: {error.strerror}: {error.filename}", "red"), soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
