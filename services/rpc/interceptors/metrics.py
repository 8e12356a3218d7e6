"""Rate, errors and duration of the calls served."""

from __future__ import annotations

from typing import Any

from services.rpc.interceptors.call import Proceed, ServerCall
from services.rpc.metrics import SERVER_DURATION, series, server_in_flight
from services.rpc.status import CODE_NAMES


async def measure(call: ServerCall, proceed: Proceed) -> Any:
    """Counts the call and its duration by how it ended."""
    service, name = call.service_and_name
    in_flight = server_in_flight(service, name)
    in_flight.now += 1
    try:
        return await proceed()
    finally:
        in_flight.now -= 1
        series(SERVER_DURATION, service, name, CODE_NAMES[call.code]).observe(call.seconds)
