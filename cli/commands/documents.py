"""`cairn documents`: what is in a collection, and how far it is."""

from typing import Annotated
from urllib.parse import quote, urlencode

import typer
from rich.table import Table

from cli.calls import call_gateway
from cli.options import DEFAULT_DATA_DIR, Collection, DataDir, Json
from cli.terminal import err, out, plain, styled, write_json

app = typer.Typer(help="Documents: list, get, retry, delete.", no_args_is_help=True)

DocumentId = Annotated[str, typer.Argument(help="Identifier of the document.")]


@app.command("list")
def list_documents(
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    state: Annotated[
        list[str] | None, typer.Option(help="queued, running, ready, dead_letter, cancelled.")
    ] = None,
    page_size: Annotated[int, typer.Option(min=1, help="Entries at most.")] = 100,
    page_token: Annotated[str, typer.Option(help="Where the former page ended.")] = "",
    as_json: Json = False,
) -> None:
    """Lists documents, newest first."""
    reply = call_gateway(
        data_dir,
        lambda gateway: gateway.get(
            "/v1/documents",
            collection=collection or None,
            state=state,
            page_size=page_size,
            page_token=page_token or None,
        ),
    )
    if as_json:
        write_json(reply.body)
        return
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("document", overflow="fold")
    for column in ("state", "stage", "chunks", "bytes"):
        table.add_column(column, no_wrap=True, justify="right" if column == "bytes" else "left")
    table.add_column("problem", overflow="fold")
    for document in reply.content["documents"]:
        table.add_row(
            plain(document["document_id"]),
            document["state"],
            document["stage"],
            str(document["chunk_count"]),
            f"{document['size_bytes']:,}",
            plain(document["failure_message"]),
        )
    out.print(table)
    if token := reply.content["next_page_token"]:
        err.print(styled(f"There are more: --page-token {token}"))


@app.command("get")
def get(
    document_id: DocumentId,
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    as_json: Json = False,
) -> None:
    """Prints a document's text, or all of it with --json."""
    path = _path(document_id)
    reply = call_gateway(data_dir, lambda gateway: gateway.get(path, collection=collection or None))
    if as_json:
        write_json(reply.body)
    else:
        out.print(styled(reply.content["document"]["text"]), soft_wrap=True)


@app.command("retry")
def retry(
    document_id: DocumentId, *, data_dir: DataDir = DEFAULT_DATA_DIR, collection: Collection = ""
) -> None:
    """Runs a failed document again."""
    path = f"{_path(document_id)}/retry?{urlencode({'collection': collection})}"
    call_gateway(data_dir, lambda gateway: gateway.post(path, {}))
    err.print(styled(f"Document {document_id} is queued again."))


@app.command("delete")
def delete(
    document_id: DocumentId, *, data_dir: DataDir = DEFAULT_DATA_DIR, collection: Collection = ""
) -> None:
    """Deletes a document."""
    path = _path(document_id)
    parameters = {"collection": collection} if collection else {}
    call_gateway(data_dir, lambda gateway: gateway.delete(path, **parameters))
    err.print(styled(f"Document {document_id} is deleted."))


def _path(document_id: str) -> str:
    return f"/v1/documents/{quote(document_id, safe='')}"
