"""Brings files and web addresses into a collection and follows each document to its end."""

from __future__ import annotations

import asyncio
import json
import stat
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cli.errors import CliError
from cli.gateway_client import GatewayClient, GatewayError

if TYPE_CHECKING:
    from cli.documents_to_ingest import SourceFile

_WINDOW = 32
"""Documents under way at once: enough to keep the workers busy, few enough to watch each."""

_UPLOAD_COUNT = 4
_FIRST_POLL_SECONDS = 0.05
_MAX_POLL_SECONDS = 1.0
_MAX_FILE_BYTES = 60 * 1024 * 1024
_STEPS = {"parsed": "parse", "chunked": "chunk", "embedded": "embed", "indexed": "index"}
"""What failed, by the stage that was not reached."""
_FINAL_STATES = frozenset({"ready", "dead_letter", "cancelled"})


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """What holds for every document."""

    collection: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    acl: Sequence[str] = ()
    deadline_seconds: float = 3600.0
    """How long one document may take to become ready."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a document."""

    uri: str
    state: str
    """`ready`, `unchanged`, `deleted` or `failed`."""
    reason: str = ""
    """Why it failed."""
    document: Mapping[str, Any] | None = None
    """The document as the API last gave it."""


OnStage = Callable[[str, str], None]
"""Told a document's URI and what is being done with it: `uploading`, then the stage completed last
(`received`, `parsed`, …)."""


def _no_stage(_uri: str, _stage: str) -> None:
    pass


async def ingest(
    client: GatewayClient,
    files: Sequence[SourceFile],
    options: IngestOptions,
    on_outcome: Callable[[Outcome], None],
    on_stage: OnStage = _no_stage,
) -> list[Outcome]:
    """Returns one outcome per file, in order; a file's failure is its own."""
    window, uploads = asyncio.Semaphore(_WINDOW), asyncio.Semaphore(_UPLOAD_COUNT)

    async def one(file: SourceFile) -> Outcome:
        async with window:
            try:
                outcome = await _ingest_one(client, file, options, uploads, on_stage)
            except CliError as error:
                outcome = Outcome(file.uri, "failed", _refusal(error))
            except OSError as error:
                outcome = Outcome(file.uri, "failed", f"cannot be read: {error.strerror}")
            on_outcome(outcome)
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(file)) for file in files]
    return [task.result() for task in tasks]


async def fetch(
    client: GatewayClient,
    urls: Sequence[str],
    options: IngestOptions,
    on_outcome: Callable[[Outcome], None],
    on_stage: OnStage = _no_stage,
) -> list[Outcome]:
    """Has web addresses fetched; returns one outcome per address, in order."""
    gate = asyncio.Semaphore(_UPLOAD_COUNT)

    async def one(url: str) -> Outcome:
        async with gate:
            try:
                on_stage(url, "uploading")
                body = {
                    "urls": [url],
                    "collection": options.collection,
                    "metadata": dict(options.metadata),
                    "acl": list(options.acl),
                }
                reply = await client.post("/v1/documents/fetch", body)
                submission = reply.content["submissions"][0]
                outcome = await _submitted(client, url, options, submission, on_stage)
            except CliError as error:
                outcome = Outcome(url, "failed", _refusal(error))
            on_outcome(outcome)
            return outcome

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(url)) for url in urls]
    return [task.result() for task in tasks]


async def _ingest_one(
    client: GatewayClient,
    file: SourceFile,
    options: IngestOptions,
    uploads: asyncio.Semaphore,
    on_stage: OnStage,
) -> Outcome:
    if (shown := file.uri.encode("utf-8", "replace").decode("utf-8")) != file.uri:
        return Outcome(shown, "failed", "its name is not UTF-8; rename it")
    status = await asyncio.to_thread(file.path.stat)
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for a writer
        return Outcome(file.uri, "failed", "is not a regular file")
    size_bytes = status.st_size
    if size_bytes > _MAX_FILE_BYTES:
        reason = f"has {size_bytes:,} bytes; at most {_MAX_FILE_BYTES:,} are taken"
        return Outcome(file.uri, "failed", reason)
    fields = {
        "collection": options.collection,
        "uri": file.uri,
        "metadata": json.dumps(dict(options.metadata)),
        "acl": list(options.acl),
        # New for each run: it makes our own retries safe and nothing else a duplicate.
        "idempotency_key": uuid.uuid4().hex,
    }
    async with uploads:
        on_stage(file.uri, "uploading")
        reply = await client.upload(file.path, file.content_type, fields)
    submission = reply.content["submissions"][0]
    return await _submitted(client, file.uri, options, submission, on_stage)


async def _submitted(
    client: GatewayClient,
    uri: str,
    options: IngestOptions,
    submission: Mapping[str, Any],
    on_stage: OnStage,
) -> Outcome:
    """Returns what became of a submission, once it has ended."""
    if submission["document"] is None:
        said = [submission.get("error_reason"), submission["error_message"]]
        return Outcome(uri, "failed", ": ".join(filter(None, said)))
    if submission["is_unchanged"]:
        return Outcome(uri, "unchanged", document=submission["document"])
    return await _follow(client, uri, options, submission["document"], on_stage)


async def _follow(
    client: GatewayClient,
    uri: str,
    options: IngestOptions,
    document: Mapping[str, Any],
    on_stage: OnStage,
) -> Outcome:
    path = f"/v1/documents/{quote(document['document_id'], safe='')}"
    job_id = document["job_id"]
    deadline = time.monotonic() + options.deadline_seconds
    pause = _FIRST_POLL_SECONDS
    while document["state"] not in _FINAL_STATES:
        on_stage(uri, document["stage"])
        if time.monotonic() > deadline:
            reason = f"is still {document['state']} after {options.deadline_seconds:g} seconds"
            return Outcome(uri, "failed", reason, document)
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _MAX_POLL_SECONDS)
        try:
            reply = await client.get(path, collection=options.collection or None, omit_text="true")
        except GatewayError as error:
            if error.status not in {429, 503, 504}:
                raise
            pause = max(pause, min(float(error.retry_after_seconds or 0), 15.0))
            continue
        document = reply.content["document"]
        if document["job_id"] != job_id:
            return Outcome(uri, "failed", "was replaced by a later submission", document)
    if document["state"] == "ready":
        return Outcome(uri, "ready", document=document)
    return Outcome(uri, "failed", _failure(document), document)


def _refusal(error: CliError) -> str:
    """Returns why a document was not taken in, by its name where it has one, and in words."""
    reason = error.reason if isinstance(error, GatewayError) else ""
    return ": ".join(filter(None, [reason, str(error)]))


def _failure(document: Mapping[str, Any]) -> str:
    """Returns at which stage a document failed, why by its name, and why in words."""
    step = _STEPS.get(document["failure_stage"], document["failure_stage"])
    said = [step, document["failure_reason"] or document["state"], document["failure_message"]]
    return ": ".join(filter(None, said))
