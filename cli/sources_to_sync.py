"""Has sources of the service gone through, and follows what comes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli.errors import CliError
from cli.ingestion import Outcome

if TYPE_CHECKING:
    from cli.gateway_client import GatewayClient

_POLL_SECONDS = 0.5
_MAX_LISTED = 10_000


async def synchronise(
    client: GatewayClient,
    names: Sequence[str],
    on_outcome: Callable[[Outcome], None],
    *,
    deadline_seconds: float = 3600.0,
) -> list[Outcome]:
    """Returns an outcome for each source, and one for each item of it that failed."""
    outcomes: list[Outcome] = []
    for name in names:
        try:
            found = await _synchronise_one(client, name, deadline_seconds)
        except CliError as error:
            found = [Outcome(name, "failed", str(error))]
        for outcome in found:
            on_outcome(outcome)
        outcomes += found
    return outcomes


async def _synchronise_one(
    client: GatewayClient, name: str, deadline_seconds: float
) -> list[Outcome]:
    path = f"/v1/sources/{quote(name, safe='')}"
    number = (await client.post(f"{path}/sync", {})).content["sync_number"]
    deadline = time.monotonic() + deadline_seconds
    while True:
        source = (await client.get(path)).content["source"]
        status = source["status"]
        report = status["report"]
        has_ended = report and report["sync_number"] >= number and report["ended_at"]
        if has_ended and (report["failure"] or not status["pending_count"]):
            break
        if time.monotonic() > deadline:
            return [Outcome(name, "failed", f"has not ended after {deadline_seconds:g} seconds")]
        await asyncio.sleep(_POLL_SECONDS)
    if report["failure"]:
        return [Outcome(name, "failed", report["failure"]["message"])]
    state = "ready" if report["submitted_count"] or report["deleted_count"] else "unchanged"
    return [Outcome(name, state), *await _failed_items(client, path, name)]


async def _failed_items(client: GatewayClient, path: str, name: str) -> list[Outcome]:
    found: list[Outcome] = []
    token = ""
    while len(found) < _MAX_LISTED:
        page: dict[str, Any] = (
            await client.get(f"{path}/items", failed_only="true", page_token=token or None)
        ).content
        found += [
            Outcome(f"{name}/{item['path']}", "failed", item["failure"]["message"])
            for item in page["items"]
        ]
        token = page["next_page_token"]
        if not token:
            break
    return found
