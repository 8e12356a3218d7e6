"""`cairn search`: passages, best first."""

import asyncio
from typing import Annotated, Any

import typer

from cli.answer_view import show_passages
from cli.connection import find_gateway
from cli.gateway_client import GatewayClient
from cli.options import DEFAULT_DATA_DIR, Collection, DataDir, Filter, Json
from cli.terminal import out, styled, write_json


def search(
    query: Annotated[str, typer.Argument(help="What to look for.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    as_json: Json = False,
    top_k: Annotated[int, typer.Option(help="Passages at most; 0: the default.")] = 0,
    filter_text: Filter = "",
    mode: Annotated[str, typer.Option(help="hybrid, dense or keyword.")] = "",
    rerank: Annotated[bool, typer.Option(help="Re-rank the passages.")] = False,
) -> None:
    """Finds passages."""
    options = {
        "collection": collection,
        "top_k": top_k,
        "filter": filter_text,
        "mode": mode,
        "rerank": rerank,
    }
    body = {"query": query} | {name: value for name, value in options.items() if value}
    asyncio.run(_search(GatewayClient(find_gateway(data_dir)), body, as_json))


async def _search(gateway: GatewayClient, body: dict[str, Any], as_json: bool) -> None:
    async with gateway:
        reply = await gateway.post("/v1/search", body)
    if as_json:
        write_json(reply.body)
        return
    show_passages(out, reply.content["passages"])
    for notice in reply.content["degraded"]:
        out.print(styled(f"degraded: {notice}", "yellow"))
