"""`cairn tenants`: who has collections, documents and figures of their own."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.gateway_client import Reply
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="Tenants: list, put, disable, enable.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Identifier of the tenant.")]


@app.command("list")
def list_tenants(*, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Lists tenants: all for admins of the home tenant."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/tenants", page_size=1_000))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("tenant", "name", "class", "state", "created"):
        table.add_column(column, overflow="fold")
    for each in reply.content["tenants"]:
        table.add_row(
            plain(each["tenant"]),
            plain(each["name"]),
            each["tenant_class"],
            "disabled" if each["is_disabled"] else "open",
            each["created_at"][: len("2026-01-01")],
        )
    out.print(table)


@app.command("put")
def put(
    tenant: Name,
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    tenant_class: Annotated[
        str, typer.Option("--class", help="free, standard or premium.")
    ] = "standard",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a tenant, or changes it."""
    reply = _put(tenant, {"name": name, "tenant_class": tenant_class}, data_dir)
    if as_json:
        write_json(reply.body)
    else:
        err.print(styled(f"Tenant {tenant} is {tenant_class}."))


@app.command("disable")
def disable(tenant: Name, *, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Has every credential of a tenant refused; what it has stays."""
    _switch(tenant, data_dir, is_disabled=True)
    err.print(styled(f"Tenant {tenant} is disabled."))


@app.command("enable")
def enable(tenant: Name, *, data_dir: DataDir = DEFAULT_DATA_DIR) -> None:
    """Lets a tenant in again."""
    _switch(tenant, data_dir, is_disabled=False)
    err.print(styled(f"Tenant {tenant} is open."))


def _switch(tenant: str, data_dir: DataDir, *, is_disabled: bool) -> None:
    found = call_gateway(data_dir, lambda gateway: gateway.get(_path(tenant))).content["tenant"]
    body = {name: found[name] for name in ("name", "tenant_class")}
    _put(tenant, {**body, "is_disabled": is_disabled}, data_dir)


def _put(tenant: str, body: dict[str, Any], data_dir: DataDir) -> Reply:
    return call_gateway(data_dir, lambda gateway: gateway.put(_path(tenant), body))


def _path(tenant: str) -> str:
    return f"/v1/tenants/{quote(tenant, safe='')}"
