"""The deadline that a caller chooses, and how its passing is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.gateway.edge.problem import HttpError
from services.rpc.deadline import deadline_in
from services.rpc.errors import DeadlineExceededError, Reason


@contextlib.contextmanager
def own_deadline(timeout_ms: int | None, longest_seconds: float) -> Iterator[None]:
    """Runs the block within the caller's own deadline, if there is one.

    A server that was given too little time has not failed: that is 408. Our own deadline, when it
    is the earlier one, stays 504.

    Args:
        timeout_ms: Milliseconds that the caller gives; None: as many as we take.
        longest_seconds: What we give a request at most.

    Raises:
        HttpError: the caller's deadline passed.
    """
    if timeout_ms is None:
        yield
        return
    seconds = timeout_ms / 1e3
    try:
        with deadline_in(seconds):
            yield
    except DeadlineExceededError as error:
        if seconds > longest_seconds:
            raise
        message = f"there was no result within the {timeout_ms} ms that the request gives"
        raise HttpError(408, Reason.DEADLINE_EXCEEDED, f"{message}; give it more") from error
