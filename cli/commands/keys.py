"""`cairn keys`: API keys of a tenant."""

from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from cli import internal_secret
from cli.calls import call_gateway
from cli.errors import CliError
from cli.grants import Grants, Tenant, read_grants, show_grants
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json
from services.rpc.service_identity import MAX_LIFE_SECONDS, OPERATOR, is_caller_name

app = typer.Typer(
    help="API keys: create, list, show, rotate, revoke; tokens for calls to services.",
    no_args_is_help=True,
)

KeyId = Annotated[str, typer.Argument(help="Identifier of the key.")]
_HOUR = 3_600
_SIGNED = ("embedding", "retrieval", "generation", "ingestion")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    *,
    role: Annotated[str, typer.Option(help="viewer, editor, operator or admin.")] = "",
    grant: Grants = None,
    principal: Annotated[
        list[str] | None, typer.Option(help="Principal the key reads as; repeat for more.")
    ] = None,
    user: Annotated[
        str, typer.Option(help="User whose key it is: it never may more than the user.")
    ] = "",
    is_service: Annotated[
        bool, typer.Option("--service", help="The key of a part of the installation.")
    ] = False,
    expires_in_days: Annotated[int, typer.Option(min=0, help="0: never.")] = 0,
    tenant: Tenant = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a key and prints its secret, this once. Without role, grants or user: a viewer."""
    given: dict[str, Any] = {
        "role": role,
        "grants": read_grants(grant),
        "principals": principal,
        "user_id": user,
        "kind": "service" if is_service else "",
        "expires_in_days": expires_in_days,
        "tenant": tenant,
    }
    body = {"name": name} | {field: value for field, value in given.items() if value}
    reply = call_gateway(data_dir, lambda gateway: gateway.post("/v1/keys", body))
    if as_json:
        write_json(reply.body)
        return
    # The secret alone on stdout: KEY=$(cairn keys create …) works.
    err.print(styled(f"Key {reply.content['key']['key_id']}; its secret is shown this once:"))
    out.print(styled(reply.content["secret"]), soft_wrap=True)


@app.command("list")
def list_keys(
    *, tenant: Tenant = "", data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False
) -> None:
    """Lists the keys; secrets are not kept."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/keys", tenant=tenant or None))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("key", no_wrap=True)
    for column in ("name", "may", "user", "secrets", "created", "used", "ends"):
        table.add_column(column, overflow="fold")
    for key in reply.content["keys"]:
        live = [each for each in key["secrets"] if each["revoked_at"] is None]
        revoked = _day(key["revoked_at"])
        table.add_row(
            plain(key["key_id"]),
            plain(key["name"]),
            plain(show_grants(key["grants"]) or key["role"]),
            plain(key["user_id"]),
            str(len(live)),
            _day(key["created_at"]),
            _day(key["last_used_at"]),
            f"revoked {revoked}" if revoked else _day(key["expires_at"]),
        )
    out.print(table)


@app.command("show")
def show(key_id: KeyId, *, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Shows a key's secrets: their ages, ends, and when each was last used."""
    path = f"/v1/keys/{quote(key_id, safe='')}"
    reply = call_gateway(data_dir, lambda gateway: gateway.get(path))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("secret", "created", "last used", "ends", "revoked"):
        table.add_column(column, no_wrap=True)
    for each in reply.content["key"]["secrets"]:
        times = (each["created_at"], each["last_used_at"], each["expires_at"], each["revoked_at"])
        table.add_row(each["secret_id"], *(_moment(time) for time in times))
    out.print(table)


@app.command("rotate")
def rotate(
    key_id: KeyId,
    *,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old secrets go on; 0: they end now.")
    ] = 24,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Gives a key a new secret and prints it, this once. Identifier, limits and rights stay."""
    path = f"/v1/keys/{quote(key_id, safe='')}/rotate"
    body = {"overlap_seconds": round(overlap_hours * _HOUR)}
    reply = call_gateway(data_dir, lambda gateway: gateway.post(path, body))
    if as_json:
        write_json(reply.body)
        return
    err.print(styled(f"New secret of {key_id}; it is shown this once:"))
    out.print(styled(reply.content["secret"]), soft_wrap=True)


@app.command("revoke")
def revoke(
    key_id: KeyId,
    *,
    secret: Annotated[str, typer.Option(help="Revoke this one of its secrets only.")] = "",
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Revokes a key, or one of its secrets: refused everywhere within five seconds."""
    path = f"/v1/keys/{quote(key_id, safe='')}"
    if secret:
        path += f"/secrets/{quote(secret, safe='')}"
    call_gateway(data_dir, lambda gateway: gateway.delete(path))
    what = f"Secret {secret} of key {key_id}" if secret else f"Key {key_id}"
    err.print(styled(f"{what} is revoked."))


@app.command("service-token")
def service_token(
    service: Annotated[
        str, typer.Argument(help="Service to call: embedding, retrieval, generation, ingestion.")
    ],
    *,
    caller: Annotated[
        str, typer.Option("--as", help="Whose token: operator, or a service, as a test of it.")
    ] = OPERATOR,
    minutes: Annotated[
        int, typer.Option(min=1, max=MAX_LIFE_SECONDS // 60, help="How long it holds.")
    ] = 60,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Prints a token for calls past the gateway, to a service itself.

    It goes into the metadata x-cairn-service-token.
    """
    if service not in _SIGNED:
        raise CliError(f"{service} takes no tokens", f"choose from {', '.join(_SIGNED)}")
    if not is_caller_name(caller):
        raise CliError(f"{caller!r} names no caller", "lower-case letters, digits and hyphens")
    identity = internal_secret.identity(data_dir, caller)
    if identity is None:
        raise CliError(
            f"there is no internal secret in {data_dir}",
            f"name the suite's folder with --data-dir, or set {internal_secret.VARIABLE}",
        )
    out.print(styled(identity.sign(service, minutes * 60)), soft_wrap=True)


def _day(time: str | None) -> str:
    return (time or "")[: len("2026-01-01")]


def _moment(time: str | None) -> str:
    return (time or "")[: len("2026-01-01T00:00:00")].replace("T", " ")
