"""Brings a corpus into a collection through the gateway, as any client would."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from cli.errors import CliError
from cli.gateway_client import GatewayError

if TYPE_CHECKING:
    from cli.evaluation.dataset import CorpusDocument
    from cli.gateway_client import GatewayClient, Reply

T = TypeVar("T")
R = TypeVar("R")

_BATCH_DOCUMENTS = 64
_BATCH_CHARACTERS = 4_000_000
_MAX_PENDING = 512
"""Documents under way at once: enough to keep the workers busy, and one page to look at."""
_POLL_SECONDS = 0.5
MAX_ATTEMPTS = 10
_MAX_WAIT_SECONDS = 15.0
_BUSY = frozenset({429, 503, 504})
_STALLED_SECONDS = 600.0


async def retried(call: Callable[[], Awaitable[Reply]], attempts: int = MAX_ATTEMPTS) -> Reply:
    """Returns the reply; a gateway that is busy is asked again when it says so.

    Raises:
        GatewayError: it refuses, or is busy for too long.
    """
    for attempt in range(1, attempts + 1):
        try:
            return await call()
        except GatewayError as error:
            if error.status not in _BUSY or attempt == attempts:
                raise
            wait = float(error.retry_after_seconds or 0.2 * 2**attempt)
            await asyncio.sleep(min(wait, _MAX_WAIT_SECONDS))
    raise AssertionError  # the loop returns or raises


async def each_of(
    items: Sequence[T],
    run: Callable[[T], Awaitable[R]],
    at_once: int,
    on_done: Callable[[R], object],
) -> list[R]:
    """Returns what `run` makes of each item, in order.

    Args:
        items: In any number.
        run: Works on one.
        at_once: How many are in work at most.
        on_done: Told each result as it comes.

    Raises:
        CliError: the first that `run` raised; the others are given up.
    """
    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> R:
        async with slots:
            result = await run(item)
        on_done(result)
        return result

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except* CliError as failed:
        error = _first(failed)
    else:
        return [task.result() for task in tasks]
    raise error


def _first(group: BaseExceptionGroup[CliError]) -> CliError:
    """Returns the first error of a group, however deep it lies."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


async def create_collection(gateway: GatewayClient, name: str, language: str) -> bool:
    """Creates a collection; returns False when there is one of this name already."""
    try:
        await get_collection(gateway, name)
    except GatewayError as error:
        if error.status != 404:
            raise
    else:
        return False
    body = {"name": name, "description": "Made by cairn eval."}
    if language:
        body["language"] = language
    await gateway.post("/v1/collections", body)
    return True


async def get_collection(gateway: GatewayClient, name: str) -> dict[str, Any]:
    """Returns what the gateway tells of a collection."""
    reply = await retried(lambda: gateway.get(f"/v1/collections/{quote(name, safe='')}"))
    return reply.content["collection"]


async def delete_collection(gateway: GatewayClient, name: str) -> None:
    """Deletes a collection with all in it; one that is gone is fine."""
    try:
        await retried(lambda: gateway.delete(f"/v1/collections/{quote(name, safe='')}"))
    except GatewayError as error:
        if error.status != 404:
            raise


async def load(
    gateway: GatewayClient,
    collection: str,
    documents: Sequence[CorpusDocument],
    on_ready: Callable[[int], None],
) -> None:
    """Submits documents and waits until each can be searched.

    Args:
        gateway: Where to.
        collection: A collection that exists.
        documents: What to submit.
        on_ready: Told how many are ready, whenever that is looked up.

    Raises:
        CliError: a document was refused or failed, or nothing moves.
    """
    submitted, ready, moved = 0, 0, time.monotonic()
    batches = _batches(documents)
    while ready < len(documents):
        while submitted - ready < _MAX_PENDING and submitted < len(documents):
            batch = next(batches)
            await _submit(gateway, collection, batch)
            submitted += len(batch)
        await asyncio.sleep(_POLL_SECONDS)
        now_ready = submitted - await _pending(gateway, collection)
        if now_ready != ready:
            ready, moved = now_ready, time.monotonic()
            on_ready(ready)
        elif time.monotonic() - moved > _STALLED_SECONDS:
            raise CliError(f"no document became ready for {_STALLED_SECONDS:g} seconds")


def _batches(documents: Sequence[CorpusDocument]) -> Any:
    batch: list[CorpusDocument] = []
    size = 0
    for document in documents:
        if batch and (
            len(batch) == _BATCH_DOCUMENTS or size + len(document.text) > _BATCH_CHARACTERS
        ):
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document.text)
    if batch:
        yield batch


async def _submit(gateway: GatewayClient, collection: str, batch: Sequence[CorpusDocument]) -> None:
    body = {
        "collection": collection,
        "documents": [
            {
                "document_id": document.document_id,
                "title": document.title,
                "text": document.text,
                "content_type": "text/plain",
                "metadata": dict(document.metadata),
            }
            for document in batch
        ],
    }
    reply = await retried(lambda: gateway.post("/v1/documents", body))
    for document, submission in zip(batch, reply.content["submissions"], strict=True):
        if submission["document"] is None:
            raise CliError(
                f"document {document.document_id!r} was refused: {submission['error_message']}"
            )


async def _pending(gateway: GatewayClient, collection: str) -> int:
    """Returns how many documents are under way.

    Raises:
        CliError: one has failed for good.
    """
    states = ["queued", "running", "dead_letter", "cancelled"]
    reply = await retried(
        lambda: gateway.get("/v1/documents", collection=collection, state=states, page_size=1000)
    )
    documents = reply.content["documents"]
    for document in documents:
        if document["state"] in {"dead_letter", "cancelled"}:
            reason = document["failure_message"] or document["failure_reason"]
            raise CliError(f"document {document['document_id']!r} failed: {reason}")
    return len(documents)
