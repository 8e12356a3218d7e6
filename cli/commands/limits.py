"""`cairn limits`: how much keys, users and tenants may use."""

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.errors import CliError
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="How much keys, users and tenants may use: show, set, unset.")

_NONE = "none"

Resource = Annotated[
    str,
    typer.Argument(help="requests, tokens, documents, vectors, bytes, streams or cost."),
]
Period = Annotated[str, typer.Argument(help="second, minute, hour, day, month, at_once or stored.")]
Tenant = Annotated[str, typer.Option(help="Another tenant, for admins of the home tenant.")]
Tier = Annotated[str, typer.Option(help="All tenants of a tier: free, standard or premium.")]
User = Annotated[str, typer.Option(help='A user; "each" for every one.')]
Key = Annotated[str, typer.Option(help='A key; "each" for every one.')]


@app.callback(invoke_without_command=True)
def report(
    context: typer.Context,
    *,
    tenant: Tenant = "",
    user: Annotated[str, typer.Option(help="Those of a user.")] = "",
    key: Annotated[str, typer.Option(help="Those of a key.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Prints the limits that hold and how far they are used."""
    if context.invoked_subcommand is not None:
        return
    reply = call_gateway(
        data_dir,
        lambda gateway: gateway.get("/v1/limits", tenant=tenant, user=user, key_id=key),
    )
    if as_json:
        write_json(reply.body)
        return
    found = reply.content
    err.print(styled(f"Tenant {found['tenant']}, tier {found['tier']}."))
    table = Table(show_edge=False, pad_edge=False)
    for name in ("of", "limit", "mode", "set for", "amount", "burst", "used", "left"):
        table.add_column(name, overflow="fold")
    for each in found["limits"]:
        table.add_row(
            plain(f"{each['subject']} {each['subject_id']}"),
            f"{each['resource']}/{each['period']}",
            each["mode"],
            each["source"],
            *(_number(each[name]) for name in ("amount", "burst", "used", "remaining")),
        )
    out.print(table)


@app.command("rules")
def rules(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists the limits that were set for a tenant, and those of tiers."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/limits/rules", tenant=tenant))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for name in ("for", "of", "limit", "mode", "amount", "burst", "set"):
        table.add_column(name, overflow="fold")
    for rule in reply.content["rules"]:
        table.add_row(
            plain(f"tier {rule['tier']}" if rule["tier"] else f"tenant {rule['tenant']}"),
            plain(f"{rule['subject']} {rule['subject_id'] or '(each)'}"),
            f"{rule['resource']}/{rule['period']}",
            rule["mode"],
            _NONE if rule["amount"] is None else _number(rule["amount"]),
            _number(rule["burst"]),
            plain(f"{rule['updated_at'][:19]} {rule['updated_by']}".strip()),
        )
    out.print(table)


@app.command("set")
def set_limit(
    resource: Resource,
    period: Period,
    amount: Annotated[str, typer.Argument(help='A number, or "none" to lift a wider limit.')],
    *,
    tenant: Tenant = "",
    tier: Tier = "",
    user: User = "",
    key: Key = "",
    burst: Annotated[int, typer.Option(min=0, help="What may come at once; 0: the amount.")] = 0,
    mode: Annotated[str, typer.Option(help="hard, soft or shadow.")] = "hard",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Sets a limit: of the tenant, or with --user or --key of users and keys."""
    body: dict[str, Any] = {
        **_place(resource, period, tenant, tier, user, key),
        "amount": _amount(amount),
        "mode": mode,
    }
    if burst:
        body["burst"] = burst
    reply = call_gateway(data_dir, lambda gateway: gateway.put("/v1/limits/rules", body))
    if as_json:
        write_json(reply.body)
        return
    err.print(styled("The limit is set; it holds everywhere within five seconds."))


@app.command("unset")
def unset(
    resource: Resource,
    period: Period,
    *,
    tenant: Tenant = "",
    tier: Tier = "",
    user: User = "",
    key: Key = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Removes a limit that was set: the wider one holds again."""
    place = _place(resource, period, tenant, tier, user, key)
    call_gateway(data_dir, lambda gateway: gateway.delete("/v1/limits/rules", **place))
    err.print(styled("The limit is removed."))


def _place(
    resource: str, period: str, tenant: str, tier: str, user: str, key: str
) -> dict[str, str]:
    if user and key:
        raise CliError("give --user or --key, not both")
    subject = "user" if user else "key" if key else "tenant"
    subject_id = user or key
    return {
        "subject": subject,
        "subject_id": "" if subject_id == "each" else subject_id,
        "resource": resource,
        "period": period,
        "tenant": tenant,
        "tier": tier,
    }


def _amount(text: str) -> float | None:
    if text == _NONE:
        return None
    try:
        return float(text)
    except ValueError:
        raise CliError(f"{text!r} is no number; give one, or 'none'") from None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.15g}"
