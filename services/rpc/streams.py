"""What streams of requests need beside what grpc.aio gives them.

A client of grpc.aio that is still sending when its answer comes often sees INTERNAL ("Failed
execute_batch") instead of the status that it was sent. `refuse_after_the_rest` lets it finish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from services.rpc.errors import ServiceError

_MOST_DROPPED_BYTES = 1 << 30
_DROPPING_SECONDS = 10.0


@contextlib.asynccontextmanager
async def refuse_after_the_rest(messages: AsyncIterator[Any]) -> AsyncIterator[None]:
    """Lets a client send what it still has to send before it is told what was wrong.

    Messages are dropped one by one as they come, for a while and up to a size.

    Args:
        messages: What is left of the request; the block reads from it.
    """
    try:
        yield
    except ServiceError:
        left = _MOST_DROPPED_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DROPPING_SECONDS):
                async for message in messages:
                    left -= message.ByteSize()
                    if left < 0:
                        break
        raise
