"""`cairn users`, `cairn groups`, `cairn roles`: who may what."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.grants import Grants, Tenant, read_grants, show_grants
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

users = typer.Typer(help="Users: list, put, delete.", no_args_is_help=True)
groups = typer.Typer(help="Groups: list, put, delete.", no_args_is_help=True)
roles = typer.Typer(help="Roles: list, put, delete.", no_args_is_help=True)

UserId = Annotated[str, typer.Argument(help="Identifier of the user; of tokens, their subject.")]
GroupName = Annotated[str, typer.Argument(help="Name of the group.")]
RoleName = Annotated[str, typer.Argument(help="Name of the role.")]


@users.command("list")
def list_users(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists users."""
    _list(
        "users",
        ("user_id", "name", "groups", "grants", "is_disabled"),
        tenant,
        data_dir,
        as_json=as_json,
    )


@users.command("put")
def put_user(
    user_id: UserId,
    *,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    group: Annotated[list[str] | None, typer.Option(help="Group; repeat for more.")] = None,
    grant: Grants = None,
    is_disabled: Annotated[
        bool, typer.Option("--disabled", help="Its keys and tokens are refused.")
    ] = False,
    tenant: Tenant = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a user, or replaces it."""
    body = {
        "name": name,
        "groups": group or [],
        "grants": read_grants(grant),
        "is_disabled": is_disabled,
    }
    _put("users", user_id, body, tenant, data_dir, as_json=as_json)


@users.command("delete")
def delete_user(
    user_id: UserId, *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Deletes a user; keys of it are refused. To keep tokens out, put it --disabled instead."""
    _delete("users", user_id, tenant, data_dir)


@groups.command("list")
def list_groups(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists groups."""
    columns = ("group", "description", "grants", "member_count")
    _list("groups", columns, tenant, data_dir, as_json=as_json)


@groups.command("put")
def put_group(
    group: GroupName,
    *,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    grant: Grants = None,
    tenant: Tenant = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a group, or replaces what it may do; its members stay."""
    body = {"description": description, "grants": read_grants(grant)}
    _put("groups", group, body, tenant, data_dir, as_json=as_json)


@groups.command("delete")
def delete_group(
    group: GroupName, *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Deletes a group."""
    _delete("groups", group, tenant, data_dir)


@roles.command("list")
def list_roles(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists roles: the built-in ones, then the tenant's own."""
    _list("roles", ("role", "description", "permissions"), tenant, data_dir, as_json=as_json)


@roles.command("put")
def put_role(
    role: RoleName,
    *,
    permission: Annotated[
        list[str], typer.Option(help="Operation it allows; repeat for more. See `roles list`.")
    ],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    tenant: Tenant = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a role, or replaces it."""
    body = {"permissions": permission, "description": description}
    _put("roles", role, body, tenant, data_dir, as_json=as_json)


@roles.command("delete")
def delete_role(
    role: RoleName, *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR
) -> None:
    """Deletes a role that nobody has."""
    _delete("roles", role, tenant, data_dir)


def _list(
    kind: str, columns: tuple[str, ...], tenant: str, data_dir: DataDir, *, as_json: bool
) -> None:
    paging = {} if kind == "roles" else {"page_size": 1_000}
    reply = call_gateway(
        data_dir, lambda gateway: gateway.get(f"/v1/{kind}", tenant=tenant or None, **paging)
    )
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(_HEADS.get(column, column), overflow="fold")
    for each in reply.content[kind]:
        table.add_row(*(plain(_cell(column, each[column])) for column in columns))
    out.print(table)
    if reply.content.get("next_page_token"):
        err.print(styled("There are more: ask the API with page_token for the rest.", "dim"))


_HEADS = {"user_id": "user", "grants": "may", "is_disabled": "state", "member_count": "members"}


def _cell(column: str, value: Any) -> str:
    if column == "grants":
        return show_grants(value)
    if column == "is_disabled":
        return "disabled" if value else "open"
    return ", ".join(value) if isinstance(value, list) else str(value)


def _put(
    kind: str, name: str, body: dict[str, Any], tenant: str, data_dir: DataDir, *, as_json: bool
) -> None:
    path = _path(kind, name, tenant)
    reply = call_gateway(data_dir, lambda gateway: gateway.put(path, body))
    if as_json:
        write_json(reply.body)
    else:
        err.print(styled(f"{kind[:-1].capitalize()} {name} is kept."))


def _delete(kind: str, name: str, tenant: str, data_dir: DataDir) -> None:
    call_gateway(data_dir, lambda gateway: gateway.delete(_path(kind, name, tenant)))
    err.print(styled(f"{kind[:-1].capitalize()} {name} is deleted."))


def _path(kind: str, name: str, tenant: str) -> str:
    path = f"/v1/{kind}/{quote(name, safe='')}"
    return f"{path}?tenant={quote(tenant, safe='')}" if tenant else path
