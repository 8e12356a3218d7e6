"""Calls of the retrieval service itself, for what its owner does and no reader may.

They carry no key but a token of the installation's operator, and go to the service's own address,
which only this machine or the cluster reaches.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from cairn.retrieval.v1 import retrieval_service_pb2_grpc as rpc
from cairn.types.v1 import scope_pb2

from cli import internal_secret
from cli.connection import running_state
from cli.errors import CliError
from services.rpc.channel import open_channel
from services.rpc.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from services.rpc.service_identity import ServiceIdentity

T = TypeVar("T")

_ACTOR = "service:cli"
_LONGEST_SECONDS = 24 * 3600.0
"""For a large collection to go out or in."""


def call_retrieval(data_dir: Path, call: Callable[[Any], Awaitable[T]]) -> T:
    """Returns what `call` does with the stub of the retrieval service.

    The service is that of `CAIRN_RETRIEVAL_ADDRESS` (host:port), else that of the suite which runs
    on `data_dir`.

    Raises:
        CliError: it does not run, or refuses.
    """
    return asyncio.run(_run(_address(data_dir), internal_secret.identity(data_dir), call))


async def _run(
    address: str, identity: ServiceIdentity | None, call: Callable[[Any], Awaitable[T]]
) -> T:
    try:
        async with open_channel(
            address,
            default_timeout_seconds=_LONGEST_SECONDS,
            identity=identity,
            health_service=None,
        ) as channel:
            return await call(rpc.RetrievalServiceStub(channel))
    except ServiceError as error:
        raise CliError(error.message) from error


def owner(tenant: str) -> scope_pb2.Scope:
    """Returns the scope of a tenant's owner: it reads nothing that is not for everyone."""
    return scope_pb2.Scope(tenant=tenant, principals=["everyone"], actor=_ACTOR)


def _address(data_dir: Path) -> str:
    given = os.environ.get("CAIRN_RETRIEVAL_ADDRESS", "")
    if given:
        return given
    processes = running_state(data_dir).of_service("retrieval")
    if not processes:
        raise CliError("the suite runs no retrieval service", "see `cairn status`")
    return processes[0].address
