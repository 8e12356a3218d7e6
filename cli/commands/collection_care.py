"""`cairn collections export | import | optimize | check | quota`: for the owner of collections.

These commands talk to the retrieval service itself, on the machine of the suite or inside the
cluster (`CAIRN_RETRIEVAL_ADDRESS`); keys of the gateway play no part.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import typer
from cairn.retrieval.v1 import retrieval_service_pb2 as pb
from google.protobuf.json_format import MessageToDict

from cli.collection_files import ExportFile, read_export
from cli.commands.collections import Name, app
from cli.errors import CliError
from cli.options import DEFAULT_DATA_DIR, DataDir
from cli.retrieval_calls import call_retrieval, owner
from cli.terminal import err, out, styled

Tenant = Annotated[str, typer.Option("--tenant", help="Tenant that owns the collection.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_KINDS = {name.removeprefix("INDEX_TYPE_").lower(): name for name in pb.IndexType.keys()[1:]}
_IN_FLIGHT = 4
"""Messages of an import sent before the first of them is acknowledged."""


@app.command("export")
def export(
    name: Name,
    file: Annotated[Path, typer.Argument(help="File to write.")],
    *,
    tenant: Tenant = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Writes a collection whole to a file: texts, metadata, access lists, vectors.

    Run again after it broke off, it goes on where it was.
    """

    async def run(stub: Any) -> int:
        with ExportFile(file) as target:
            request = pb.ExportCollectionRequest(
                scope=owner(tenant),
                collection=name,
                resume_token=target.resume_token,
                all_documents=True,
            )
            is_first = not target.resume_token
            async for message in stub.ExportCollection(request):
                # Of a resumed export the first message only names the collection again.
                if message.documents or message.is_last or is_first:
                    target.write(message)
                is_first = False
            return target.document_count

    count = call_retrieval(data_dir, run)
    _say(as_json, {"collection": name, "documents": count, "file": str(file)})


@app.command("import")
def import_(
    name: Name,
    file: Annotated[Path, typer.Argument(help="File that `export` wrote.")],
    *,
    tenant: Tenant = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Writes an exported file into a collection, which is created as it was if there is none.

    Run again after it broke off, it goes on behind what was acknowledged.
    """
    if not file.is_file():
        raise CliError(f"there is no file {file}")
    progress = file.with_name(f"{file.name}.{tenant}.{name}.imported")
    done = int(progress.read_text()) if progress.exists() else 0

    async def run(stub: Any) -> int:
        room = asyncio.Semaphore(_IN_FLIGHT)

        complaints: list[CliError] = []

        async def messages() -> AsyncIterator[pb.ImportCollectionRequest]:
            try:
                for number, message in enumerate(read_export(file)):
                    await room.acquire()
                    yield _import_message(number, message, tenant, name, is_done=number < done)
            except CliError as error:
                # Raised from here it would look as if the call had been cancelled.
                complaints.append(error)

        acknowledged = count = 0
        async for answer in stub.ImportCollection(messages()):
            room.release()
            acknowledged += 1
            count = answer.document_count
            progress.write_text(str(max(acknowledged, done)))
        if complaints:
            raise complaints[0]
        return count

    count = call_retrieval(data_dir, run)
    progress.unlink(missing_ok=True)
    _say(as_json, {"collection": name, "documents": count, "file": str(file)})


def _import_message(
    number: int, message: pb.ExportCollectionResponse, tenant: str, name: str, *, is_done: bool
) -> pb.ImportCollectionRequest:
    request = pb.ImportCollectionRequest(documents=[] if is_done else message.documents)
    if number == 0:
        request.scope.CopyFrom(owner(tenant))
        request.collection = name
        request.settings.CopyFrom(message.collection.settings)
    return request


@app.command("optimize")
def optimize(
    name: Name,
    *,
    index: Annotated[
        str, typer.Option("--index", help=f"Kind of index from now on: {', '.join(_KINDS)}.")
    ] = "",
    tenant: Tenant = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Builds a collection's index anew, as one segment without deleted rows."""
    if index and index not in _KINDS:
        raise CliError(f"--index {index!r} is not known", f"use one of {', '.join(_KINDS)}")

    async def run(stub: Any) -> dict[str, Any]:
        request = pb.OptimizeCollectionRequest(
            scope=owner(tenant),
            name=name,
            index_type=_KINDS[index] if index else None,
        )
        last = pb.OptimizeCollectionResponse()
        with err.status("") as status:
            async for last in stub.OptimizeCollection(request):
                status.update(styled(f"{last.fraction:4.0%} {last.message}"))
        return MessageToDict(last.stats, preserving_proto_field_name=True)

    stats = call_retrieval(data_dir, run)
    _say(as_json, {"collection": name, **stats})


@app.command("check")
def check(
    name: Name,
    *,
    tenant: Tenant = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Compares what is searched with what is stored; fails when they differ."""

    async def run(stub: Any) -> dict[str, Any]:
        request = pb.CheckCollectionRequest(scope=owner(tenant), name=name)
        answer = await stub.CheckCollection(request)
        return MessageToDict(
            answer.check,
            preserving_proto_field_name=True,
            always_print_fields_with_no_presence=True,
        )

    found = call_retrieval(data_dir, run)
    _say(as_json, {"collection": name, **found})
    if not found["is_consistent"]:
        raise CliError("the view differs from the store", "it is loaded anew by itself")


@app.command("quota")
def quota(
    *,
    vectors: Annotated[
        int | None, typer.Option("--vectors", min=-1, help="Vectors at most; -1: no limit.")
    ] = None,
    nbytes: Annotated[
        int | None, typer.Option("--bytes", min=-1, help="Stored bytes at most; -1: no limit.")
    ] = None,
    tenant: Tenant = "default",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: AsJson = False,
) -> None:
    """Shows what a tenant may store and has stored; sets limits if some are given."""

    async def run(stub: Any) -> dict[str, Any]:
        scope = owner(tenant)
        state = await stub.GetQuota(pb.GetQuotaRequest(scope=scope))
        if vectors is not None or nbytes is not None:
            wanted = pb.Quota()
            wanted.CopyFrom(state.quota)
            for field, value in (("max_vectors", vectors), ("max_bytes", nbytes)):
                if value is not None and value < 0:
                    wanted.ClearField(field)
                elif value is not None:
                    setattr(wanted, field, value)
            await stub.SetQuota(pb.SetQuotaRequest(scope=scope, quota=wanted))
            state = await stub.GetQuota(pb.GetQuotaRequest(scope=scope))
        quota = state.quota
        return {
            "tenant": tenant,
            "max_vectors": quota.max_vectors if quota.HasField("max_vectors") else None,
            "max_bytes": quota.max_bytes if quota.HasField("max_bytes") else None,
            "vectors": state.vector_count,
            "bytes": state.stored_bytes,
        }

    _say(as_json, call_retrieval(data_dir, run))


def _say(as_json: bool, figures: dict[str, Any]) -> None:
    if as_json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        out.print(styled(f"{key:18} {'no limit' if value is None else value}"))
