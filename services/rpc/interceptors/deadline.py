"""The caller's deadline, handed to the servicer and enforced: work stops when nobody waits."""

from __future__ import annotations

import asyncio
from typing import Any

from services.rpc.deadline import enter_deadline, leave_deadline
from services.rpc.errors import DeadlineExceededError, Reason
from services.rpc.interceptors.call import Proceed, ServerCall


async def enforce_deadline(call: ServerCall, proceed: Proceed) -> Any:
    """Serves the call under its deadline.

    Raises:
        DeadlineExceededError: The time ran out.
    """
    if call.timeout_seconds is None:
        return await proceed()
    limit = asyncio.timeout(call.timeout_seconds)
    try:
        async with limit:
            token = enter_deadline(call.timeout_seconds)
            try:
                return await proceed()
            finally:
                leave_deadline(token)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise DeadlineExceededError(
            Reason.DEADLINE_EXCEEDED, "the deadline passed before the answer was ready"
        ) from error
