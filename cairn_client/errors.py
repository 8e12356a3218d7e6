"""Errors of the client.

CairnError
├── ApiError                 the gateway refused, or failed
│   ├── BadRequestError      400, 413, 415: the request is wrong; `violations` name the fields
│   ├── UnauthenticatedError 401
│   ├── PermissionDeniedError 403
│   ├── NotFoundError        404
│   ├── ConflictError        409
│   ├── RateLimitedError     429: wait `retry_after_seconds`
│   └── ServerError          5xx
│       ├── UnavailableError 503
│       └── DeadlineError    408, 504
├── UnreachableError         no connection, or no answer in time
└── StreamBrokenError        a stream ended before its last event
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Violation:
    """A field that is wrong."""

    field: str
    description: str


class CairnError(Exception):
    """Anything that goes wrong between this program and the gateway."""


class ApiError(CairnError):
    """The gateway refused, or failed.

    Args:
        status: HTTP status.
        problem: The `application/problem+json` document; empty where there was none.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.reason = str(problem.get("reason") or "")
        """For programs: a name of `cairn.types.v1.ErrorReason` without its prefix."""
        self.detail = str(problem.get("detail") or f"HTTP {status}")
        self.trace_id = str(problem.get("trace_id") or "")
        self.retry_after_seconds: float | None = problem.get("retry_after_seconds")
        self.violations = tuple(
            Violation(str(each.get("field")), str(each.get("description")))
            for each in problem.get("violations") or ()
        )
        note = f" [{self.reason}]" if self.reason else ""
        super().__init__(f"{self.detail}{note}")


class BadRequestError(ApiError):
    """The request is wrong; `violations` name the fields."""


class UnauthenticatedError(ApiError):
    """No key, or not a valid one."""


class PermissionDeniedError(ApiError):
    """The key does not allow it."""


class NotFoundError(ApiError):
    """There is no such thing, or none that the key may see."""


class ConflictError(ApiError):
    """The state does not allow it."""


class RateLimitedError(ApiError):
    """A rate limit, quota, budget or queue is full."""


class ServerError(ApiError):
    """A fault of the gateway, or of what is behind it."""


class UnavailableError(ServerError):
    """Something that is needed does not answer."""


class DeadlineError(ServerError):
    """The deadline passed."""


class UnreachableError(CairnError):
    """No connection, or no answer in time."""


class StreamBrokenError(CairnError):
    """A stream ended before its last event."""


_OF_STATUS: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    408: DeadlineError,
    409: ConflictError,
    413: BadRequestError,
    415: BadRequestError,
    429: RateLimitedError,
    503: UnavailableError,
    504: DeadlineError,
}


def error_of(status: int, problem: Mapping[str, Any]) -> ApiError:
    """Returns the error for a response."""
    fallback = ServerError if status >= 500 else ApiError
    return _OF_STATUS.get(status, fallback)(status, problem)
