"""`cairn usage`: what was used, for how much."""

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.errors import CliError
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="What was used, for how much: sums, single requests, alerts.")

FromDay = Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD; 30 days ago.")]
ToDay = Annotated[str, typer.Option("--to", help="Last day, included; today.")]
Tenant = Annotated[str, typer.Option(help="Another tenant, for admins of the home tenant.")]
User = Annotated[str, typer.Option(help='Only this user or key: "user:ID" or "key:ID".')]
InCollection = Annotated[str, typer.Option("--collection", "-c", help="Only this collection.")]
OfOperation = Annotated[str, typer.Option("--operation", help="Only this operation.")]


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    *,
    by: Annotated[
        str, typer.Option(help="Any of day, operation, user, collection, tenant, with commas.")
    ] = "day,operation",
    from_day: FromDay = "",
    to_day: ToDay = "",
    tenant: Tenant = "",
    user: User = "",
    collection: InCollection = "",
    operation: OfOperation = "",
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Prints what was used, by day and operation or by other dimensions."""
    if context.invoked_subcommand is not None:
        return
    reply = call_gateway(
        data_dir,
        lambda gateway: gateway.get(
            "/v1/usage",
            group_by=by,
            from_day=from_day,
            to_day=to_day,
            tenant=tenant,
            user=user,
            collection=collection,
            operation=operation,
            format="csv" if csv else "json",
        ),
    )
    if csv:
        print(reply.body, end="")
        return
    if as_json:
        write_json(reply.body)
        return
    dimensions = [each for each in by.split(",") if each]
    table = Table(show_edge=False, pad_edge=False)
    for name in dimensions:
        table.add_column(name, overflow="fold")
    for name in ("requests", "failed", "documents", "tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in reply.content["rows"]:
        table.add_row(*(plain(row[name]) for name in dimensions), *_figures(row))
    table.add_section()
    total = ["total", *[""] * (len(dimensions) - 1)] if dimensions else []
    table.add_row(*total, *_figures(reply.content["total"]))
    out.print(table)


@app.command("events")
def events(
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=1000)] = 20,
    from_day: FromDay = "",
    to_day: ToDay = "",
    tenant: Tenant = "",
    user: User = "",
    collection: InCollection = "",
    operation: OfOperation = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Lists single metered requests, the latest first."""
    reply = call_gateway(
        data_dir,
        lambda gateway: gateway.get(
            "/v1/usage/events",
            page_size=count,
            from_day=from_day,
            to_day=to_day,
            tenant=tenant,
            user=user,
            collection=collection,
            operation=operation,
        ),
    )
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in ("at", "user", "operation", "collection", "outcome"):
        table.add_column(name, overflow="fold")
    for name in ("tokens", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for event in reply.content["events"]:
        table.add_row(
            event["at"][:19],
            plain(event["user"]),
            event["operation"],
            plain(event["collection"]),
            event["outcome"],
            *_figures({"request_count": 0, "failed_count": 0, **event})[-2:],
        )
    out.print(table)


@app.command("alerts")
def alerts(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists budgets that ran low and days out of the ordinary."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/usage/alerts", tenant=tenant))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in ("at", "kind", "of", "resource", "in", "passed", "used", "limit"):
        table.add_column(name, overflow="fold")
    for alert in reply.content["alerts"]:
        table.add_row(
            alert["at"][:19],
            alert["kind"],
            plain(alert["subject_id"]),
            alert["resource"],
            alert["window"],
            f"{alert['threshold']:.0%}",
            f"{alert['used']:g}",
            f"{alert['limit']:g}",
        )
    out.print(table)


@app.command("check")
def check(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Compares the sums with the single requests; fails when they differ."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/usage/check", tenant=tenant))
    found = reply.content
    if as_json:
        write_json(reply.body)
    elif found["is_exact"]:
        err.print(styled(f"From {found['from_day']} on, every sum is that of its requests."))
    if not found["is_exact"]:
        raise CliError("the sums of these days differ: " + ", ".join(found["differing_days"]))


def _figures(row: dict[str, Any]) -> list[str]:
    usage = row["usage"]
    tokens = sum(
        usage[name]
        for name in ("embedding_tokens", "rerank_tokens", "prompt_tokens", "completion_tokens")
    )
    return [
        str(row["request_count"]),
        str(row["failed_count"]),
        str(row["document_count"]),
        str(tokens),
        f"{row['cost']['amount']:.6f} {row['cost']['currency']}",
    ]
