"""Rate, errors and duration of the calls served."""

from __future__ import annotations

import functools
from typing import Any

from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.metrics import SERVER_DURATION, SERVER_IN_FLIGHT
from services.rpc.status import CODE_NAMES


async def measure(call: ServerCall, proceed: Proceed) -> Any:
    """Counts the call and its duration by how it ended."""
    in_flight = _in_flight(call.method)
    in_flight.inc()
    try:
        return await proceed()
    finally:
        in_flight.dec()
        _duration(call.method, CODE_NAMES[call.code]).observe(call.seconds)


@functools.cache
def _in_flight(method: str) -> Any:
    """Returns a method's gauge; looking it up by its labels costs more than setting it."""
    return SERVER_IN_FLIGHT.labels(*_parts(method))


@functools.cache
def _duration(method: str, code: str) -> Any:
    return SERVER_DURATION.labels(*_parts(method), code)


def _parts(method: str) -> tuple[str, str]:
    service, _, name = method.rpartition("/")
    return service, name
