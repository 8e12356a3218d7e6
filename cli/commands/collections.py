"""`cairn collections`: what documents are kept apart in."""

from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.errors import CliError
from cli.options import DEFAULT_DATA_DIR, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(
    help="Collections: create, list, get, delete, calibrate, export, import, check, …",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="Name of the collection.")]


@app.command("create")
def create(
    name: Name,
    *,
    field: Annotated[
        list[str] | None, typer.Option(help="name=type of a metadata field; repeat for more.")
    ] = None,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    language: Annotated[str, typer.Option(help="Snowball language of the keyword index.")] = "",
    acl_required: Annotated[
        bool, typer.Option("--acl-required", help="Refuse documents without an access list.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Creates a collection."""
    fields = dict(_field(text) for text in field or [])
    options = {
        "fields": fields,
        "description": description,
        "language": language,
        "is_acl_required": acl_required,
    }
    body = {"name": name} | {key: value for key, value in options.items() if value}
    reply = call_gateway(data_dir, lambda gateway: gateway.post("/v1/collections", body))
    if as_json:
        write_json(reply.body)
    else:
        err.print(styled(f"Collection {name} is created."))


@app.command("list")
def list_collections(*, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Lists the collections."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get("/v1/collections", page_size=1000))
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    for column in ("collection", "documents", "chunks", "model", "index"):
        table.add_column(column, overflow="fold")
    for collection in reply.content["collections"]:
        table.add_row(
            collection["name"],
            f"{collection['document_count']:,}",
            f"{collection['chunk_count']:,}",
            plain(collection["embedding_model"]),
            plain(collection["index_description"]),
        )
    out.print(table)


@app.command("get")
def get(name: Name, *, data_dir: DataDir = DEFAULT_DATA_DIR, as_json: Json = False) -> None:
    """Shows a collection."""
    reply = call_gateway(data_dir, lambda gateway: gateway.get(_path(name)))
    if as_json:
        write_json(reply.body)
        return
    for key, value in reply.content["collection"].items():
        out.print(styled(f"{key:18} {value}"))


@app.command("delete")
def delete(
    name: Name,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
) -> None:
    """Deletes a collection with every document in it."""
    if not yes:
        typer.confirm(f"Delete collection {name} with every document in it?", abort=True, err=True)
    call_gateway(data_dir, lambda gateway: gateway.delete(_path(name)))
    err.print(styled(f"Collection {name} is deleted."))


def _path(name: str) -> str:
    return f"/v1/collections/{quote(name, safe='')}"


def _field(text: str) -> tuple[str, str]:
    name, separator, kind = text.partition("=")
    if not separator:
        raise CliError(f"--field {text!r} is not of the form name=type")
    return name, kind
