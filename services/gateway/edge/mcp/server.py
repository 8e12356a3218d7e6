"""The tools by the official SDK, which speaks every revision of the protocol. Imported late."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

from services.gateway.edge.mcp.tools import DESCRIPTIONS

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from services.gateway.edge.mcp.tools import ToolDescription, Tools

_TTL_MS = 3_600_000
_INSTRUCTIONS = (
    "Documents of your organisation. `ask` answers with citations; `search` gives passages to read "
    "yourself; `get` returns a whole document."
)


def session_manager(tools: Tools, version: str) -> StreamableHTTPSessionManager:
    """Returns what serves HTTP requests, each by itself: there are no sessions.

    Args:
        tools: What agents may do.
        version: Of the API.
    """
    # It would log the arguments of calls that do not fit, and they are people's questions.
    logging.getLogger("mcp").setLevel(logging.CRITICAL + 1)
    announced = types.ListToolsResult(tools=[_announced(each) for each in DESCRIPTIONS])

    async def list_tools(
        _context: ServerRequestContext, _params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return announced

    async def call_tool(
        context: ServerRequestContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if not tools.knows(params.name):
            raise MCPError(types.INVALID_PARAMS, "there is no such tool; see tools/list")
        caller = _request(context).state.caller
        outcome = await tools.call(caller, params.name, params.arguments or {})
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=outcome.text)],
            structured_content=outcome.value,
            is_error=outcome.is_error,
        )

    server: Server[Any] = Server(
        "cairn",
        version=version,
        title="Cairn",
        instructions=_INSTRUCTIONS,
        cache_hints={
            "tools/list": CacheHint(_TTL_MS, "public"),
            "server/discover": CacheHint(_TTL_MS, "public"),
        },
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    server.middleware.clear()  # its spans: ours are there already
    return StreamableHTTPSessionManager(server, json_response=True, stateless=True)


def _announced(each: ToolDescription) -> types.Tool:
    schema = each.arguments.model_json_schema()
    schema.pop("title", None)
    return types.Tool(
        name=each.name,
        title=each.title,
        description=each.description,
        input_schema=schema,
        annotations=types.ToolAnnotations(
            read_only_hint=each.is_read_only,
            destructive_hint=False,
            idempotent_hint=True,
            open_world_hint=False,
        ),
    )


def _request(context: ServerRequestContext) -> Any:
    request = context.request
    assert request is not None, "calls come over HTTP"
    return request
