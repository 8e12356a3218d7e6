"""`cairn ask`: a question and its cited answer."""

import asyncio
import json
from typing import Annotated, Any

import typer

from cli.answer_view import show_answer, stage_table
from cli.connection import find_gateway
from cli.errors import CliError
from cli.gateway_client import GatewayClient
from cli.options import DEFAULT_DATA_DIR, Collection, DataDir, Filter, Json
from cli.terminal import out, plain, write_json


def ask(
    question: Annotated[str, typer.Argument(help="The question.")],
    *,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    collection: Collection = "",
    as_json: Json = False,
    top_k: Annotated[int, typer.Option(help="Passages to answer from; 0: the default.")] = 0,
    filter_text: Filter = "",
    mode: Annotated[str, typer.Option(help="hybrid, dense or keyword.")] = "",
    stream: Annotated[bool, typer.Option(help="Show the answer while it is written.")] = False,
    times: Annotated[bool, typer.Option("--times", help="Show the time of each stage.")] = False,
) -> None:
    """Answers a question from the collection's documents, with citations."""
    options = {"collection": collection, "top_k": top_k, "filter": filter_text, "mode": mode}
    body = {"query": question} | {name: value for name, value in options.items() if value}
    asyncio.run(_ask(GatewayClient(find_gateway(data_dir)), body, as_json, stream, times))


async def _ask(
    gateway: GatewayClient, body: dict[str, Any], as_json: bool, stream: bool, times: bool
) -> None:
    async with gateway:
        text = await _streamed(gateway, body, as_json) if stream else await _whole(gateway, body)
    if as_json:
        write_json(text)
        return
    response = json.loads(text)
    show_answer(out, response, has_shown_text=stream)
    if times:
        out.print(stage_table([("ms", response["timings_ms"])]))


async def _whole(gateway: GatewayClient, body: dict[str, Any]) -> str:
    return (await gateway.post("/v1/query", body)).body


async def _streamed(gateway: GatewayClient, body: dict[str, Any], as_json: bool) -> str:
    async for event in gateway.stream("/v1/query", body):
        if event.name == "delta" and not as_json:
            out.print(plain(json.loads(event.data)["text"]), end="", markup=False, soft_wrap=True)
        elif event.name == "response":
            if not as_json:
                out.print()
            return event.data
    raise CliError("the answer broke off", "see the gateway's log")
