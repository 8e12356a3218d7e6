"""`cairn audit`: what was read and changed, by whom; and whether that record is whole."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.grants import Tenant
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="The audit log: list, verify, export.", no_args_is_help=True)

OfInstallation = Annotated[
    bool,
    typer.Option(
        "--installation", help="The installation's own entries: refused credentials. Home admins."
    ),
]
_BROKEN = 1


@app.command("list")
def list_entries(
    *,
    actor: Annotated[str, typer.Option(help="key:ID, user:SUBJECT or service:NAME.")] = "",
    action: Annotated[str, typer.Option(help="Operation, such as query or manage_keys.")] = "",
    outcome: Annotated[str, typer.Option(help="ok, or the reason of a refusal.")] = "",
    subject: Annotated[
        str, typer.Option(help="document:ID, query:TEXT, user:ID, group:NAME or role:NAME.")
    ] = "",
    from_time: Annotated[str, typer.Option("--from", help="Entries at or after.")] = "",
    to_time: Annotated[str, typer.Option("--to", help="Entries before.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="Entries at most.")] = 50,
    tenant: Tenant = "",
    of_installation: OfInstallation = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Lists entries, newest first."""
    asked = {
        "actor": actor,
        "action": action,
        "outcome": outcome,
        "subject": subject,
        "from_time": from_time,
        "to_time": to_time,
        **_chain(tenant, of_installation),
    }
    given: dict[str, Any] = {name: value for name, value in asked.items() if value}
    reply = call_gateway(
        data_dir, lambda gateway: gateway.get("/v1/audit", page_size=limit, **given)
    )
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("entry", justify="right")
    for column in ("at", "actor", "action", "collection", "outcome"):
        table.add_column(column, overflow="fold")
    for each in reply.content["entries"]:
        table.add_row(
            str(each["seq"]),
            each["at"][: len("2026-01-01T00:00:00")].replace("T", " "),
            plain(each["actor"]),
            each["action"],
            plain(each["collection"]),
            each["outcome"],
        )
    out.print(table)


@app.command("verify")
def verify(
    *,
    after: Annotated[
        str, typer.Option(help="Checkpoint SEQ:HASH that the chain must still hold.")
    ] = "",
    tenant: Tenant = "",
    of_installation: OfInstallation = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Checks the chain and names its first broken link; exit status 1 when there is one.

    Prints a checkpoint. Kept elsewhere and given with --after, it shows a chain that was cut.
    """
    count = 0
    while True:
        asked = {**_chain(tenant, of_installation), **({"after": after} if after else {})}
        reply = call_gateway(
            data_dir, lambda gateway, asked=asked: gateway.get("/v1/audit/verify", **asked)
        )
        report = reply.content
        count += report["entry_count"]
        after = report["checkpoint"]
        if report["is_complete"]:
            break
    if as_json:
        write_json(reply.body)
    elif report["is_intact"]:
        err.print(styled(f"{count} entries, no link is broken. Checkpoint:"))
        out.print(styled(report["checkpoint"]), soft_wrap=True)
    else:
        broken = report["broken"]
        out.print(styled(f"Entry {broken['seq']} is broken: {broken['problem']}.", "red"))
        err.print(styled(f"{count} entries before it are intact."))
    if not report["is_intact"]:
        raise typer.Exit(_BROKEN)


@app.command("export")
def export(
    file: Annotated[Path, typer.Argument(help="File to write, one entry a line.")],
    *,
    tenant: Tenant = "",
    of_installation: OfInstallation = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Writes every entry of a chain: the text that was hashed, and its hash."""
    asked = _chain(tenant, of_installation)
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/audit/export", **asked))
    file.write_text(reply.body, encoding="utf-8")
    err.print(styled(f"{len(reply.body.splitlines())} entries are in {file}."))


def _chain(tenant: str, of_installation: bool) -> dict[str, str]:
    found = {"tenant": tenant} if tenant else {}
    return {**found, "of_installation": "true"} if of_installation else found
