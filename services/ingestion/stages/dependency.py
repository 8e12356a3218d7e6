"""Which errors of other services are theirs, and which are the document's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from services.ingestion.failures import DependencyDownError, FailureReason, StageFailedError
from services.rpc.errors import (
    CancelledCallError,
    DeadlineExceededError,
    InternalError,
    ResourceExhaustedError,
    ServiceError,
    UnavailableError,
    UnimplementedError,
)

_KNOWN = {reason.value for reason in FailureReason}


_OUTAGES = (
    UnavailableError,
    DeadlineExceededError,
    ResourceExhaustedError,
    CancelledCallError,
    UnimplementedError,
)


def is_refusal(error: Exception) -> bool:
    """Whether a call failed because of what was sent, and not because the service is down."""
    return not isinstance(error, (*_OUTAGES, DependencyDownError))


@contextlib.contextmanager
def calling(
    dependency: str,
    otherwise: FailureReason,
    *,
    passing: tuple[type[ServiceError], ...] = (),
) -> Iterator[None]:
    """Translates the errors of calls to another service.

    Args:
        dependency: Its name.
        otherwise: Reason of a refusal whose own reason says nothing about documents.
        passing: Errors that the caller wants to see as they are.

    Raises:
        DependencyDownError: it does not answer or has no room: wait for it.
        StageFailedError: it refused what it was sent, or failed over it.
    """
    try:
        yield
    except passing:
        raise
    except _OUTAGES as error:
        raise DependencyDownError(
            dependency, f"{dependency}: {error.message}", error.retry_after_seconds
        ) from error
    except InternalError as error:
        raise StageFailedError(
            otherwise, f"{dependency} failed: {error.message}", is_retryable=True
        ) from error
    except ServiceError as error:
        reason = FailureReason(error.reason.value) if error.reason.value in _KNOWN else otherwise
        raise StageFailedError(reason, f"{dependency}: {error.message}") from error
