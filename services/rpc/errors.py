"""The errors a Cairn service can answer with, and what a client should do about each.

| exception               | gRPC code           | HTTP | retry?                                   |
|-------------------------|---------------------|------|------------------------------------------|
| InvalidArgumentError    | INVALID_ARGUMENT    | 400  | no: mend the request                     |
| NotFoundError           | NOT_FOUND           | 404  | no                                       |
| AlreadyExistsError      | ALREADY_EXISTS      | 409  | no                                       |
| FailedPreconditionError | FAILED_PRECONDITION | 409  | no: mend the state first                 |
| AbortedError            | ABORTED             | 409  | yes: read again, then repeat the whole   |
| UnauthenticatedError    | UNAUTHENTICATED     | 401  | no: send a valid credential              |
| PermissionDeniedError   | PERMISSION_DENIED   | 403  | no                                       |
| ResourceExhaustedError  | RESOURCE_EXHAUSTED  | 429  | yes: after `retry_after_seconds`         |
| UnavailableError        | UNAVAILABLE         | 503  | yes: with backoff, under a retry budget  |
| DeadlineExceededError   | DEADLINE_EXCEEDED   | 504  | only with a longer deadline              |
| CancelledCallError       | CANCELLED           | 499  | no: the caller went away                 |
| UnimplementedError      | UNIMPLEMENTED       | 501  | no                                       |
| InternalError           | INTERNAL            | 500  | no: a fault of ours                      |
| DataLossError           | DATA_LOSS           | 500  | no: restore                              |

    ServiceError
    └── one class per row above

Domain code raises these and knows nothing of gRPC; `rpc.status` turns them into a status with
`google.rpc.ErrorInfo`, `BadRequest` and `RetryInfo`, and back.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar


class Code(enum.IntEnum):
    """Status codes, numbered as gRPC numbers them."""

    CANCELLED = 1
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Reason(enum.StrEnum):
    """Machine-readable reasons.

    `cairn.types.v1.ErrorReason` says what each means (a test keeps the two equal).
    """

    INVALID_FIELD = "INVALID_FIELD"
    EMPTY_TEXT = "EMPTY_TEXT"
    TOO_LARGE = "TOO_LARGE"
    DIMENSION_MISMATCH = "DIMENSION_MISMATCH"
    VECTOR_NOT_FINITE = "VECTOR_NOT_FINITE"
    INVALID_FILTER = "INVALID_FILTER"
    TYPE_CONFLICT = "TYPE_CONFLICT"
    INVALID_TEXT = "INVALID_TEXT"
    UNSUPPORTED_CONTENT_TYPE = "UNSUPPORTED_CONTENT_TYPE"
    INVALID_PAGE_TOKEN = "INVALID_PAGE_TOKEN"  # noqa: S105 - a reason, no password
    CONTEXT_TOO_LONG = "CONTEXT_TOO_LONG"
    COLLECTION_NOT_FOUND = "COLLECTION_NOT_FOUND"
    DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"
    JOB_NOT_FOUND = "JOB_NOT_FOUND"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    ALIAS_NOT_FOUND = "ALIAS_NOT_FOUND"
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    KEY_NOT_FOUND = "KEY_NOT_FOUND"
    SNAPSHOT_NOT_FOUND = "SNAPSHOT_NOT_FOUND"
    SOURCE_NOT_FOUND = "SOURCE_NOT_FOUND"
    SUBJECT_NOT_FOUND = "SUBJECT_NOT_FOUND"
    COLLECTION_EXISTS = "COLLECTION_EXISTS"
    IDEMPOTENCY_CONFLICT = "IDEMPOTENCY_CONFLICT"
    STATE_CONFLICT = "STATE_CONFLICT"
    MODEL_MISMATCH = "MODEL_MISMATCH"
    ACL_REQUIRED = "ACL_REQUIRED"
    CONFLICT = "CONFLICT"
    CREDENTIAL_MISSING = "CREDENTIAL_MISSING"
    CREDENTIAL_INVALID = "CREDENTIAL_INVALID"
    ROLE_REQUIRED = "ROLE_REQUIRED"
    SCOPE_MISSING = "SCOPE_MISSING"
    RATE_LIMITED = "RATE_LIMITED"
    OVERLOADED = "OVERLOADED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    STORAGE_FULL = "STORAGE_FULL"
    NOT_READY = "NOT_READY"
    DEPENDENCY_UNAVAILABLE = "DEPENDENCY_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    INTERNAL = "INTERNAL"
    DATA_CORRUPTED = "DATA_CORRUPTED"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field of a request that is wrong."""

    field: str
    """Path of the field in its protobuf spelling: "options.top_k", "documents[3].acl"."""
    description: str
    """What is wrong and what would be right."""


class ServiceError(Exception):
    """An error with a status code, a machine-readable reason and a text for people.

    Args:
        reason: Why, for programs.
        message: What is wrong and how to mend it, for people. Never holds secrets, prompts or
            stored text.
        metadata: Further facts for programs, such as a limit and the size that exceeded it.
        violations: Fields of the request that are wrong.
        retry_after_seconds: When trying again makes sense.
    """

    code: ClassVar[Code]

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[FieldViolation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})
        self.violations = tuple(violations)
        self.retry_after_seconds = retry_after_seconds

    def __reduce__(self) -> tuple[object, ...]:
        """Lets errors cross to and from worker processes whole."""
        return (
            _rebuilt,
            (
                type(self),
                self.reason,
                self.message,
                self.metadata,
                self.violations,
                self.retry_after_seconds,
            ),
        )


def _rebuilt(
    kind: type[ServiceError],
    reason: Reason,
    message: str,
    metadata: Mapping[str, str],
    violations: Iterable[FieldViolation],
    retry_after_seconds: float | None,
) -> ServiceError:
    return kind(
        reason,
        message,
        metadata=metadata,
        violations=violations,
        retry_after_seconds=retry_after_seconds,
    )


class InvalidArgumentError(ServiceError):
    """The request cannot be served whatever the state: mend it."""

    code = Code.INVALID_ARGUMENT

    @classmethod
    def for_field(
        cls, field: str, description: str, reason: Reason = Reason.INVALID_FIELD
    ) -> InvalidArgumentError:
        """Returns the error for one wrong field."""
        return cls(
            reason, f"{field}: {description}", violations=[FieldViolation(field, description)]
        )


class NotFoundError(ServiceError):
    """The named thing does not exist, or the scope may not see it."""

    code = Code.NOT_FOUND


class AlreadyExistsError(ServiceError):
    """The thing exists already, and differs."""

    code = Code.ALREADY_EXISTS


class FailedPreconditionError(ServiceError):
    """The state does not allow the operation."""

    code = Code.FAILED_PRECONDITION


class AbortedError(ServiceError):
    """Another writer was first."""

    code = Code.ABORTED


class UnauthenticatedError(ServiceError):
    """No credential, or not a valid one."""

    code = Code.UNAUTHENTICATED


class PermissionDeniedError(ServiceError):
    """The credential is valid and does not allow this."""

    code = Code.PERMISSION_DENIED


class ResourceExhaustedError(ServiceError):
    """A limit, quota, queue or disk is full."""

    code = Code.RESOURCE_EXHAUSTED


class UnavailableError(ServiceError):
    """The service or something it needs does not answer now."""

    code = Code.UNAVAILABLE


class DeadlineExceededError(ServiceError):
    """The caller's deadline passed."""

    code = Code.DEADLINE_EXCEEDED


class CancelledCallError(ServiceError):
    """The caller went away."""

    code = Code.CANCELLED


class UnimplementedError(ServiceError):
    """The contract has it, this deployment does not."""

    code = Code.UNIMPLEMENTED


class InternalError(ServiceError):
    """A fault of ours. The message is fixed: details go to the log only."""

    code = Code.INTERNAL


class DataLossError(ServiceError):
    """Stored data failed its checksum."""

    code = Code.DATA_LOSS


ERROR_BY_CODE: dict[Code, type[ServiceError]] = {
    cls.code: cls for cls in ServiceError.__subclasses__()
}


class StartupError(Exception):
    """The process cannot start; the message says why and what to change. Never sent to a client."""
