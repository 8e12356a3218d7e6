"""`cairn keys`: API keys of the tenant."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    role: Annotated[str, typer.Option(help="viewer, editor, operator or admin.")] = "viewer",
    principal: Annotated[
        list[str] | None, typer.Option(help="Principal the key reads as; repeat for more.")
    ] = None,
    expires_in_days: Annotated[int, typer.Option(min=0, help="0: never.")] = 0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a key and prints its secret, this once."""
    body: dict[str, Any] = {"name": name, "role": role}
    if principal:
        body["principals"] = principal
    if expires_in_days:
        body["expires_in_days"] = expires_in_days
    reply = call_gateway(data_dir, lambda gateway: gateway.post("/v1/keys", body))
    if as_json:
        write_json(reply.body)
        return
    # The secret alone on stdout: KEY=$(cairn keys create …) works.
    err.print(styled(f"Key {reply.content['key']['key_id']}; its secret is shown this once:"))
    out.print(styled(reply.content["secret"]), soft_wrap=True)


@app.command("list")
def list_keys(*, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Lists the keys; secrets are not kept."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/keys"))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("key", no_wrap=True)
    for column in ("name", "role", "reads as", "created", "expires", "revoked"):
        table.add_column(column, overflow="fold")
    for key in reply.content["keys"]:
        times = (key["created_at"], key["expires_at"], key["revoked_at"])
        table.add_row(
            plain(key["key_id"]),
            plain(key["name"]),
            key["role"],
            plain(", ".join(key["principals"])),
            *((time or "")[: len("2026-01-01")] for time in times),
        )
    out.print(table)


@app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="Identifier of the key.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revokes a key: it is refused from then on."""
    path = f"/v1/keys/{quote(key_id, safe='')}"
    call_gateway(data_dir, lambda gateway: gateway.delete(path))
    err.print(styled(f"Key {key_id} is revoked."))
